package tokencache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// errAbandoned: all who waited for the mint left before its turn came. Whoever
// came since asks again.
var errAbandoned = errors.New("nobody waits for this mint")

// mint runs once for all who want a token of e at this moment (a flight).
func (c *Cache) mint(e *entry) (token secret.String, err error) {
	if !c.begin() {
		return secret.String{}, ErrClosed
	}
	defer c.mints.Done()
	// Those who wait may all leave. Without the pin the entry could be evicted
	// then, and its token would be stored where nobody finds it.
	e.pins.Add(1)
	defer e.pins.Add(-1)

	turn, used := c.gate.enter(e), false
	select {
	case wanted := <-turn.ready:
		if !wanted {
			return secret.String{}, errAbandoned
		}
		defer func() { c.gate.leave(turn, used) }()
	case <-c.lifetime.Done():
		c.gate.leave(turn, false)
		return secret.String{}, ErrClosed
	}

	// Look again. A misses, and is about to ask for a flight; B's flight stores
	// the token and ends; A's is a new one, and without this look a second mint.
	// The same with a failure: without the look, A would try again at once.
	now := c.clock.now()
	if m := e.current.Load(); m != nil && m.state(now) == fresh && (!e.forced.Load() || m.young(now)) {
		return m.token, nil
	}
	if _, cause := c.blocked(e, now); cause != nil {
		return secret.String{}, cause
	}

	forced := e.forced.Swap(false)
	forgiven := c.forgiven.Load()
	start := now
	used = true
	fetched, err := c.fetch(e.grant)
	if c.lifetime.Err() != nil && err != nil {
		return secret.String{}, ErrClosed
	}
	stored := c.clock.now()
	event := Mint{Grant: e.grant, Duration: time.Duration(stored.mono - start.mono)}
	if err == nil {
		m := newMinted(fetched, start, stored, c.config.RefreshBefore, jitter())
		m.successor = e.refused.Swap(nil) != nil
		e.current.Store(m)
		e.lost.Store(nil)
		e.failure.Store(nil)
		e.mints.Add(1)
		c.lastSuccess.Store(stored.mono)
		event.ExpiresIn = m.left(stored)
		event.RefreshIn = m.refreshAt - m.age(stored)
		token = m.token
	} else {
		f := c.fail(e, err, start, stored)
		if m := e.current.Load(); forced && f.err.Reason != Rejected && m != nil && m.state(stored) != expired {
			e.forced.Store(true)
		}
		if f.err.Reason == Rejected && forgiven != c.forgiven.Load() {
			e.failure.CompareAndSwap(f, nil) // the credentials changed during this mint
		}
		event.Err, event.RetryIn = f.err, time.Duration(f.demandAt-stored.mono)
		err = f.err
	}
	c.poke()
	if c.config.OnMint != nil {
		c.config.OnMint(event)
	}
	return token, err
}

// begin reports whether a mint may start; if so the caller ends it with
// c.mints.Done.
func (c *Cache) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.mints.Add(1)
	}
	return !c.closed
}

// fetch asks the Fetcher, on the cache's own context.
func (c *Cache) fetch(grant Grant) (token Token, err error) {
	ctx, cancel := context.WithTimeout(c.lifetime, c.config.MintTimeout)
	defer cancel()
	// singleflight ends the process when its function panics.
	defer func() {
		if r := recover(); r != nil {
			err = &FetchError{Reason: Unavailable, Err: fmt.Errorf("panic of type %T while fetching", r)}
		}
	}()
	token, err = c.config.Fetcher.Fetch(ctx, grant)
	if err == nil && token.AccessToken.IsZero() {
		err = &FetchError{Reason: Malformed, Err: errors.New("empty access token")}
	}
	return token, err
}

// fail records a failed mint. The token that is there stays: it is good to its
// true end, whatever the endpoint says of the next one.
func (c *Cache) fail(e *entry, err error, start, now instant) *failure {
	cause, ok := errors.AsType[*FetchError](err)
	if !ok {
		cause = &FetchError{Reason: Unavailable, Err: err}
		if errors.Is(err, context.DeadlineExceeded) {
			cause.Reason = TimedOut
		}
	}
	e.failures.Add(1)
	f := newFailure(cause, e.failure.Load(), now.mono, jitter())
	f.alone = cause.Reason == Rejected || cause.Reason != Throttled &&
		(c.lastSuccess.Load() >= start.mono || now.mono-start.mono > int64(slowMint))
	e.failure.Store(f)
	if cause.Reason == Throttled {
		c.pause(now.mono + int64(retryAfter(cause)))
	}
	return f
}

// slowMint is how long a mint may hold a slot for nothing before its grant has to
// make do with the slots of suspects.
const slowMint = time.Second

// pause lets no mint of any grant start until then. The longest pause holds.
func (c *Cache) pause(until int64) {
	for {
		old := c.pausedUntil.Load()
		if until <= old || c.pausedUntil.CompareAndSwap(old, until) {
			return
		}
	}
}
