package strict

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// errNotHere means that more of the body would have to be awaited.
var errNotHere = errors.New("strict: the rest of the body has not arrived")

// body is the body of one request. It is read by one goroutine at a time, which need
// not be the handler's, and no goroutine reads it after the handler has returned.
type body struct {
	c *conn

	mu        sync.Mutex // guards all below; held by a Read
	left      int64      // bytes until the end of the body or the chunk; -1: chunked, and no chunk has begun
	chunks    *chunks    // nil: a body of known length
	expecting *answer    // waits for the 100 Continue that the first Read has it send
	hereOnly  bool       // do not wait for what has not arrived
	pace      pace
	err       error // what Read returns from now on; io.EOF: it was read whole
}

// Read implements io.Reader. The end comes with the last byte where it is known.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.expecting != nil {
		b.expecting.sayContinue()
		b.expecting = nil
	}
	n, err := b.read(p)
	if b.err = err; err == io.EOF { //nolint:errorlint // set below, bare
		b.c.gone.watch()
	}
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	if b.chunks != nil && b.left <= 0 {
		if err := b.chunks.next(b); err != nil || b.left == 0 {
			return 0, endOr(err)
		}
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.take(p)
	b.left -= int64(n)
	switch {
	case err != nil:
		return n, err
	case b.left > 0:
		return n, nil
	case b.chunks != nil:
		b.left = -1
		return n, nil
	}
	return n, io.EOF
}

func endOr(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// take returns bytes that were read ahead, or reads: straight into p, if that
// has room for more than a buffer would.
func (b *body) take(p []byte) (int, error) {
	c := b.c
	if c.r == c.w {
		if len(p) >= smallBuffer && !b.hereOnly {
			begun := b.waits()
			n, err := c.stream.Read(p)
			if !b.arrived() {
				return 0, b.failed(net.ErrClosed)
			}
			if n > 0 {
				return n, b.paced(begun, n)
			}
			return 0, b.failed(err)
		}
		if err := b.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.r:c.w])
	c.r += n
	return n, nil
}

// more reads into the buffer.
func (b *body) more() error {
	if b.hereOnly {
		return errNotHere
	}
	if b.c.r == b.c.w {
		b.c.r, b.c.w = 0, 0
	}
	begun, before := b.waits(), b.c.w
	err := b.c.fill()
	if !b.arrived() {
		return b.failed(net.ErrClosed)
	}
	if err != nil {
		return b.failed(err)
	}
	return b.paced(begun, b.c.w-before)
}

// waits and arrived stand around each wait for the app. Until the body is whole,
// upstream cannot have executed its request, so the connection may have to make room
// for others: since says how far the body is behind. arrived reports whether the
// connection is still ours.
func (b *body) waits() (begun time.Time) {
	begun = time.Now()
	b.c.since.Store(begun.Add(-b.pace.behind()).UnixNano())
	b.c.state.CompareAndSwap(active, inBody)
	return begun
}

func (b *body) arrived() bool {
	return b.c.state.CompareAndSwap(inBody, active) || b.c.state.Load() == active
}

// paced ends a body that comes too slowly.
func (b *body) paced(begun time.Time, n int) error {
	if b.pace.took(time.Since(begun), n) {
		return nil
	}
	return b.failed(errTooSlow)
}

// failed is told of a read that brought nothing. The request cannot become
// whole any more: its context ends before the error is seen.
func (b *body) failed(err error) error {
	b.c.cancelRequest()
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
	return nil
}

// skip takes what has arrived of a body that is not wanted. It reports whether that
// was all of it, so that the next request can be found.
func (b *body) skip() bool {
	if b == nil {
		return true
	}
	if !b.mu.TryLock() {
		return false // a Read is under way
	}
	defer b.mu.Unlock()
	if b.err == http.ErrBodyReadAfterClose || b.expecting != nil { //nolint:errorlint // set above, bare
		return false
	}
	if b.err == nil {
		b.readHere()
	}
	if b.err == errNotHere { //nolint:errorlint // returned bare
		b.err = nil
		return false
	}
	return b.err == io.EOF //nolint:errorlint // set bare
}

// readHere reads to the end of what has arrived.
func (b *body) readHere() {
	var scrap [1 << 10]byte // escapes: not for a body that was read whole
	b.hereOnly = true
	for b.err == nil {
		_, b.err = b.read(scrap[:])
	}
	b.hereOnly = false
}

// leave ends the body with its request: a goroutine that reads it from now on gets an
// error, and one that reads it at this moment is woken. It reports whether it was
// read whole.
func (b *body) leave() bool {
	if b == nil {
		return true
	}
	whole := b.skip()
	if !b.mu.TryLock() {
		_ = b.c.reads.at(time.Unix(1, 0))
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	whole = whole && b.err == io.EOF //nolint:errorlint // set bare
	b.err = http.ErrBodyReadAfterClose
	return whole
}
