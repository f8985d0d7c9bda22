package upstream

import (
	"container/list"
	"context"
	"time"
)

// waiter is a request that waits for a connection, or a dial that nobody waits for.
type waiter struct {
	urgent bool
	since  time.Time // its request has waited
	given  chan given
	cancel func() // ends its dial; nil: it has none

	// Guarded by pool.mu.
	queue *list.List
	place *list.Element
}

// given is what ends a wait: a connection, an error of the waiter's own dial, or a
// bare slot.
type given struct {
	c      *conn
	made   bool // for this waiter
	failed *stepError
}

func (w *waiter) joinLocked(queue *list.List) { w.queue, w.place = queue, queue.PushBack(w) }

// leaveLocked reports whether w was still waiting.
func (w *waiter) leaveLocked() bool {
	if w.queue == nil {
		return false
	}
	w.queue.Remove(w.place)
	w.queue, w.place = nil, nil
	return true
}

func (p *pool) wait(ctx context.Context, limit time.Duration, w *waiter) (*conn, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	select {
	case g := <-w.given:
		return p.accept(g.c), nil
	case <-ctx.Done():
		err = contextError(ctx)
	case <-timer.C:
		err = errLimit
	}
	p.mu.Lock()
	waited := w.leaveLocked()
	p.mu.Unlock()
	if !waited { // an offer was made just before we left: pass it on
		if g := <-w.given; g.c == nil {
			p.freeSlot(w.urgent)
		} else {
			p.put(g.c, time.Now())
		}
	}
	return nil, err
}

// accept returns the connection that was offered, or nil if it is of no use: its slot
// is then the caller's.
func (p *pool) accept(c *conn) *conn {
	if c == nil || c.usable(p.idleTimeout) {
		p.warm.used(c)
		return c
	}
	p.warm.unused(c)
	_ = c.wire.Close()
	return nil
}

// offerLocked gives c (nil: a slot) to the longest waiter.
func (p *pool) offerLocked(c *conn) bool {
	w := first(&p.urgent)
	if w == nil {
		w = first(&p.waiters)
		if d := first(&p.dialling); c != nil && d != nil && (w == nil || d.since.Before(w.since)) {
			w = d
		}
	}
	if w == nil || !p.mayLocked(w.urgent) {
		return false
	}
	p.takeLocked(w.urgent)
	if c != nil {
		c.urgent = w.urgent
	}
	w.leaveLocked()
	if w.cancel != nil {
		p.spareLocked(w)
	}
	w.given <- given{c: c}
	return true
}

// first returns the one at the front of queue; nil: it is empty.
func first(queue *list.List) *waiter {
	if front := queue.Front(); front != nil {
		return front.Value.(*waiter)
	}
	return nil
}

// dial makes a waiter whose dial ends by cancel. takes: it takes a connection that
// becomes free as well.
func (p *pool) dial(need *want, takes bool, cancel func()) *waiter {
	w, queue := &waiter{urgent: need.urgent, since: need.since, given: make(chan given, 1), cancel: cancel}, &p.dialling
	if !takes {
		queue = new(list.List) // its own
	}
	p.mu.Lock()
	w.joinLocked(queue)
	p.mu.Unlock()
	return w
}

// spareLocked is for a dial that nobody waits for.
func (p *pool) spareLocked(w *waiter) {
	if p.spares == nil {
		p.spares = map[*waiter]chan struct{}{}
	}
	p.spares[w] = make(chan struct{})
}

// deliver ends a dial: its connection, or its error, goes to the request that waits for
// it. A spare connection is for the next one. It reports whether there is a connection.
func (p *pool) deliver(w *waiter, c *conn, failed *stepError) bool {
	p.mu.Lock()
	waited := w.leaveLocked()
	p.mu.Unlock()
	if c != nil {
		c.urgent = w.urgent
	}
	switch {
	case waited:
		w.given <- given{c, true, failed}
		return failed == nil
	case failed != nil:
		p.freeSlot(w.urgent)
	default:
		p.warm.ahead(c)
		p.put(c, time.Now())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.spares[w]) // not before its connection is in the pool
	delete(p.spares, w)
	return failed == nil
}
