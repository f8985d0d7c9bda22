package tokencache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// errAbandoned means that all callers that waited for the mint left before its turn
// came, or that it was left to another process. A caller that came since asks again.
var errAbandoned = errors.New("no request waits for this mint")

// mint runs once for all who want a token of e at this moment (a flight).
func (c *Cache) mint(e *entry) (secret.String, error) {
	if !c.begin() {
		return secret.String{}, ErrClosed
	}
	defer c.mints.Done()
	// Those who wait may all leave. Without the pin the entry could be evicted then,
	// and its token would be stored where no caller finds it.
	e.pins.Add(1)
	defer e.pins.Add(-1)
	f := c.newFlight(e)
	for {
		token, err, again := f.try()
		if !again {
			return token, err
		}
	}
}

// try asks the other processes, then stands in line, then mints. again: another
// process was faster after all, and has to be asked again.
func (f *flight) try() (token secret.String, err error, again bool) {
	// Without this look, a token that has just come would be asked for once more.
	if token, err, done := f.look(); done {
		return token, err, false
	}
	if token, err, done := f.others(); done {
		return token, err, false
	}
	if f.hopeless() {
		return secret.String{}, f.abandoned(), false
	}
	turn := f.gate.enter(f.e)
	select {
	case wanted := <-turn.ready:
		if !wanted {
			return secret.String{}, f.abandoned(), false
		}
	case <-f.lifetime.Done():
		f.gate.leave(turn, false)
		f.giveBack()
		return secret.String{}, ErrClosed, false
	}
	// Look again. A misses, and is about to ask for a flight; B's flight stores
	// the token and ends; A's is a new one, and without this look a second mint.
	// The same with a failure: without the look, A would try again at once.
	if token, err, done := f.look(); done {
		f.gate.leave(turn, false)
		f.giveBack()
		return token, err, false
	}
	if f.answered && f.claim == nil {
		a, token, err, done := f.claimNow()
		switch {
		case done:
			f.gate.leave(turn, false)
			return token, err, false
		case a.Kind == Busy, a.Kind == Pacing:
			// The place in the line is for others meanwhile. Without the pause, a line of
			// flights would ask for what the Store does not give as fast as it responds.
			f.gate.leave(turn, false)
			err := f.leaveIt(a)
			return secret.String{}, err, err == nil
		}
	}
	token, err = f.fetchAndKeep(turn)
	return token, err, false
}

// look returns what an earlier flight has left: a fresh token, or a failure.
func (f *flight) look() (token secret.String, err error, done bool) {
	now := f.clock.now()
	forced := f.forced || f.e.forced.Load()
	if m := f.e.current.Load(); m != nil && m.state(now) == fresh && (!forced || m.young(now)) {
		if f.forced {
			f.e.forced.Store(true) // Run comes back to it when the token is no longer young
		}
		return m.token, nil, true
	}
	if _, cause := f.blocked(f.e, now); cause != nil {
		if f.forced {
			f.e.forced.Store(true)
		}
		return secret.String{}, cause, true
	}
	return secret.String{}, nil, false
}

// hopeless reports whether the line here is too long for the callers that wait. With a
// Store they have not looked at it before: they first ask the Store for a token.
func (f *flight) hopeless() bool {
	hold := f.config.HoldTimeout
	return f.e.waiting.Load() > 0 && f.claim == nil && f.gate.delay(f.e) > hold-hold/5
}

// fetchAndKeep mints, in its turn, and keeps what comes of it.
func (f *flight) fetchAndKeep(turn *turn) (secret.String, error) {
	f.takeForced()
	f.forgiven = f.Cache.forgiven.Load()
	start := f.clock.now()
	r, elsewhere := f.fetchOrFind(turn, start)
	if elsewhere {
		return f.e.current.Load().token, nil
	}
	defer f.gate.leave(turn, true)
	if f.lifetime.Err() != nil && r.err != nil {
		f.giveBack()
		return secret.String{}, ErrClosed
	}
	event := r.event
	defer func() {
		f.poke()
		f.config.OnMint(event)
	}()
	if r.err != nil {
		failed := f.fail(f.e, r.err, start, r.ended)
		f.unforce(failed, r.ended)
		event.Err, event.RetryIn = failed.err, time.Duration(failed.demandAt-r.ended.mono)
		f.tell(Outcome{Err: failed.err})
		return secret.String{}, failed.err
	}
	m := newMinted(r.token, start, r.ended, f.config.RefreshBefore, jitter())
	m.mark, m.by = f.mark, r.token.By
	if f.config.Store != nil {
		m.refreshAt = sharedRefresh(m.lifetime, f.config.RefreshBefore, m.age(r.ended)+minInterval, jitter())
	}
	f.keep(f.e, m)
	f.e.mints.Add(1)
	f.lastSuccess.Store(r.ended.mono)
	event.ExpiresIn, event.RefreshIn = m.left(r.ended), m.refreshAt-m.age(r.ended)
	f.tell(Outcome{Token: r.token})
	return m.token, nil
}

// fetched is the result of the Fetcher.
type fetched struct {
	token Token
	err   error
	ended instant
	event Mint
}

// fetchOrFind mints. While a caller waits, it checks every second whether another
// process has a token by now: with an endpoint that takes its time, many mint, and
// all may take the first that comes. elsewhere reports that one was found; the mint
// goes on, and its outcome changes nothing.
func (f *flight) fetchOrFind(turn *turn, start instant) (r fetched, elsewhere bool) {
	fetch := func() fetched {
		token, err := f.fetch(f.e.grant)
		ended := f.clock.now()
		return fetched{token, err, ended, Mint{Grant: f.e.grant, Duration: time.Duration(ended.mono - start.mono)}}
	}
	if f.config.Store == nil {
		return fetch(), false
	}
	done := make(chan fetched, 1)
	ctx, cancel := context.WithCancel(f.lifetime)
	f.mints.Go(func() {
		defer cancel() // no caller waits for a response of others any more
		done <- fetch()
	})
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case r := <-done:
			return r, false
		case <-every.C:
		}
		if f.e.waiting.Load() == 0 {
			continue
		}
		if f.found(ctx) {
			f.mints.Go(func() {
				f.drop(<-done)
				f.gate.leave(turn, true)
			})
			return fetched{}, true
		}
	}
}

// found looks whether another process has a token.
func (f *flight) found(ctx context.Context) bool {
	claim, mark := f.claim, f.mark
	a, err := f.ask(ctx, true, true)
	f.claim, f.mark = claim, mark
	return err == nil && a.Kind == Found
}

// drop ends a mint that no caller waits for any more.
func (f *flight) drop(r fetched) {
	if r.err != nil {
		r.event.Err = asFetchError(r.err)
		if r.event.Err.Reason == Throttled {
			f.pause(r.ended.mono + int64(retryAfter(r.event.Err)))
		}
	} else {
		f.e.mints.Add(1)
		r.event.ExpiresIn = r.token.ExpiresIn - r.event.Duration
	}
	if f.lifetime.Err() == nil {
		f.config.OnMint(r.event)
	}
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

// fail records a failed mint. The current token stays: it is good to its true end,
// whatever the endpoint says of the next one.
func (c *Cache) fail(e *entry, err error, start, now instant) *failure {
	cause := asFetchError(err)
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

// asFetchError is err as the Fetcher should have returned it.
func asFetchError(err error) *FetchError {
	cause, ok := errors.AsType[*FetchError](err)
	if !ok {
		cause = &FetchError{Reason: Unavailable, Err: err}
		if errors.Is(err, context.DeadlineExceeded) {
			cause.Reason = TimedOut
		}
	}
	return cause
}

// slowMint is the time after which a mint that holds a slot without a result makes
// its grant a suspect.
const slowMint = time.Second

// pause lets no mint of any grant start until then. The longest pause holds.
func (c *Cache) pause(until int64) { raise(&c.pausedUntil, until) }

func raise(least *atomic.Int64, to int64) {
	for {
		old := least.Load()
		if to <= old || least.CompareAndSwap(old, to) {
			return
		}
	}
}
