package strict

import (
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

const (
	// An app may still be sending when it gets its response, a refusal or an early
	// one of upstream. Most apps read it only when all is sent. To close would be to
	// reset its connection, and it would see "broken pipe". So the rest is read while
	// it comes.
	lingerIdle = 5 * time.Second  // without a byte
	lingerMost = 30 * time.Second // in all
	// lingerInShutdown is the shorter time when the server stops.
	lingerInShutdown = 500 * time.Millisecond
)

// linger ends a connection on which an app may still be sending: it closes our side,
// which ends the response, and reads on.
func (c *conn) linger() {
	if c.owed != nil && socket.Gone(c.nc) { // later its state says less
		c.pay(false)
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok {
		c.pay(true)
		return
	}
	if half.CloseWrite() != nil { // a reset has come since
		c.pay(false)
		return
	}
	begun := time.Now()
	c.since.Store(begun.UnixNano())
	if !c.state.CompareAndSwap(active, lingering) {
		c.pay(false)
		return // cut off
	}
	c.r, c.w = 0, 0 // nobody reads what is left, and a refused head may be large
	c.shrink()
	if len(c.buf) == 0 {
		c.buf = make([]byte, smallBuffer)
	}
	last := begun.Add(lingerMost)
	for now := begun; now.Before(last); now = time.Now() {
		end := now.Add(lingerIdle)
		if end.After(last) {
			end = last
		}
		_ = c.reads.at(end)
		if _, err := c.stream.Read(c.buf); err != nil {
			c.pay(ended(err) && (c.owed == nil || !socket.Broke(c.nc, err)))
			return
		}
	}
	c.pay(false) // it still sends, and its connection will be reset
}
