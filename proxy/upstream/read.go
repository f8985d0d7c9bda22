package upstream

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxInterim is the number of 1xx answers that are skipped.
const maxInterim = 16

// receive reads heads until the final one.
func (x *exchange) receive() (*http.Response, *Error) {
	c := x.c
	for range maxInterim + 1 {
		if _, err := c.br.Peek(1); err != nil {
			return nil, x.fail(OpRead, c.cause(err))
		}
		if x.trace != nil && x.trace.FirstByte.IsZero() {
			x.trace.FirstByte = time.Now()
		}
		doubtful, err := c.bufferHead()
		if err != nil {
			return nil, x.fail(OpRead, c.cause(err))
		}
		resp, err := http.ReadResponse(c.br, x.req)
		switch {
		case err != nil:
			return nil, x.fail(OpRead, c.cause(errHeadMalformed))
		case resp.ProtoMajor != 1, resp.StatusCode < 100:
			return nil, x.fail(OpRead, errHeadMalformed)
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, x.fail(OpRead, errSwitching)
		case resp.StatusCode < 200:
			continue
		}
		x.keep = !doubtful && !resp.Close && resp.ProtoMinor > 0 && !x.req.Close
		x.start(resp)
		return resp, nil
	}
	return nil, x.fail(OpRead, errInterim)
}

// bufferHead waits until the whole head is in the buffer, and reports whether
// its framing is in doubt: the message is still readable, but the connection
// is not used again. In doubt are Transfer-Encoding with Content-Length (RFC
// 9112, 6.3: ought to be handled as an error; the parser silently drops the
// length), more than one of either, a line that is folded or ends in a bare
// LF, and a head too long to look at.
func (c *conn) bufferHead() (doubtful bool, err error) {
	var lengths, encodings, pos int
	for {
		buf, _ := c.br.Peek(c.br.Buffered())
		for {
			n := bytes.IndexByte(buf[pos:], '\n')
			if n < 0 {
				break
			}
			line := buf[pos : pos+n]
			pos += n + 1
			line, crlf := bytes.CutSuffix(line, []byte("\r"))
			doubtful = doubtful || !crlf
			if len(line) == 0 {
				return doubtful || lengths > 1 || encodings > 1 || lengths+encodings > 1, nil
			}
			switch line[0] {
			case 'c', 'C':
				lengths += named(line, "content-length")
			case 't', 'T':
				encodings += named(line, "transfer-encoding")
			case ' ', '\t':
				doubtful = true
			}
		}
		if len(buf) == c.br.Size() {
			return true, nil
		}
		if _, err := c.br.Peek(len(buf) + 1); err != nil {
			return true, err
		}
	}
}

func named(line []byte, name string) int {
	if len(line) > len(name) && strings.EqualFold(string(line[:len(name)]), name) {
		return 1 // a longer name that begins so only costs a connection
	}
	return 0
}

// How a body ended.
const (
	open int32 = iota
	ended
	failed
	closed
)

// start makes x the body of resp.
func (x *exchange) start(resp *http.Response) {
	resp.TLS = x.c.tlsState
	x.c.startBody()
	x.fillTrace()
	if resp.Body == http.NoBody {
		x.end.Store(ended)
		x.release()
		return
	}
	x.src, x.toGo = resp.Body, resp.ContentLength
	if x.toGo < 0 && len(resp.TransferEncoding) == 0 {
		x.src = untilClose{resp.Body, x.c}
	}
	resp.Body = x
}

// untilClose is a body that ends with the connection. crypto/tls takes a bare
// FIN for a good end if it comes between two records, so anybody on the path
// could shorten such a body (RFC 9112, 9.8). After close_notify, nothing has
// been read from the socket beyond it; after a bare FIN, its end has.
type untilClose struct {
	io.ReadCloser
	c *conn
}

func (b untilClose) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && b.c.tlsState != nil && b.c.wire.sawEOF { //nolint:errorlint // io.Reader returns it bare
		b.c.readErr = errNoCloseNotify
		err = errNoCloseNotify
	}
	return n, err
}

// Read reads the answer's body. At io.EOF the connection is free again.
func (x *exchange) Read(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return 0, x.err
	}
	if x.end.Load() != open {
		x.err = &Error{Op: OpRead, Outcome: Unknown, Reused: x.reused, Err: http.ErrBodyReadAfterClose}
		return 0, x.err
	}
	n, err := x.src.Read(p)
	if x.toGo > 0 {
		x.toGo -= int64(n)
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF: //nolint:errorlint // io.Reader returns it bare
		x.err = io.EOF
		if x.end.CompareAndSwap(open, ended) {
			x.release()
		}
	case x.end.CompareAndSwap(open, failed):
		x.err = x.fail(OpRead, x.c.cause(errBodyMalformed))
	default: // closed by another goroutine meanwhile
		x.err = &Error{Op: OpRead, Outcome: Unknown, Reused: x.reused, Err: http.ErrBodyReadAfterClose}
	}
	return n, x.err
}

// Close frees the connection. A rest that is small and already here is
// dropped; anything else costs the connection, which is cheaper than reading
// on for nobody.
func (x *exchange) Close() error {
	if x.mu.TryLock() { // else a Read is under way, and closing unblocks it
		if x.end.Load() == open && x.toGo > 0 && x.toGo <= int64(x.c.br.Buffered()) {
			var scrap [readBuffer]byte
			_, _ = io.ReadFull(x.src, scrap[:x.toGo])
			if x.end.CompareAndSwap(open, ended) {
				x.release()
			}
		}
		x.mu.Unlock()
	}
	if x.end.CompareAndSwap(open, closed) {
		x.drop()
	}
	return nil
}
