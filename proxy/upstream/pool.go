package upstream

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

// pool holds the idle connections, last in first out, so that a few stay warm
// and the rest age out at the bottom; and it counts the open ones. A slot is
// the right to have one connection open. What becomes free goes to the longest
// waiter directly, to an urgent one first.
//
// A request that waits for its own dial takes a connection that becomes free, if no
// other request waits for it: to an https origin a dial takes two round trips or three.
// What it has dialled is then for a later request. A plain origin is near, and may be a
// server that serves one connection at a time.
//
// Requests that are not urgent use no more than maxOpen-reserve at a time.
type pool struct {
	maxOpen, maxIdle, reserve int
	idleTimeout               time.Duration
	warm                      *warm // learns of what becomes idle; may be nil
	far                       bool  // the origin is https

	mu       sync.Mutex // guards the following
	idle     []*conn
	open     int              // connections and dials under way
	ordinary int              // those of them in the hands of requests that are not urgent
	waiters  list.List        // of *waiter
	urgent   list.List        // likewise
	dialling list.List        // likewise, with a slot each
	spares   map[*waiter]bool // dials that nobody waits for
	making   sync.WaitGroup   // spares
	sweeper  *time.Timer
	armed    bool // sweeper will run
}

// want says what a request needs of a connection.
type want struct {
	urgent bool
	// youngest: the longer a connection has been idle and open, the likelier
	// upstream closes it as a request comes. A read is then sent again, a write not.
	youngest bool
}

// waiter is a request that waits for a connection, or a dial that nobody waits for.
type waiter struct {
	urgent bool
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

func (p *pool) mayLocked(urgent bool) bool { return urgent || p.ordinary < p.maxOpen-p.reserve }

// takeLocked and leaveLocked count those that are not urgent.
func (p *pool) takeLocked(urgent bool) {
	if !urgent {
		p.ordinary++
	}
}

func (p *pool) leaveLocked(urgent bool) {
	if !urgent {
		p.ordinary--
	}
}

// get returns an idle connection, or nil for a slot in which the caller dials:
// it owes freeSlot if it makes no connection.
func (p *pool) get(ctx context.Context, limit time.Duration, need want) (*conn, error) {
	for {
		p.mu.Lock()
		may := p.mayLocked(need.urgent)
		if may && len(p.idle) > 0 {
			c := p.popLocked(need.youngest)
			p.takeLocked(need.urgent)
			c.urgent = need.urgent
			p.mu.Unlock()
			if c.usable(p.idleTimeout) {
				p.warm.used(c)
				return c, nil
			}
			p.discard(c)
			continue
		}
		if may && p.open < p.maxOpen && !p.enoughLocked() {
			p.open++
			p.takeLocked(need.urgent)
			p.mu.Unlock()
			return nil, nil
		}
		w, queue := &waiter{urgent: need.urgent, given: make(chan given, 1)}, &p.waiters
		if need.urgent {
			queue = &p.urgent
		}
		w.joinLocked(queue)
		p.mu.Unlock()
		return p.wait(ctx, limit, w)
	}
}

// enoughLocked reports whether so many dials have lost their request to another
// connection that a new request need not dial as well. Without it a dial would begin
// for each request, and not for each that waits at one time.
func (p *pool) enoughLocked() bool {
	return p.far && len(p.spares) > p.waiters.Len()+p.urgent.Len()
}

func (p *pool) popLocked(youngest bool) *conn {
	at := len(p.idle) - 1
	if youngest {
		for i, c := range p.idle {
			if c.made.After(p.idle[at].made) {
				at = i
			}
		}
	}
	c := p.idle[at]
	p.idle = slices.Delete(p.idle, at, at+1)
	return c
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
	queue := &p.urgent
	if queue.Len() == 0 {
		queue = &p.waiters
	}
	if queue.Len() == 0 && c != nil && p.far {
		queue = &p.dialling
	}
	front := queue.Front()
	if front == nil {
		return false
	}
	w := front.Value.(*waiter)
	if !p.mayLocked(w.urgent) {
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

// dial makes a waiter whose dial ends by cancel.
func (p *pool) dial(urgent bool, cancel func()) *waiter {
	w := &waiter{urgent: urgent, given: make(chan given, 1), cancel: cancel}
	p.mu.Lock()
	w.joinLocked(&p.dialling)
	p.mu.Unlock()
	return w
}

// spareLocked is for a dial that nobody waits for.
func (p *pool) spareLocked(w *waiter) {
	p.making.Add(1) // for deliver
	if p.spares == nil {
		p.spares = map[*waiter]bool{}
	}
	p.spares[w] = true
}

// deliver ends a dial: its connection, or its error, goes to the request that waits for
// it. A spare connection is for the next one. It reports whether there is a connection.
func (p *pool) deliver(w *waiter, c *conn, failed *stepError) bool {
	p.mu.Lock()
	waited, spare := w.leaveLocked(), p.spares[w]
	delete(p.spares, w)
	p.mu.Unlock()
	if spare {
		defer p.making.Done()
	}
	if c != nil {
		c.urgent = w.urgent
	}
	switch {
	case waited:
		w.given <- given{c, true, failed}
	case failed != nil:
		p.freeSlot(w.urgent)
	default:
		p.warm.ahead(c)
		p.put(c, time.Now())
	}
	return failed == nil
}

// put takes back a connection that is fit for another request.
func (p *pool) put(c *conn, now time.Time) {
	c.idleFrom = now
	p.mu.Lock()
	p.leaveLocked(c.urgent)
	if p.offerLocked(c) {
		p.mu.Unlock()
		return
	}
	var coldest *conn
	if len(p.idle) >= p.maxIdle {
		coldest = p.idle[0]
		p.idle = slices.Delete(p.idle, 0, 1)
		p.open--
	}
	p.idle = append(p.idle, c)
	if !p.armed {
		p.armLocked(p.idleTimeout)
	}
	p.mu.Unlock()
	if coldest != nil {
		p.warm.unused(coldest)
		coldest.closeIdle()
	}
}

// discard closes a connection that must not be used again.
func (p *pool) discard(c *conn) {
	p.warm.unused(c)
	_ = c.wire.Close()
	p.freeSlot(c.urgent)
}

func (p *pool) freeSlot(urgent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked(urgent)
	if !p.offerLocked(nil) {
		p.open--
	}
}

// armLocked runs sweep after d. With nothing idle no timer is pending, except
// for one last run.
func (p *pool) armLocked(d time.Duration) {
	p.armed = true
	if p.sweeper == nil {
		p.sweeper = time.AfterFunc(d, p.sweep)
		return
	}
	p.sweeper.Reset(d)
}

func (p *pool) sweep() {
	now := time.Now()
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].idleFrom) >= p.idleTimeout {
		n++
	}
	old := slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	p.open -= n
	p.armed = false
	if len(p.idle) > 0 {
		p.armLocked(p.idleTimeout - now.Sub(p.idle[0].idleFrom))
	}
	p.mu.Unlock()
	for _, c := range old {
		p.warm.unused(c)
		c.closeIdle()
	}
}

// closeIdle closes what no request uses, and ends the dials that nobody waits for.
func (p *pool) closeIdle() {
	p.mu.Lock()
	for w := range p.spares {
		w.cancel()
	}
	p.mu.Unlock()
	p.making.Wait()
	p.mu.Lock()
	old := p.idle
	p.idle = nil
	p.open -= len(old)
	if p.armed && p.sweeper.Stop() {
		p.armed = false
	}
	p.mu.Unlock()
	for _, c := range old {
		p.warm.unused(c)
		c.closeIdle()
	}
}
