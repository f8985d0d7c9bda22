package listen

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// Crowd bounds the connections of an http.Server, by its ConnState: above Max the
// one that has been without a whole request longest makes room for a new one.
// proxy/strict has a bound of its own.
type Crowd struct {
	// Max is at least 1.
	Max int
	// CutActive: if every connection has a request under way, the oldest of them goes.
	// Otherwise the new one does, because a write under way must not be cut off.
	CutActive bool

	mu             sync.Mutex // guards what follows
	at             map[net.Conn]*list.Element
	silent, active list.List // of net.Conn, the oldest first
}

// Observe is the ConnState.
func (c *Crowd) Observe(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[net.Conn]*list.Element{}
	}
	var victim net.Conn
	if state == http.StateNew && len(c.at) >= c.Max {
		victim = c.leaves(conn)
	}
	// It is in one of the two lists at most: the other one leaves it alone.
	if element := c.at[conn]; element != nil {
		c.silent.Remove(element)
		c.active.Remove(element)
		delete(c.at, conn)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		c.at[conn] = c.silent.PushBack(conn)
	case http.StateActive:
		c.at[conn] = c.active.PushBack(conn)
	}
	if victim != nil {
		_ = victim.Close() // the server finds out, and says StateClosed
	}
}

// leaves returns the connection that makes room.
func (c *Crowd) leaves(newest net.Conn) net.Conn {
	oldest := c.silent.Front()
	if oldest == nil && c.CutActive {
		oldest = c.active.Front()
	}
	if oldest == nil {
		return newest
	}
	conn, _ := oldest.Value.(net.Conn)
	c.silent.Remove(oldest)
	c.active.Remove(oldest)
	delete(c.at, conn) // it counts no more, although its end is still to come
	return conn
}
