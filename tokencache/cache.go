package tokencache

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// Fetcher gets one token from the token endpoint. Its errors are *FetchError;
// another error counts as Unavailable.
type Fetcher interface {
	Fetch(ctx context.Context, grant Grant) (Token, error)
}

// FetcherFunc lets a function be a Fetcher.
type FetcherFunc func(ctx context.Context, grant Grant) (Token, error)

// Fetch calls f.
func (f FetcherFunc) Fetch(ctx context.Context, grant Grant) (Token, error) { return f(ctx, grant) }

// Config configures a Cache.
type Config struct {
	Fetcher Fetcher
	// Warm are the grants whose first token Run mints without being asked. They
	// are never evicted.
	Warm []Grant
	// MintTimeout bounds one mint. Default (0): 10 s.
	MintTimeout time.Duration
	// RefreshBefore is the time before expiry at which a token is refreshed:
	// min(RefreshBefore, half the lifetime), with jitter. 0: not ahead of expiry.
	RefreshBefore time.Duration
	// HoldTimeout limits the wait of a caller of Token. 0: it does not wait.
	HoldTimeout time.Duration
	// MaxEntries bounds the number of grants. Default (0): 1024.
	MaxEntries int
	// MaxMints bounds the mints under way at once, those of warm grants not
	// counted. Default (0): 16.
	MaxMints int
	// MintsPerSecond bounds the mints that begin, in the long run; for a moment
	// they may be two fifths more. Default (0): 20, of the 30 requests that Monite
	// allows a client id. Below 0: no limit.
	MintsPerSecond int
	// OnMint is called after each mint, on the goroutine of the mint, with no
	// lock held. May be nil.
	OnMint func(Mint)
	// Store is shared with other processes. Nil: there are none.
	Store Store
	// StoreTimeout limits an exchange with the Store while a caller waits. The Store
	// has ten times as long when no caller waits, or before its first response.
	// Default (0): 50 ms.
	StoreTimeout time.Duration
	// OnAdopt is called with the age of each token that another process minted, as
	// OnMint is. May be nil.
	OnAdopt func(grant Grant, age time.Duration)
}

// Mint tells how one mint ended.
type Mint struct {
	Grant    Grant
	Duration time.Duration
	// ExpiresIn and RefreshIn count from now. Both 0 after a failure.
	ExpiresIn, RefreshIn time.Duration
	// Err is nil after a success.
	Err *FetchError
	// RetryIn is the time until the next try after a failure.
	RetryIn time.Duration
}

// Cache holds the tokens. Use New.
type Cache struct {
	config  Config
	clock   clock
	table   table
	flights singleflight.Group
	gate    *gate         // lets mints start
	wake    chan struct{} // tells Run that something changed
	// pausedUntil is monotonic: until then the endpoint wants no mint at all.
	pausedUntil atomic.Int64
	// quietUntil is monotonic: until then refreshes wait that can.
	quietUntil atomic.Int64
	// lastSuccess is monotonic: when a mint of any grant last succeeded.
	lastSuccess atomic.Int64
	refreshes   atomic.Int64 // in line or under way, by Run
	// forgiven counts calls of Forgive: a refusal of the credentials before says
	// nothing of those after.
	forgiven atomic.Int64
	heard    atomic.Bool // the Store has responded before

	// lifetime is the context of every mint: shared work must not end because
	// the caller who happened to start it went away.
	lifetime context.Context
	end      context.CancelFunc

	mu     sync.Mutex     // guards closed, and Add of mints against its Wait
	closed bool           // Run has ended
	mints  sync.WaitGroup // mints under way
}

// New makes a Cache. It panics without a Fetcher.
func New(config Config) *Cache {
	if config.Fetcher == nil {
		panic("tokencache: Config.Fetcher is nil")
	}
	config.MintTimeout = cmp.Or(config.MintTimeout, 10*time.Second)
	config.MaxEntries = cmp.Or(config.MaxEntries, 1024)
	config.MaxMints = cmp.Or(config.MaxMints, 16)
	config.MintsPerSecond = cmp.Or(config.MintsPerSecond, 20)
	config.StoreTimeout = cmp.Or(config.StoreTimeout, 50*time.Millisecond)
	if config.OnMint == nil {
		config.OnMint = func(Mint) {}
	}
	c := &Cache{
		config: config,
		clock:  clock{base: time.Now()},
		wake:   make(chan struct{}, 1),
	}
	c.lastSuccess.Store(-1)
	c.gate = newGate(func() int64 { return c.clock.now().mono }, config.MaxMints, len(config.Warm), config.MintsPerSecond)
	c.lifetime, c.end = context.WithCancel(context.Background())
	for _, grant := range config.Warm {
		e := c.table.pin(grant, max(config.MaxEntries, len(config.Warm)), c.clock.now())
		e.warm = true
		e.pins.Add(-1)
	}
	return c
}

// Token returns the token of grant: at once if there is one that is not
// expired. Otherwise it waits, up to the hold timeout, for the mint that is
// under way or for the next try if that is due within that time. It returns
// *Error, ErrClosed, or ctx's error.
func (c *Cache) Token(ctx context.Context, grant Grant) (secret.String, error) {
	now := c.clock.now()
	if e := c.table.get(grant); e != nil {
		if token, ok := c.usable(e, now); ok {
			return token, nil
		}
	}
	return c.wait(ctx, grant, now)
}

// usable is the hit: no lock, no allocation.
func (c *Cache) usable(e *entry, now instant) (secret.String, bool) {
	m := e.current.Load()
	if m == nil {
		return secret.String{}, false
	}
	state := m.state(now)
	if state == expired || e.refused.Load() == m {
		return secret.String{}, false
	}
	e.hit(now)
	// Run passed over a token that was not in use when its refresh was due.
	if state == stale && e.usedStale.Load() != m {
		e.usedStale.Store(m)
		c.poke()
	}
	return m.token, true
}

func (c *Cache) wait(ctx context.Context, grant Grant, start instant) (secret.String, error) {
	e := c.table.pin(grant, c.config.MaxEntries, start)
	if e == nil {
		return secret.String{}, &Error{GrantType: grant.Type, Reason: Full, RetryAfter: minInterval}
	}
	defer e.pins.Add(-1)

	deadline := start.mono + int64(c.config.HoldTimeout)
	timeout := time.NewTimer(c.config.HoldTimeout)
	defer timeout.Stop()
	joined := false
	for {
		now := c.clock.now()
		if token, ok := c.usable(e, now); ok {
			return token, nil
		}
		if c.lifetime.Err() != nil {
			return secret.String{}, ErrClosed
		}
		e.touch(now)
		if m := e.current.Load(); m != nil && e.refused.Load() == m {
			next := m.storedAt + int64(minInterval)
			if next > deadline {
				// Too late for this caller, which then gets upstream's refusal.
				return m.token, nil
			}
			if !c.sleep(ctx, time.Duration(next-now.mono)) {
				return secret.String{}, ctx.Err()
			}
			e.lose(m)
			continue
		}
		if token, ok := c.lastResort(e, now); ok {
			return token, nil
		}
		if until, cause := c.blocked(e, now); cause != nil {
			// No use in waiting: the refusal is for good, or the next try is too
			// late, or this outage has already outlasted what a caller waits.
			since := e.failure.Load()
			if cause.Reason == Rejected || until > deadline ||
				since != nil && now.mono-since.since >= int64(c.config.HoldTimeout) {
				return secret.String{}, c.unavailable(e, cause, until, now)
			}
			if !c.sleep(ctx, time.Duration(until-now.mono)) {
				return secret.String{}, ctx.Err()
			}
			continue
		}
		// Keep a fifth of the hold time for the mint itself: a caller that reaches
		// the front of the line just as its time runs out would use up a mint and
		// still get no token. With a Store the token may be there without a mint, so
		// that is looked for first.
		if pause := c.gate.delay(e); pause > 0 && (c.config.Store == nil || joined) && now.mono+int64(pause) > deadline-int64(c.config.HoldTimeout/5) {
			return secret.String{}, c.unavailable(e, &FetchError{Reason: Paced}, now.mono+int64(pause), now)
		}
		token, err, ended := c.join(ctx, e, timeout.C)
		joined = true
		switch {
		// Not by another look at the entry: a token that was too old when it
		// came still serves those who waited for it.
		case ended && err == nil:
			return token, nil
		case errors.Is(err, ErrClosed), !ended && err != nil:
			return secret.String{}, err
		case !ended:
			if m := e.lastResort(c.clock.now()); m != nil {
				return m.token, nil
			}
			cause, until := &FetchError{Reason: TimedOut}, int64(0)
			// Why it takes so long, if the try before this one has said so.
			if f := e.failure.Load(); f != nil && f.err.Reason != Rejected {
				cause, until = f.err, f.demandAt
			}
			return secret.String{}, c.unavailable(e, cause, until, c.clock.now())
		}
	}
}

// lastResort returns a token that upstream refused once, if a mint has failed since and
// no other token is left. The refusal may have been about something else, and must not
// take a good token from all callers. They do not wait for the next mint then; it
// starts when it is due.
func (c *Cache) lastResort(e *entry, now instant) (secret.String, bool) {
	m := e.lastResort(now)
	if m == nil || e.failure.Load() == nil {
		return secret.String{}, false
	}
	if _, cause := c.blocked(e, now); cause == nil && c.begin() {
		c.refresh(e)
		c.mints.Done()
	}
	return m.token, true
}

// join waits for the mint of e that is under way, or starts it. ended is false if
// the caller's time is over (nil) or the caller has gone (ctx's error).
func (c *Cache) join(ctx context.Context, e *entry, timeout <-chan time.Time) (token secret.String, err error, ended bool) {
	e.waiting.Add(1)
	defer func() {
		if e.waiting.Add(-1); !ended {
			c.gate.abandon(e)
		}
	}()
	c.gate.hurry(e)
	select {
	case result := <-c.flights.DoChan(e.key, func() (any, error) { return c.mint(e) }):
		if result.Err != nil {
			return secret.String{}, result.Err, true
		}
		return result.Val.(secret.String), nil, true
	case <-ctx.Done():
		return secret.String{}, ctx.Err(), false
	case <-timeout:
		return secret.String{}, nil, false
	}
}

// sleep pauses a caller, until the cache ends at the most. It reports false if
// the caller has gone.
func (c *Cache) sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.lifetime.Done():
	case <-ctx.Done():
		return false
	}
	return true
}

// blocked returns until when no caller may start a mint of e, and why.
func (c *Cache) blocked(e *entry, now instant) (until int64, cause *FetchError) {
	if f := e.failure.Load(); f != nil && f.demandAt > now.mono {
		until, cause = f.demandAt, f.err
	}
	if paused := c.pausedUntil.Load(); paused > max(now.mono, until) && (cause == nil || cause.Reason != Rejected) {
		until, cause = paused, &FetchError{Reason: Throttled}
	}
	return until, cause
}

func (c *Cache) unavailable(e *entry, cause *FetchError, until int64, now instant) *Error {
	err := &Error{GrantType: e.grant.Type, Reason: cause.Reason, Cause: cause}
	if cause.Reason != Rejected {
		err.RetryAfter = max(time.Duration(until-now.mono), minInterval)
	}
	return err
}

// Invalidate takes away the token of grant if it is the rejected one: a late
// rejection of an old token must not throw away a new one. A token younger than
// a second is only marked: it is minted again when its second is over, or a user
// whom upstream refuses for another reason would turn every request into a mint.
// The successor of a marked token is not marked: upstream has made itself clear.
func (c *Cache) Invalidate(grant Grant, rejected secret.String) {
	e := c.table.get(grant)
	if e == nil {
		return
	}
	m := e.current.Load()
	switch {
	case m == nil || !m.token.Equal(rejected):
	case !m.young(c.clock.now()):
		e.lose(m)
	case !m.successor:
		e.refused.Store(m)
	}
}

// Accepted says that upstream took the token of grant in a request that was sent at that
// time. With a Store it is told of each, so that a later refusal is known to be a new one.
func (c *Cache) Accepted(grant Grant, sent time.Time) {
	if e := c.table.get(grant); e != nil {
		if at := int64(sent.Sub(c.clock.base)); at-e.accepted.Load() > usedGranularity {
			e.accepted.Store(at)
		}
	}
}

// Forgive lets refused grants be tried again at once: the credentials changed.
func (c *Cache) Forgive() {
	c.forgiven.Add(1) // first: so that a mint that ends now with a refusal sees it
	for e := range c.table.all {
		if f := e.failure.Load(); f != nil && f.err.Reason == Rejected {
			e.failure.CompareAndSwap(f, nil)
		}
	}
	c.poke()
}

// Refresh has Run mint a new token for every grant that holds one, and for the
// warm ones, and for those whose first mint is under way: it may have begun with
// credentials that are no longer live. The old tokens serve until the new ones
// are here.
func (c *Cache) Refresh() {
	for e := range c.table.all {
		if e.warm || e.current.Load() != nil || e.pins.Load() > 0 {
			e.forced.Store(true)
		}
	}
	c.poke()
}

func (c *Cache) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func jitter() float64 { return rand.Float64() }
