package upstream

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// parseHead reads a head into x.resp as http.ReadResponse would, and reports
// whether its framing is in doubt: the message is readable, but the connection
// is not used again. In doubt are Transfer-Encoding with Content-Length (RFC
// 9112, 6.3: ought to be handled as an error; here the length is dropped), more
// than one of either, odd fields (parseFields), and a head longer than the
// buffer.
//
// What http.ReadResponse accepts and parseHead refuses, none of which any known
// server sends: a control byte in the reason phrase, more than maxFields fields,
// an empty Content-Length where GODEBUG allows it.
func (x *exchange) parseHead(head []byte) (doubtful bool, err error) {
	first := bytes.IndexByte(head, '\n')
	line, crlf := bytes.CutSuffix(head[:first], []byte("\r"))
	code, status, err := parseStatus(line)
	if err != nil {
		return true, err
	}
	odd, err := x.c.parseFields(head, first+1)
	if err != nil {
		return true, err
	}
	var all strings.Builder // one allocation for both
	all.Grow(len(head) + len(x.c.spelt))
	_, _ = all.Write(head)
	_, _ = all.Write(x.c.spelt)
	text := all.String()[:len(head)]
	x.spelt = all.String()[len(head):]
	x.resp = http.Response{
		Proto: text[:protoLen], ProtoMajor: 1, ProtoMinor: int(text[protoLen-1] - '0'),
		Status: text[status:len(line)], StatusCode: code,
		Header: x.c.header(text, x.room()), Request: x.req,
	}
	contradictory, err := x.frame()
	return !crlf || odd || contradictory || len(head) > readBuffer, err
}

func (x *exchange) room() *Room {
	if x.trace == nil {
		return nil
	}
	return x.trace.Room
}

const protoLen = len("HTTP/1.1")

// parseStatus returns the code, and where in the line the status begins.
func parseStatus(line []byte) (code, status int, err error) {
	if len(line) < len("HTTP/1.1 200") || string(line[:protoLen-1]) != "HTTP/1." || !digit(line[protoLen-1]) ||
		line[protoLen] != ' ' || !plain(line) {
		return 0, 0, errHeadMalformed
	}
	status = protoLen
	for status < len(line) && line[status] == ' ' {
		status++
	}
	text := line[status:]
	if len(text) < 3 || len(text) > 3 && text[3] != ' ' || !digit(text[0]) || !digit(text[1]) || !digit(text[2]) {
		return 0, 0, errHeadMalformed
	}
	code = int(text[0]-'0')*100 + int(text[1]-'0')*10 + int(text[2]-'0')
	if code < 100 {
		return 0, 0, errHeadMalformed
	}
	return code, status, nil
}

func digit(b byte) bool { return b-'0' <= 9 }

// frame decides what kind of body follows, and sets and deletes in x.resp what
// http.ReadResponse sets and deletes (its order is kept: the first error that
// it would see is seen here, in a message without a body too). It reports
// whether the framing fields contradict each other or repeat themselves.
func (x *exchange) frame() (contradictory bool, err error) {
	resp, header := &x.resp, x.resp.Header
	resp.Close = closes(resp)
	codings, lengths := header["Transfer-Encoding"], header["Content-Length"]
	contradictory = len(codings)+len(lengths) > 1
	if pragma := header["Pragma"]; len(pragma) > 0 && pragma[0] == "no-cache" && header["Cache-Control"] == nil {
		header["Cache-Control"] = []string{"no-cache"}
	}
	chunked, err := chunkedOnly(resp, codings)
	if err != nil {
		return contradictory, err
	}
	length, err := onlyLength(header, lengths)
	if err != nil {
		return contradictory, err
	}
	bodiless := noBodyStatus(resp.StatusCode)
	switch {
	case x.req.Method == http.MethodHead:
		resp.ContentLength = length
		bodiless = true
	case bodiless:
		resp.ContentLength = 0
	case chunked:
		delete(header, "Content-Length")
		resp.ContentLength = -1
	default:
		resp.ContentLength = length
		resp.Close = resp.Close || length < 0 // it ends with the connection
		bodiless = length == 0
	}
	if chunked {
		x.coding[0] = "chunked"
		resp.TransferEncoding = x.coding[:]
		if resp.Trailer, err = announced(header); err != nil {
			return contradictory, err
		}
	}
	resp.Body = x
	if bodiless {
		resp.Body = http.NoBody
	}
	x.chunked, x.toGo = chunked, resp.ContentLength
	return contradictory, nil
}

func noBodyStatus(code int) bool {
	return code < 200 || code == http.StatusNoContent || code == http.StatusNotModified
}

// closes reports whether the connection ends after this response. It leaves Connection
// in the header, from which net/http deletes a last one: it may also name fields that
// must not go on (RFC 9110 section 7.6.1).
func closes(resp *http.Response) bool {
	options := resp.Header["Connection"]
	if options == nil {
		return resp.ProtoMinor == 0
	}
	last := httpguts.HeaderValuesContainsToken(options, "close")
	if resp.ProtoMinor == 0 {
		return last || !httpguts.HeaderValuesContainsToken(options, "keep-alive")
	}
	return last
}

// chunkedOnly reports whether the body is chunked. Any other coding is an error: the
// end of such a body is unknown. HTTP/1.0 has no codings.
func chunkedOnly(resp *http.Response, codings []string) (bool, error) {
	if codings == nil {
		return false, nil
	}
	delete(resp.Header, "Transfer-Encoding")
	switch {
	case resp.ProtoMinor == 0:
		return false, nil
	case len(codings) > 1, !equalFold(codings[0], "chunked"):
		return false, errHeadMalformed
	}
	return true, nil
}

// equalFold is for ASCII alone: strings.EqualFold takes the Kelvin sign for a k.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		if nameByte[0][s[i]] != lower[i] {
			return false
		}
	}
	return true
}

// onlyLength returns the one length that all values agree on, -1 if there are
// none.
func onlyLength(header http.Header, lengths []string) (int64, error) {
	if len(lengths) == 0 {
		return -1, nil
	}
	for _, other := range lengths[1:] {
		if other != lengths[0] {
			return 0, errHeadMalformed
		}
	}
	if len(lengths) > 1 {
		header["Content-Length"] = lengths[:1:1]
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63) // digits and nothing else
	if err != nil {
		return 0, errHeadMalformed // the parser's own error quotes the value
	}
	return int64(n), nil
}

// announced takes the Trailer field out of header: its names, without values
// yet.
func announced(header http.Header) (http.Header, error) {
	values := header["Trailer"]
	if values == nil {
		return nil, nil
	}
	delete(header, "Trailer")
	trailer := http.Header{}
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)); name == "" {
				continue
			}
			if name == "Transfer-Encoding" || name == "Trailer" || name == "Content-Length" {
				return nil, errHeadMalformed
			}
			trailer[name] = nil
		}
	}
	if len(trailer) == 0 {
		return nil, nil
	}
	return trailer, nil
}
