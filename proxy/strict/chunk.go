package strict

import (
	"bytes"
	"errors"
	"strings"
)

const (
	// maxChunkLine bounds a chunk's size with its extensions, maxExtensions those
	// of a whole body, maxTrailers the fields after it.
	maxChunkLine  = 256
	maxExtensions = 4 << 10
	maxTrailers   = 2 << 10
)

var errChunk = errors.New("strict: malformed chunked body")

// chunks reads what is between the bytes of a chunked body (RFC 9112 section
// 7.1): lines that end in CR LF, sizes in plain hexadecimal digits, extensions
// without blanks. The fields after the last chunk are checked and dropped.
type chunks struct {
	begun      bool // the bytes of a chunk have been read, and not yet its CR LF
	last       bool // the last chunk's size has been read
	extensions int  // bytes so far
	trailers   int  // likewise
}

// next goes to the next chunk and sets b.left to its size; 0: the body is over.
// What is half there when errNotHere comes is not taken.
func (k *chunks) next(b *body) error {
	if k.begun {
		if line, err := b.line(len("\r\n")); err != nil || line != "" {
			return chunkError(err)
		}
		k.begun = false
	}
	if k.last {
		return k.end(b)
	}
	line, err := b.line(maxChunkLine)
	if err != nil {
		return err
	}
	digits, extensions, extended := strings.Cut(line, ";")
	size, ok := parseSize(digits)
	k.extensions += len(extensions)
	if !ok || k.extensions > maxExtensions || extended && !extensionsValid(extensions) {
		return errChunk
	}
	if size == 0 {
		k.last = true
		return k.end(b)
	}
	b.left, k.begun = size, true
	return nil
}

// end takes the fields after the last chunk, and the empty line.
func (k *chunks) end(b *body) error {
	for k.trailers < maxTrailers {
		line, err := b.line(maxTrailers - k.trailers)
		if err != nil {
			return err
		}
		if line == "" {
			b.left = 0
			return nil
		}
		k.trailers += len(line) + len("\r\n")
		if _, _, why := fieldOf(line); why != None {
			return errChunk
		}
	}
	return errChunk
}

func chunkError(err error) error {
	if err != nil {
		return err
	}
	return errChunk
}

// parseSize takes up to 15 digits: no more fit.
func parseSize(digits string) (size int64, ok bool) {
	if digits == "" || len(digits) > 15 {
		return 0, false
	}
	for i := range len(digits) {
		c := digits[i]
		switch {
		case isDigit(c):
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		size = size<<4 | int64(c)
	}
	return size, true
}

// extensionsValid: names, with a token or a quoted string each, and without the
// quoted pairs and semicolons that readers disagree on.
func extensionsValid(extensions string) bool {
	for extension := range strings.SplitSeq(extensions, ";") {
		name, value, hasValue := strings.Cut(extension, "=")
		if !isToken(name) {
			return false
		}
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			if value = value[1 : len(value)-1]; strings.ContainsAny(value, `"\`) || !only(value, valueByte) {
				return false
			}
			continue
		}
		if hasValue && !isToken(value) {
			return false
		}
	}
	return true
}

// line takes one line of at most limit bytes, without its CR LF.
func (b *body) line(limit int) (string, error) {
	c := b.c
	for {
		have := c.buf[c.r:c.w]
		if i := bytes.IndexByte(have, '\n'); i >= 0 && i < limit {
			if i == 0 || have[i-1] != '\r' {
				return "", errChunk
			}
			c.r += i + 1
			return string(have[:i-1]), nil
		}
		if len(have) >= limit {
			return "", errChunk
		}
		if err := b.more(); err != nil {
			return "", err
		}
	}
}
