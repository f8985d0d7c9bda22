package upstream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// warmLead limits how long before the last idle connection becomes useless the
	// next one is made.
	warmLead = 5 * time.Second
	// warmRetry is the pause after a dial that failed.
	warmRetry = 15 * time.Second
)

// warm keeps one connection ready while there is traffic. It makes no request, and
// one connection at a time; none while a request waits for one. Without traffic no
// timer runs. A nil *warm does nothing.
type warm struct {
	t    *Transport // nil: switched off
	lead time.Duration

	made, taken, wasted atomic.Uint64

	last  atomic.Int64 // when there was a request; ns; 0: none
	armed atomic.Bool  // timer will run, or check does

	mu    sync.Mutex // guards timer
	timer *time.Timer
}

func (w *warm) init(t *Transport) {
	if t.KeepWarm <= 0 {
		return
	}
	w.t = t
	w.lead = min(warmLead, t.pool.idleTimeout/4, t.dialer.maxConnAge/4)
	t.pool.warm = w
}

// traffic notes that a request has ended and that its connection is idle.
func (w *warm) traffic(now time.Time) {
	if w.t == nil {
		return
	}
	w.last.Store(now.UnixNano())
	if w.armed.CompareAndSwap(false, true) {
		w.after(min(w.t.pool.idleTimeout, w.t.dialer.maxConnAge) / 2)
	}
}

func (w *warm) after(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.check)
		return
	}
	w.timer.Reset(d)
}

// check makes a connection if the last idle one is about to be of no use.
func (w *warm) check() {
	now := time.Now()
	last := w.last.Load()
	if last == 0 || now.Sub(time.Unix(0, last)) > w.t.KeepWarm {
		w.armed.Store(false)
		return
	}
	switch left := w.t.pool.lasts(now); {
	case left > w.lead:
		w.after(left - w.lead)
	case w.dial():
		w.after(w.lead) // looks at the new one
	default:
		w.after(warmRetry)
	}
}

// dial puts a new connection into the pool. Its steps have limits of their own.
func (w *warm) dial() bool {
	p := &w.t.pool
	ctx, cancel := context.WithCancel(context.Background())
	spare := &waiter{urgent: true, cancel: cancel} // of no caller's share
	if !p.slot(spare) {
		cancel()
		return false
	}
	if w.last.Load() == 0 { // stopped meanwhile
		cancel()
	}
	return w.t.dial(ctx, spare)
}

// ahead, used and unused are told what becomes of a connection.
func (w *warm) ahead(c *conn) {
	if w != nil {
		c.ahead = true
		w.made.Add(1)
	}
}

func (w *warm) used(c *conn) {
	if w != nil && c != nil && c.ahead {
		c.ahead = false
		w.taken.Add(1)
	}
}

func (w *warm) unused(c *conn) {
	if w != nil && c.ahead {
		c.ahead = false
		w.wasted.Add(1)
	}
}

// stop keeps nothing warm until the next request.
func (w *warm) stop() {
	w.last.Store(0)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && w.timer.Stop() {
		w.armed.Store(false)
	}
}

// MadeAhead says how many connections were made before a request needed one, how
// many of them a request then used, and how many ended unused.
func (t *Transport) MadeAhead() (made, used, unused uint64) {
	return t.warm.made.Load(), t.warm.taken.Load(), t.warm.wasted.Load()
}

// lasts says how long there will be an idle connection that can be used.
func (p *pool) lasts(now time.Time) (longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		longest = max(longest, min(c.idleFrom.Add(p.idleTimeout).Sub(now), c.retire.Sub(now)))
	}
	return longest
}

// slot takes one for a spare connection, if no request needs it.
func (p *pool) slot(spare *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open >= p.maxOpen-p.reserve || p.waiters.Len()+p.urgent.Len() > 0 {
		return false
	}
	p.open++
	p.spareLocked(spare)
	return true
}

// settle reads what TLS says after a handshake, session tickets, on a connection
// that has carried nothing else: unread they look like stray bytes. It waits for
// nothing. It reports whether that was all; anything else is for the peek to see.
func (c *conn) settle() bool {
	if c.tlsState == nil || c.served || !c.live.sees() {
		return false
	}
	c.wire.waiting = &c.live
	n, err := c.nc.Read(c.buf[:1])
	c.wire.waiting = nil
	return n == 0 && errors.Is(err, errProbe)
}
