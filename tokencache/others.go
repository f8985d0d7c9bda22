package tokencache

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// flight is one mint of one grant in this process, from its first look to its
// end. What is here is its talk with the Store.
type flight struct {
	*Cache
	e     *entry
	begun int64 // monotonic
	// patience is the time for which the flight waits for others before it mints
	// anyway. Every process draws its own: with one and the same, all that wait for a
	// process that died would begin to mint in one instant.
	patience time.Duration
	answered bool  // the Store has responded in this flight
	claim    Claim // nil: none
	mark     string
	took     time.Duration // by the last response
	forced   bool          // a mint is wanted although the token is fresh
	forgiven int64         // before the last question
}

func (c *Cache) newFlight(e *entry) *flight {
	patience := time.Duration(float64(c.config.HoldTimeout) * (0.4 + 0.2*jitter()))
	return &flight{Cache: c, e: e, begun: c.clock.now().mono, patience: patience, forgiven: c.forgiven.Load()}
}

func (f *flight) patient() bool { return f.clock.now().mono-f.begun < int64(f.patience) }

// waited reports whether a caller waits for this flight. The first token of a warm
// grant counts as waited for: the process is not ready without it.
func (f *flight) waited() bool {
	return f.e.waiting.Load() > 0 || f.e.warm && !f.e.served()
}

// others asks for the token that another process minted, or for the right to mint it
// here, and waits for the process that has it. done reports that the flight is over.
func (f *flight) others() (token secret.String, err error, done bool) {
	if f.config.Store == nil {
		return secret.String{}, nil, false
	}
	// With a line here, a claim would lapse before its turn.
	look := f.gate.delay(f.e) > 0
	for {
		answered := f.answered
		a, err := f.ask(f.lifetime, look, answered)
		switch {
		case f.lifetime.Err() != nil:
			f.giveBack()
			return secret.String{}, ErrClosed, true
		// It is there and has much to do. All replicas would mint now.
		case slow(err) && answered && f.waited() && f.patient():
			a = Answer{Kind: Busy, Wait: slowPause}
		case err != nil:
			return secret.String{}, nil, false //nolint:nilerr // a store that fails costs a mint, and no request
		}
		switch a.Kind {
		case Found:
			return f.e.current.Load().token, nil, true
		case Failed:
			return secret.String{}, f.adoptRefusal(a.Err), true
		case Busy, Pacing:
			if err := f.leaveIt(a); err != nil {
				return secret.String{}, err, true
			}
		default:
			return secret.String{}, nil, false
		}
	}
}

// claimNow asks for the right to mint for a flight that has only looked so far and
// whose turn has come. done: the flight is over. Busy and Pacing: another process is
// to be waited for, out of the line.
func (f *flight) claimNow() (a Answer, token secret.String, err error, done bool) {
	a, err = f.ask(f.lifetime, false, true)
	switch {
	case f.lifetime.Err() != nil:
		f.giveBack()
		return a, secret.String{}, ErrClosed, true
	case slow(err) && f.patient():
		return Answer{Kind: Busy, Wait: slowPause}, secret.String{}, nil, false
	case err != nil:
		return Answer{}, secret.String{}, nil, false //nolint:nilerr // as above
	}
	switch a.Kind {
	case Found:
		return a, f.e.current.Load().token, nil, true
	case Failed:
		return a, secret.String{}, f.adoptRefusal(a.Err), true
	default:
		return a, secret.String{}, nil, false
	}
}

func slow(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// Pauses between two questions of a flight that is waited for, half more or less.
const (
	leastPause = 100 * time.Millisecond
	slowPause  = 500 * time.Millisecond // after a question that the Store was too slow for
	maxPause   = 1200 * time.Millisecond
)

// ask puts one question. A token that it finds is in the entry when it returns.
func (f *flight) ask(whole context.Context, look, known bool) (Answer, error) {
	f.takeForced()
	f.forgiven = f.Cache.forgiven.Load()
	q := Question{Grant: f.e.grant, Look: look, Force: !look && !f.patient(), Share: 0.5, Lease: lease}
	if f.waited() || f.e.warm {
		q.Share = 1
	}
	held := f.e.lost.Load()
	q.Refused = held != nil
	if m := f.e.current.Load(); m != nil {
		held, q.Refused = m, f.e.refused.Load() == m
	}
	if held != nil {
		q.Have = held.mark
	}
	q.Replaces = q.Refused
	for range 4 {
		budget := f.config.StoreTimeout
		if known || !f.waited() || !f.heard.Load() {
			budget *= unhurried
		}
		ctx, cancel := context.WithTimeout(whole, budget)
		sent := f.clock.now()
		a, err := f.config.Store.Ask(ctx, q)
		cancel()
		f.took = time.Duration(f.clock.now().mono - sent.mono)
		if err != nil {
			return Answer{}, err
		}
		f.heard.Store(true)
		f.answered = true
		f.claim, f.mark = a.Claim, a.Mark
		if a.Kind != Found {
			return a, nil
		}
		f.claim, f.mark = nil, ""
		// A refusal may be of all tokens that were minted before it. A request is sent
		// once more and not twice, so the next token must be good: only one that was
		// minted after that refusal is. One that was minted after a refusal, but before
		// upstream took a token here, was minted after an earlier one. Else one more is
		// minted, for all.
		good := !q.Replaces || a.AfterRefusal && sent.mono-int64(a.StoreAge) > f.e.accepted.Load()
		if good && f.adopt(a, sent, held) {
			return a, nil
		}
		q.Have, q.Refused = a.Mark, false
	}
	f.answered = false // it has nothing to say to this flight
	return Answer{}, errNothingNewer
}

var errNothingNewer = errors.New("the store has only tokens that are too old")

// takeForced takes the wish for a new token over from the entry. A caller that wishes
// again while it is being granted may do so for another pair of credentials.
func (f *flight) takeForced() {
	if f.e.forced.Swap(false) {
		f.forced = true
	}
}

// adopt takes a token over that another process minted, unless it is no better than
// the current one. Its age counts from the moment before the query was sent: the
// token is older now, however long the response took.
func (f *flight) adopt(a Answer, sent instant, held *minted) bool {
	start := instant{mono: sent.mono - int64(a.Age), wall: sent.wall - int64(a.Age)}
	if held != nil && held.by == a.Token.By && !later(a, start, held) || held != nil && held.token.Equal(a.Token.AccessToken) {
		return false
	}
	m := &minted{
		token: a.Token.AccessToken, start: start, lifetime: min(a.Token.ExpiresIn, maxLifetime),
		// It is as young as it is for the process that minted it: an old one that
		// upstream refuses is replaced at once, and not after its first second here.
		storedAt: start.mono,
		mark:     a.Mark, by: a.Token.By, shared: true,
	}
	now := f.clock.now()
	if m.left(now) < tooOld {
		return false
	}
	m.refreshAt = sharedRefresh(m.lifetime, f.config.RefreshBefore, m.age(now), jitter())
	f.keep(f.e, m)
	f.e.adopted.Add(1)
	f.poke()
	if f.config.OnAdopt != nil {
		f.config.OnAdopt(f.e.grant, m.age(now))
	}
	return true
}

// later compares two tokens of one pair of credentials.
func later(a Answer, start instant, held *minted) bool {
	if held.mark != "" {
		return a.Mark > held.mark
	}
	return start.mono > held.start.mono
}

// keep stores what the grant has from now on.
func (c *Cache) keep(e *entry, m *minted) {
	m.successor = e.refused.Swap(nil) != nil
	e.current.Store(m)
	e.lost.Store(nil)
	e.failure.Store(nil)
	e.lookAt.Store(0)
	e.postponed.Store(0)
}

// adoptRefusal makes what the endpoint said to others this grant's own failure.
// Its end is spread: with a common one, all that heard it would be back in one
// instant.
func (f *flight) adoptRefusal(cause *FetchError) error {
	now := f.clock.now()
	spread := int64(jitter() * float64(min(retryAfter(cause)/2, 10*time.Second)))
	failed := newFailure(cause, f.e.failure.Load(), now.mono, jitter())
	failed.demandAt += spread
	failed.aheadAt += spread
	failed.alone = cause.Reason == Rejected
	f.e.failure.Store(failed)
	if cause.Reason == Throttled {
		f.pause(now.mono + int64(retryAfter(cause)) + spread)
	}
	f.unforce(failed, now)
	f.poke()
	return cause
}

// unforce puts the wish for a new token back where it was not granted, and drops a
// refusal of credentials that have changed meanwhile.
func (f *flight) unforce(failed *failure, now instant) {
	rejected := failed.err.Reason == Rejected
	if m := f.e.current.Load(); f.forced && !rejected && m != nil && m.state(now) != expired {
		f.e.forced.Store(true)
	}
	if rejected && f.forgiven != f.Cache.forgiven.Load() {
		f.e.failure.CompareAndSwap(failed, nil)
	}
}

// leaveIt lets others mint: callers here wait on, and a refresh that no caller waits
// for is put off. nil: ask again now.
func (f *flight) leaveIt(a Answer) error {
	if !f.waited() {
		times := min(f.e.postponed.Add(1)-1, 3)
		f.e.lookAt.Store(f.clock.now().mono + int64(2*time.Second+rand.N(4*time.Second))<<times)
		return f.abandoned()
	}
	timer := time.NewTimer(pauseAfter(a, f.took, jitter()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-f.lifetime.Done():
		return ErrClosed
	}
}

// abandoned ends a flight of which nothing has come.
func (f *flight) abandoned() error {
	if f.forced {
		f.e.forced.Store(true)
	}
	f.giveBack()
	return errAbandoned
}

// pauseAfter is the time until a flight that is waited for asks again. jitter is in [0, 1).
func pauseAfter(a Answer, took time.Duration, jitter float64) time.Duration {
	pause := min(5*took, maxPause) // a Store that is slow has many to serve
	if a.Kind == Busy {
		pause = min(max(pause, a.Wait, leastPause), maxPause)
	}
	pause = time.Duration(float64(pause) * (0.5 + jitter))
	if a.Kind == Pacing {
		pause = max(pause, a.Wait+time.Duration(jitter*float64(leastPause)))
	}
	return pause
}

// giveBack lets another process mint at once.
func (f *flight) giveBack() { f.tell(Outcome{}) }

// tell ends the claim, if there is one. It does not wait: those who are waiting
// for the token have it now. The end of the cache does.
func (f *flight) tell(o Outcome) {
	claim := f.claim
	if claim == nil {
		return
	}
	f.claim = nil
	f.mints.Go(func() {
		// Not on the cache's lifetime: a claim that is not given back at the end
		// keeps the others waiting.
		ctx, cancel := context.WithTimeout(context.Background(), unhurried*f.config.StoreTimeout)
		defer cancel()
		_ = f.config.Store.Tell(ctx, claim, o)
	})
}
