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
// the right to have one connection open. While anybody waits for a slot,
// nothing is idle: what becomes free goes to the longest waiter directly.
type pool struct {
	maxOpen, maxIdle int
	idleTimeout      time.Duration

	mu      sync.Mutex // guards the following
	idle    []*conn
	open    int       // connections and dials under way
	waiters list.List // of chan *conn; nil on the channel is a bare slot
	sweeper *time.Timer
	armed   bool // sweeper will run
}

// get returns an idle connection, or nil for a slot in which the caller dials:
// it owes freeSlot if it makes no connection.
func (p *pool) get(ctx context.Context, limit time.Duration) (*conn, error) {
	for {
		p.mu.Lock()
		if last := len(p.idle) - 1; last >= 0 {
			c := p.idle[last]
			p.idle[last] = nil
			p.idle = p.idle[:last]
			p.mu.Unlock()
			if c.usable(p.idleTimeout) {
				return c, nil
			}
			p.discard(c)
			continue
		}
		if p.open < p.maxOpen {
			p.open++
			p.mu.Unlock()
			return nil, nil
		}
		offer := make(chan *conn, 1)
		place := p.waiters.PushBack(offer)
		p.mu.Unlock()
		return p.wait(ctx, limit, place, offer)
	}
}

func (p *pool) wait(ctx context.Context, limit time.Duration, place *list.Element, offer chan *conn) (*conn, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	select {
	case c := <-offer:
		if c == nil || c.usable(p.idleTimeout) {
			return c, nil
		}
		_ = c.wire.Close()
		return nil, nil // its slot is ours
	case <-ctx.Done():
		err = contextError(ctx)
	case <-timer.C:
		err = errLimit
	}
	p.mu.Lock()
	p.waiters.Remove(place) // does nothing when an offer was made meanwhile
	p.mu.Unlock()
	select {
	case c := <-offer: // made just before we left: pass it on
		if c == nil {
			p.freeSlot()
		} else {
			p.put(c, time.Now())
		}
	default:
	}
	return nil, err
}

// offerLocked gives c (nil: a slot) to the longest waiter.
func (p *pool) offerLocked(c *conn) bool {
	front := p.waiters.Front()
	if front == nil {
		return false
	}
	p.waiters.Remove(front).(chan *conn) <- c
	return true
}

// put takes back a connection that is fit for another request.
func (p *pool) put(c *conn, now time.Time) {
	c.idleFrom = now
	p.mu.Lock()
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
		coldest.closeIdle()
	}
}

// discard closes a connection that must not be used again.
func (p *pool) discard(c *conn) {
	_ = c.wire.Close()
	p.freeSlot()
}

func (p *pool) freeSlot() {
	p.mu.Lock()
	defer p.mu.Unlock()
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
		c.closeIdle()
	}
}

func (p *pool) closeIdle() {
	p.mu.Lock()
	old := p.idle
	p.idle = nil
	p.open -= len(old)
	if p.armed && p.sweeper.Stop() {
		p.armed = false
	}
	p.mu.Unlock()
	for _, c := range old {
		c.closeIdle()
	}
}
