package upstream

import (
	"io"
	"net/http"
)

// How a body ended.
const (
	open int32 = iota
	ended
	failed
	closed
)

// Read reads the response's body. At io.EOF the connection is free again.
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
	if len(p) == 0 {
		return 0, nil
	}
	n, err := x.readBody(p)
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF: //nolint:errorlint // readBody returns it bare
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

// readBody returns io.EOF at a good end, with the last bytes if it can.
func (x *exchange) readBody(p []byte) (int, error) {
	switch {
	case x.chunked:
		return x.readChunks(p)
	case x.toGo < 0:
		n, err := x.c.take(p)
		if err != nil {
			err = x.c.closeIsEnd(err)
		}
		return n, err
	}
	n, err := x.c.take(p[:min(int64(len(p)), x.toGo)])
	if x.toGo -= int64(n); x.toGo == 0 {
		err = io.EOF
	}
	return n, err
}

// closeIsEnd is about a body that ends with the connection. crypto/tls takes a bare
// FIN for a good end if it comes between two records, so an attacker on the path
// could shorten such a body (RFC 9112, 9.8). After close_notify, nothing has been
// read from the socket beyond it; after a bare FIN, its end has.
func (c *conn) closeIsEnd(err error) error {
	switch {
	case c.readErr != io.EOF: //nolint:errorlint // both kinds of connection return it bare
		return err
	case c.tlsState != nil && c.wire.sawEOF:
		c.readErr = errNoCloseNotify
		return errNoCloseNotify
	}
	return io.EOF
}

// Close frees the connection. A rest that is small and already here is dropped;
// anything else costs the connection, which is cheaper than reading a body that is
// not wanted.
func (x *exchange) Close() error {
	if x.mu.TryLock() { // else a Read is under way, and closing unblocks it
		if x.end.Load() == open && !x.chunked && x.toGo > 0 && x.toGo <= int64(len(x.c.buffered())) {
			x.c.r += int(x.toGo)
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
