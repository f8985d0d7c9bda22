package upstream

import (
	"container/list"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// pool holds the idle connections, last in first out, so that a few stay warm
// and the rest age out at the bottom; and it counts the open ones. A slot is
// the right to have one connection open. What becomes free goes to the longest
// waiter directly, to an urgent one first.
//
// A read that waits for its own dial takes a connection that becomes free, if no other
// request has waited longer: to an https origin a dial takes two round trips or three.
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
	open     int                       // connections and dials under way
	ordinary int                       // those of them in the hands of requests that are not urgent
	waiters  list.List                 // of *waiter
	urgent   list.List                 // likewise
	dialling list.List                 // likewise, with a slot each
	spares   map[*waiter]chan struct{} // dials that nobody waits for; closed when one has ended
	sweeper  *time.Timer
	armed    bool // sweeper will run
}

// want says what a request needs of a connection.
type want struct {
	urgent bool
	// youngest: the longer a connection has been idle and open, the likelier
	// upstream closes it as a request comes. A read is then sent again, a write not.
	youngest bool
	since    time.Time // when it was not to be had at once
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
// it owes freeSlot if it makes no connection. It sets need.since.
func (p *pool) get(ctx context.Context, limit time.Duration, need *want) (*conn, error) {
	trusts := !need.urgent && !need.youngest // a write gets no connection that was given back just now
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
		if need.since.IsZero() {
			need.since = time.Now()
		}
		room := may && p.open < p.maxOpen
		if room && !(trusts && p.enoughLocked()) {
			p.open++
			p.takeLocked(need.urgent)
			p.mu.Unlock()
			return nil, nil
		}
		w, queue := &waiter{urgent: need.urgent, since: need.since, given: make(chan given, 1)}, &p.waiters
		if need.urgent {
			queue = &p.urgent
		}
		w.joinLocked(queue)
		p.mu.Unlock()
		if !room {
			return p.wait(ctx, limit, w)
		}
		if c, err := p.wait(ctx, min(limit, spareTrust), w); err != errLimit { //nolint:errorlint // bare
			return c, err
		}
		trusts = false
	}
}

// spareTrust limits the wait for a dial that nobody waits for: it may hang.
const spareTrust = 250 * time.Millisecond

// enoughLocked reports whether so many dials have lost their request to another
// connection that a new request need not dial as well. Without it a dial would begin
// for each request, and not for each that waits at one time.
func (p *pool) enoughLocked() bool {
	return len(p.spares) > p.waiters.Len()+p.urgent.Len()
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
	spares := maps.Clone(p.spares)
	p.mu.Unlock()
	for w, ended := range spares {
		w.cancel()
		<-ended
	}
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
