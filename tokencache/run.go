package tokencache

import (
	"context"
	"math"
	"time"
)

// Run refreshes tokens ahead of their expiry until ctx ends, and returns when
// the last mint has ended. It is called at most once. Nothing wakes it while
// no token is due.
func (c *Cache) Run(ctx context.Context) error {
	defer c.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-timer.C:
		}
		if next := c.refreshDue(); next == math.MaxInt64 {
			timer.Stop()
		} else {
			timer.Reset(time.Duration(next - c.clock.now().mono))
		}
	}
}

// close lets no mint start any more, ends those under way, and waits for them.
func (c *Cache) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.mints.Wait()
	c.gate.stop()
}

// refreshDue starts the refreshes that are due and returns when the next one
// is, on the monotonic clock. It does not wait for them: a mint that ends wakes
// Run again.
func (c *Cache) refreshDue() (next int64) {
	now := c.clock.now()
	next = math.MaxInt64
	for e := range c.table.all {
		switch due := c.due(e, now); {
		case due > now.mono:
			next = min(next, due)
		// The end of each refresh comes here again.
		case e.warm || c.refreshes.Load() < maxRefreshes:
			c.refresh(e)
		}
	}
	return next
}

// maxRefreshes limits the refreshes that stand in line at once: each costs two
// goroutines, and the budget lets only a few of them go in a second.
const maxRefreshes = 64

// refresh mints e, or joins the flight a waiting caller is in, and wakes Run
// when that has ended. Without the mark Run would join once more at each wake,
// and a thousand refreshes wake it a thousand times. The wake comes after the
// flight is gone: at the one in mint, Run could still join the flight that
// ends, and a refresh asked for meanwhile would be lost.
func (c *Cache) refresh(e *entry) {
	if !e.refreshing.CompareAndSwap(false, true) {
		return
	}
	c.refreshes.Add(1)
	result := c.flights.DoChan(e.key, func() (any, error) { return c.mint(e) })
	c.mints.Go(func() {
		<-result
		c.refreshes.Add(-1)
		e.refreshing.Store(false)
		c.poke()
	})
}

// due is the monotonic moment of e's next refresh; now or earlier means at once,
// math.MaxInt64 never (until a caller asks for a token).
func (c *Cache) due(e *entry, now instant) int64 {
	due, m := int64(math.MaxInt64), e.current.Load()
	switch {
	case e.forced.Load() && m != nil:
		due = max(now.mono, m.storedAt+int64(minInterval))
	case e.forced.Load(), m == nil && e.warm && !e.served():
		due = now.mono
	case m == nil || m.state(now) == expired:
		return due
	case m.state(now) == fresh:
		due = max(m.refreshDue(), c.quietFor(m, now))
	// After a suspend the monotonic moment of the use says nothing.
	case e.usedStale.Load() == m, m.usedLately(e.lastUsed.Load()):
		due = max(now.mono, c.quietFor(m, now))
	default:
		return due // stale and not in use: the next hit pokes Run
	}
	// Never sooner than a refusal or the endpoint allows.
	if f := e.failure.Load(); f != nil {
		due = max(due, f.aheadAt)
	}
	return max(due, c.pausedUntil.Load(), e.lookAt.Load())
}

// PutOff lets refreshes that no caller waits for start after a while only: upstream wants
// no requests of this client id until then.
func (c *Cache) PutOff(while time.Duration) {
	raise(&c.quietUntil, c.clock.now().mono+int64(while))
}

// quietFor is the monotonic moment until which the refresh of m is put off: not beyond
// half of the time that it has before m ends.
func (c *Cache) quietFor(m *minted, now instant) int64 {
	return min(c.quietUntil.Load(), now.mono+int64(m.left(now)-(m.lifetime-m.refreshAt)/2))
}
