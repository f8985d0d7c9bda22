package strict

import (
	"io"
	"net"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

const (
	// smallBuffer is the size that a connection begins with. A usual head fits.
	smallBuffer = socket.Buffer
	// bufferStep is by how much the buffer of a larger head grows.
	bufferStep = 4 << 10
)

// readHead reads up to the end of a head.
func (c *conn) readHead() (text string, lines int, why Violation, err error) {
	var s scan
	limited := c.state.Load() == fresh // by the time for a head
	if limited {
		_ = c.reads.at(time.Now().Add(c.server.headerTimeout()))
	} else if c.w == 0 || c.afterPOST { // the bytes so far may be half of an empty line
		_ = c.reads.allow(c.server.idleTimeout())
	}
	for begun := false; ; {
		if c.begins() {
			if !begun && c.state.Swap(active) == closing {
				c.state.Store(closing)
				return "", 0, None, net.ErrClosed
			}
			begun = true
			if !c.gone.ahead { // which says nothing of the response
				c.pay(true)
			}
			length, why := s.next(c.buf[:c.w])
			if (why != None || length > 0) && !c.headHere() {
				return "", 0, None, net.ErrClosed
			}
			if why != None {
				return "", 0, why, nil
			}
			if length > 0 {
				text := string(c.buf[:length])
				c.r = length
				c.shrink()
				return text, s.lines, None, nil
			}
			if !c.awaitHead(&limited) {
				return "", 0, None, net.ErrClosed
			}
		}
		if err := c.fill(); err != nil {
			c.pay(c.took(err))
			return "", 0, None, err
		}
	}
}

// awaitHead is called with part of a head: there is a limit for the rest, and
// until it is there the connection may have to make room for others (crowd.go).
func (c *conn) awaitHead(limited *bool) (open bool) {
	if c.state.Load() == partial {
		return true
	}
	now := time.Now()
	if !*limited {
		*limited = true
		_ = c.reads.at(now.Add(c.server.headerTimeout()))
	}
	c.since.Store(now.UnixNano())
	return c.state.CompareAndSwap(active, partial)
}

// headHere ends that. It reports whether the connection is still ours.
func (c *conn) headHere() bool {
	return c.state.Load() == active || c.state.CompareAndSwap(partial, active)
}

// begins reports whether the next head has begun. An empty line before it is dropped,
// and does not count as a beginning: an app may send nothing after it.
func (c *conn) begins() bool {
	if c.w == 0 || !c.afterPOST {
		return c.w > 0
	}
	if c.buf[0] == '\r' {
		if c.w == 1 {
			return false
		}
		if c.buf[1] == '\n' {
			c.w = copy(c.buf, c.buf[len("\r\n"):c.w])
		}
	}
	c.afterPOST = false
	return c.w > 0
}

// fill reads once, behind the bytes so far.
func (c *conn) fill() (err error) {
	n := 0
	if c.buf == nil {
		c.buf, n, err = socket.ReadLate(c.stream)
	} else {
		if c.w == len(c.buf) {
			c.makeRoom()
		}
		n, err = c.stream.Read(c.buf[c.w:])
	}
	c.w += n
	if n > 0 {
		return nil // the error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// makeRoom is called with a full buffer. Its bounds are those of a head, of a
// chunk's line and of the trailers.
func (c *conn) makeRoom() {
	if c.r > 0 { // not in a head, which begins at 0
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
		return
	}
	larger := make([]byte, max(min(2*len(c.buf), len(c.buf)+bufferStep), smallBuffer))
	copy(larger, c.buf)
	c.buf = larger
	c.count()
}

// count tells the server of the size of buf.
func (c *conn) count() {
	now := int64(len(c.buf) - smallBuffer)
	if before := c.large.Swap(now); c.server.large.Add(now-before) > maxLarge && now > before {
		c.server.forgetHead()
	}
}

// shrink gives a large buffer back, once what is in it fits into a small one, or into
// one of half the size.
func (c *conn) shrink() {
	left := c.buf[c.r:c.w]
	size := max(smallBuffer, len(left))
	if cap(c.buf) <= smallBuffer || size > smallBuffer && cap(c.buf) < 2*size {
		return
	}
	c.buf = make([]byte, size)
	c.r, c.w = 0, copy(c.buf, left)
	c.count()
}
