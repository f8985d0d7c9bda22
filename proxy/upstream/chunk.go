package upstream

import (
	"bytes"
	"io"
	"maps"
	"strconv"
)

const (
	// maxChunkLine bounds the line of a chunk's size with its extensions.
	maxChunkLine = 4096
	// maxExcess limits the bytes of a chunked body that are not data, beyond what
	// small chunks need (CVE-2023-39326).
	maxExcess = 16 << 10
	// maxChunkBits keeps sizes and their sums far from overflow.
	maxChunkBits = 60
)

// chunks is the position in a chunked body. The rules are net/http's, with less
// allowed: a size is below 2^60, maxExcess holds for the last chunk's line too, and a
// trailer has neither folded lines nor bare LF nor blanks in names, and at most
// maxFields fields.
type chunks struct {
	left   int64 // bytes left of this chunk
	data   bool  // the CRLF after a chunk's data is due
	last   bool  // the trailer is due
	excess int64
}

// readChunks returns what has been received, as far as p reaches, over several
// chunks. It waits only while it has nothing to return.
func (x *exchange) readChunks(p []byte) (int, error) {
	c, b, n := x.c, &x.chunks, 0
	for {
		if b.left > 0 {
			if n == len(p) || n > 0 && c.r == c.w {
				return n, nil
			}
			m, err := c.take(p[n:min(int64(len(p)), int64(n)+b.left)])
			n += m
			b.left -= int64(m)
			if err != nil {
				return n, err
			}
			continue
		}
		if n > 0 && !b.ready(c.buffered()) {
			return n, nil
		}
		if err := x.nextChunk(); err != nil {
			return n, err
		}
	}
}

// ready reports whether what nextChunk reads has been received.
func (b *chunks) ready(data []byte) bool {
	switch {
	case b.data:
		return len(data) >= 2
	case b.last:
		return bytes.HasPrefix(data, []byte("\r\n")) || bytes.Contains(data, []byte("\r\n\r\n"))
	}
	return bytes.IndexByte(data, '\n') >= 0
}

// nextChunk reads what stands between the data of two chunks, one step at a
// time. io.EOF is the good end.
func (x *exchange) nextChunk() error {
	c, b := x.c, &x.chunks
	switch {
	case b.data:
		for len(c.buffered()) < 2 {
			if err := c.fill(); err != nil {
				return err
			}
		}
		if string(c.buffered()[:2]) != "\r\n" {
			return errBodyMalformed
		}
		c.r += 2
		b.data = false
		return nil
	case b.last:
		return x.readTrailer()
	}
	line, err := c.chunkLine()
	if err != nil {
		return err
	}
	if b.left, err = chunkSize(line); err != nil {
		return err
	}
	// 16 bytes per chunk and twice its data may be something else.
	if b.excess = max(0, b.excess+int64(len(line))+2-16-2*b.left); b.excess > maxExcess {
		return errBodyMalformed
	}
	b.data, b.last = b.left > 0, b.left == 0
	return nil
}

// chunkLine reads a line without its CRLF. A bare LF, or a CR elsewhere, is an
// error, since others may take it for another line end (CVE-2025-22871).
func (c *conn) chunkLine() ([]byte, error) {
	for pos := 0; ; {
		data := c.buffered()
		if n := bytes.IndexByte(data[pos:], '\n'); n >= 0 {
			pos += n + 1
			line, crlf := bytes.CutSuffix(data[:pos], []byte("\r\n"))
			if !crlf || len(line) >= maxChunkLine || bytes.IndexByte(line, '\r') >= 0 {
				return nil, errBodyMalformed
			}
			c.r += pos
			return line, nil
		}
		if pos = len(data); pos > maxChunkLine {
			return nil, errBodyMalformed
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// chunkSize reads the size at the begin of a line; extensions are dropped.
func chunkSize(line []byte) (int64, error) {
	_, end := trim(line, 0, len(line))
	digits, _, _ := bytes.Cut(line[:end], []byte(";"))
	size, err := strconv.ParseUint(string(digits), 16, maxChunkBits)
	if err != nil || len(digits) > 16 {
		return 0, errBodyMalformed
	}
	return int64(size), nil
}

// readTrailer reads the section after the last chunk, and returns io.EOF.
func (x *exchange) readTrailer() error {
	section, err := x.c.section(readBuffer)
	if err != nil {
		return err
	}
	odd, err := x.c.parseFields(section, 0)
	if odd || err != nil || len(section) > readBuffer {
		return errBodyMalformed
	}
	if len(x.c.fields) > 0 {
		trailer := x.c.header(string(section), nil)
		if x.resp.Trailer == nil {
			x.resp.Trailer = trailer
		} else {
			maps.Copy(x.resp.Trailer, trailer)
		}
	}
	return io.EOF
}
