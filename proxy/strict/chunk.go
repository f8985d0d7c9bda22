package strict

import (
	"bytes"
	"errors"
	"strconv"
)

const (
	// maxChunkLine bounds the line of a chunk's size, maxTrailers the fields after
	// the last one.
	maxChunkLine = 16 + len("\r\n")
	maxTrailers  = 2 << 10
)

var errChunk = errors.New("strict: malformed chunked body")

// chunks reads what is between the bytes of a chunked body (RFC 9112 section 7.1):
// lines that end in CR LF, and sizes in plain hexadecimal digits. Chunk extensions
// are refused: readers disagree on where they end, and only an attacker has a use for
// that. The fields after the last chunk are checked and dropped.
type chunks struct {
	begun    bool // the bytes of a chunk have been read, and not yet its CR LF
	last     bool // the last chunk's size has been read
	trailers int  // bytes so far
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
	size, ok := parseSize(line)
	if !ok {
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

// parseSize takes up to 16 digits, and what is below 2^63.
func parseSize(digits string) (size int64, ok bool) {
	n, err := strconv.ParseUint(digits, 16, 63)
	return int64(n), err == nil && len(digits) <= 16
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
