package upstream

import (
	"context"
	"sync"
	"time"
)

// patience is the age from which a request's cancellation is watched. Most are
// over by then, and have not paid for context.AfterFunc.
const patience = 50 * time.Millisecond

// watch closes the connections of requests that are cancelled, at once if they
// are older than patience, or when they get so old.
//
// No cancellation is lost: every exchange between begin and end is in the
// queue, and then the timer is armed for its head or fire waits for mu; or
// AfterFunc watches it, which also sees what was cancelled before. Nothing
// joins the queue before the head, so nothing waits longer than patience.
type watch struct {
	mu          sync.Mutex // guards the following, and watched in exchanges
	first, last *exchange  // the young ones, in order of begin
	timer       *time.Timer
	armed       bool // timer will run, or is about to lock mu
}

// watched is an exchange's place.
type watched struct {
	prev, next *exchange
	since      time.Time
	young      bool        // in the queue
	stop       func() bool // forgets the cancellation; nil while young
}

func (w *watch) begin(x *exchange, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x.watched = watched{since: now, young: true, prev: w.last}
	if w.last == nil {
		w.first = x
	} else {
		w.last.watched.next = x
	}
	w.last = x
	if !w.armed {
		w.armLocked(patience)
	}
}

// beginOld watches one that is followed: the end of its context closes it.
func (w *watch) beginOld(x *exchange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wire := x.c.wire
	x.watched.stop = context.AfterFunc(x.ctx, func() { _ = wire.Close() })
}

// end ends the watch over x, and reports whether its connection may go on: no
// closing of it has begun or will, and x was not cancelled.
func (w *watch) end(x *exchange) bool {
	w.mu.Lock()
	if x.watched.young {
		w.removeLocked(x)
	}
	stop := x.watched.stop
	w.mu.Unlock()
	// A closing that has begun may come to pass only after the next request has
	// started on the connection. stop says so.
	return (stop == nil || stop()) && x.ctx.Err() == nil
}

func (w *watch) removeLocked(x *exchange) {
	prev, next := x.watched.prev, x.watched.next
	if prev == nil {
		w.first = next
	} else {
		prev.watched.next = next
	}
	if next == nil {
		w.last = prev
	} else {
		next.watched.prev = prev
	}
	x.watched = watched{}
}

func (w *watch) armLocked(d time.Duration) {
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.fire)
		return
	}
	w.timer.Reset(d)
}

// fire hands those that are no longer young to AfterFunc. It keeps mu: between
// removeLocked and stop no caller may ask. AfterFunc calls nothing of ours here,
// since it runs its function on a goroutine.
func (w *watch) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	now := time.Now()
	for x := w.first; x != nil; x = w.first {
		if age := now.Sub(x.watched.since); age < patience {
			w.armLocked(patience - age)
			return
		}
		w.removeLocked(x)
		// Closing and not a deadline: an upload moves deadlines, and a cancelled
		// exchange never gives its connection back.
		wire := x.c.wire
		x.watched.stop = context.AfterFunc(x.ctx, wire.cancel)
	}
}
