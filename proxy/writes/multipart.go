package writes

import (
	"bytes"
	"mime"
	"strings"
)

// boundaryOf returns the boundary of a multipart body, or "".
func boundaryOf(contentType string) string {
	const multipart = "multipart/"
	if len(contentType) < len(multipart) || !strings.EqualFold(contentType[:len(multipart)], multipart) {
		return ""
	}
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil { // it may lack the quotes that it needs; split is sound with any text
		_, boundary, _ := strings.Cut(contentType, "boundary=")
		boundary, _, _ = strings.Cut(boundary, ";")
		return strings.Trim(boundary, "\" \t")
	}
	return parameters["boundary"]
}

// split returns what stands between the delimiters of a multipart body (RFC 2046
// section 5.1.1). whole: there is nothing behind body.
//
// It is false unless every place at which the boundary's text occurs is a
// delimiter. That makes it sound to leave the boundary out: the parts of two
// bodies with the same result are the same bytes, and none of them holds its own
// boundary, so the bodies differ in nothing but the name of their delimiter.
func split(body []byte, boundary string, whole bool) (parts [][]byte, ok bool) {
	if boundary == "" {
		return nil, false
	}
	text := []byte(boundary)
	from := 0
	for at := bytes.Index(body, text); at >= 0; {
		end := at + len(text)
		start := delimiterStart(body, at)
		if start < from || !delimiterEnds(body[end:], whole) {
			return nil, false
		}
		parts = append(parts, body[from:start])
		from = end
		next := bytes.Index(body[from:], text)
		if next < 0 {
			break
		}
		at = from + next
	}
	if len(parts) == 0 {
		return nil, false
	}
	rest := body[from:]
	if !whole {
		rest = rest[:len(rest)-beginning(rest, "\r\n--"+boundary)]
	}
	return append(parts, rest), true
}

// delimiterStart returns where the delimiter begins whose boundary is at at, or -1 if
// it is not a delimiter.
func delimiterStart(body []byte, at int) int {
	switch {
	case !bytes.HasSuffix(body[:at], []byte("--")):
		return -1
	case at == len("--"):
		return 0
	case !bytes.HasSuffix(body[:at], []byte("\r\n--")):
		return -1
	}
	return at - len("\r\n--")
}

// delimiterEnds reports whether what follows a boundary makes it a delimiter: the
// two hyphens of the last one, or blanks and a line end.
func delimiterEnds(rest []byte, whole bool) bool {
	if bytes.HasPrefix(rest, []byte("--")) {
		return true
	}
	rest = bytes.TrimLeft(rest, " \t")
	return bytes.HasPrefix(rest, []byte("\r\n")) ||
		!whole && (len(rest) == 0 || string(rest) == "-" || string(rest) == "\r")
}

// beginning returns how much of the end of text may be the beginning of the next
// delimiter, cut off by the limit on what is looked at.
func beginning(text []byte, delimiter string) int {
	n := min(len(delimiter)-1, len(text))
	for string(text[len(text)-n:]) != delimiter[:n] {
		n--
	}
	return n
}
