package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Store shares tokens with the processes that have the same credentials. It
// implements tokencache.Store. Use New.
type Store struct {
	*core
	credentials Credentials
}

// core is common to a Store and those made by With.
type core struct {
	server   server
	rings    rings
	breaker  breaker
	state    state
	me       witness
	emission time.Duration // between two mints, in the long run; 0: no budget
	burst    time.Duration
	// offset is the server's clock minus this host's, in ms. known: it has been heard.
	offset atomic.Int64
	known  atomic.Bool
}

// New makes a Store. It connects when it is asked.
func New(config Config) *Store {
	return newStore(config, newClient(config))
}

func newStore(config Config, s server) *Store {
	c := &core{server: s, rings: rings{origin: config.Origin}, state: state{config: config}}
	_, _ = rand.Read(c.me[:]) // it does not fail
	if config.MintsPerSecond > 0 {
		// The same burst as that of one cache: Monite sees all of them together.
		c.emission = time.Second / time.Duration(config.MintsPerSecond)
		c.burst = max(4*c.emission, time.Second*2/5)
	}
	return &Store{core: c, credentials: config.Credentials}
}

// With is the same Store for other credentials.
func (s *Store) With(credentials Credentials) *Store {
	return &Store{core: s.core, credentials: credentials}
}

// PairName names a pair of credentials as tokencache.Token.By does, and tells nothing
// of it.
func (s *Store) PairName(pair Credentials) string { return s.rings.of(pair).pair }

// claim is a right to mint.
type claim struct {
	id      string
	ring    *ring
	keys    keys
	mark    string    // of the token
	wall    time.Time // before the question was sent
	earlier [2]*verdict
	// replaces says that the token is minted after upstream refused one.
	replaces bool
}

// farOff limits the difference between the clocks of this host and of the server.
// Beyond it the age of a token is not known, and the process stands aside.
const farOff = 30 * time.Second

// Ask puts a question of a cache. Its errors are context.DeadlineExceeded where the
// server is slow, and others where it is not there.
func (s *Store) Ask(ctx context.Context, q tokencache.Question) (tokencache.Answer, error) {
	r := s.rings.of(s.credentials)
	a := asking{Store: s, ring: r, keys: r.keys(q.Grant), q: q}
	for range 5 {
		answer, done, err := a.once(ctx)
		if done {
			return answer, err
		}
	}
	return tokencache.Answer{}, s.state.down(s.breaker.trip(time.Now(), &Error{Kind: "poison"}))
}

// asking is one question of a cache, which may be several to the server: what it
// finds and cannot use is asked again for something else.
type asking struct {
	*Store
	ring    *ring
	keys    keys
	q       tokencache.Question
	earlier [2]*verdict // that do not count yet: of the grant, of all grants
	ignore  [2]string   // as they are stored
	late    bool
}

func (a *asking) once(ctx context.Context) (answer tokencache.Answer, done bool, err error) {
	lease := ""
	if !a.q.Look && !a.state.isAside() {
		id := make([]byte, 12)
		_, _ = rand.Read(id)
		lease = hex.EncodeToString(id)
	}
	sent := time.Now()
	reply, err := a.exchange(ctx, askScript,
		[]string{a.keys.token, a.keys.lease, a.keys.verdict, a.keys.pause, a.keys.budget, a.keys.crowd},
		a.q.Have, digit(a.q.Refused), lease, a.q.Lease.Milliseconds(),
		a.emission.Microseconds(), int64(float64(a.burst.Microseconds())*a.q.Share), a.burst.Microseconds(),
		a.ignore[0], a.ignore[1], digit(a.q.Force), a.endOf(ctx))
	if err != nil {
		return answer, true, a.state.failed(err)
	}
	kind, ms, value, n, err := parseAnswer(reply)
	if err != nil {
		return answer, true, a.state.failed(a.breaker.trip(time.Now(), err))
	}
	c := &claim{id: lease, ring: a.ring, keys: a.keys, wall: sent, earlier: a.earlier, replaces: a.q.Replaces}
	if !a.clock(ms, sent) {
		if kind == "claimed" {
			_ = a.Tell(ctx, c, tokencache.Outcome{})
		}
		a.state.answer("aside")
		return answer, true, errAside
	}
	if kind == "busy" && a.q.Force {
		kind = "" // the script does not say that to those who claim whoever else has
	}
	switch kind {
	case "token":
		return a.found(value, ms, n, sent)
	case "verdict", "pause":
		return a.refused(kind, value, ms)
	case "late":
		if a.late || ctx.Err() != nil {
			a.state.answer("late")
			return answer, true, context.DeadlineExceeded
		}
		a.late = true // this host's clock was set: now the offset is known again
		return answer, false, nil
	case "busy":
		answer = tokencache.Answer{Kind: tokencache.Busy, Wait: time.Duration(n) * time.Millisecond}
	case "paced":
		answer = tokencache.Answer{Kind: tokencache.Pacing, Wait: time.Duration(n) * time.Millisecond}
	case "claimed":
		c.mark = newMark(time.UnixMilli(ms))
		answer = tokencache.Answer{Kind: tokencache.Claimed, Claim: c, Mark: c.mark}
	case "free":
		answer = tokencache.Answer{Kind: tokencache.Free}
	default:
		return answer, true, a.state.failed(a.breaker.trip(time.Now(), &Error{Kind: "protocol"}))
	}
	a.state.answer(kind)
	return answer, true, nil
}

// found opens a token. What does not open is asked for once more as one that upstream
// refused, which removes it.
func (a *asking) found(value []byte, ms, ttl int64, sent time.Time) (tokencache.Answer, bool, error) {
	t, err := a.ring.openToken(a.keys.token, value)
	if err != nil {
		a.state.answer("poison")
		a.q.Have, a.q.Refused = string(value[:min(len(value), markLen)]), true
		return tokencache.Answer{}, false, nil //nolint:nilerr // asked once more
	}
	// By whichever says older: the server's clock, what Redis still gives it, or the
	// clocks of the two hosts.
	storeAge := time.UnixMilli(ms).Sub(t.born)
	age := max(storeAge, sent.Sub(t.wall), 0)
	if left := time.Duration(ttl) * time.Millisecond; ttl > 0 {
		age = max(age, t.lifetime-left)
	} else {
		age = t.lifetime // a value without an end is none of ours
	}
	a.state.answer("found")
	return tokencache.Answer{
		Kind: tokencache.Found, Mark: t.mark, Age: age, StoreAge: storeAge, AfterRefusal: t.afterRefusal,
		Token: tokencache.Token{AccessToken: t.token, ExpiresIn: t.lifetime, By: a.ring.pair},
	}, true, nil
}

// refused looks whether a verdict counts. If not, the question is put again without
// it, and what this process hears may be its second witness.
func (a *asking) refused(kind string, value []byte, ms int64) (tokencache.Answer, bool, error) {
	which, key := 0, a.keys.verdict
	if kind == "pause" {
		which, key = 1, a.keys.pause
	}
	v := a.ring.openVerdict(key, value)
	if v == nil {
		a.state.answer("poison")
	} else if left, ok := v.counts(ms); ok {
		a.state.answer("verdict")
		return tokencache.Answer{
			Kind: tokencache.Failed, Err: &tokencache.FetchError{Reason: v.reason, Status: v.status, RetryAfter: left},
		}, true, nil
	}
	a.earlier[which], a.ignore[which] = v, string(value)
	return tokencache.Answer{}, false, nil
}

// clock compares the server's clock with this host's, and reports whether they agree.
func (c *core) clock(ms int64, sent time.Time) bool {
	offset := c.learn(ms, sent)
	far := offset > farOff || offset < -farOff
	c.state.up(far, offset)
	return !far
}

// learn notes how far the server's clock is from this host's.
func (c *core) learn(ms int64, sent time.Time) time.Duration {
	offset := ms - sent.Add(time.Since(sent)/2).UnixMilli()
	c.offset.Store(offset)
	c.known.Store(true)
	return time.Duration(offset) * time.Millisecond
}

// endOf returns the moment from which no caller waits for the query, by the server's
// clock. A server that stalled meanwhile must not grant a lease that no replica
// holds.
func (c *core) endOf(ctx context.Context) int64 {
	deadline, ok := ctx.Deadline()
	if !ok || !c.known.Load() {
		return 0
	}
	return deadline.UnixMilli() + c.offset.Load()
}

// parseAnswer reads what lua/ask.lua returns.
func parseAnswer(reply any) (kind string, ms int64, value []byte, n int64, err error) {
	list, ok := reply.([]any)
	if !ok || len(list) != 4 {
		return "", 0, nil, 0, &Error{Kind: "protocol"}
	}
	word, ok1 := text(list[0])
	ms, ok2 := list[1].(int64)
	bytes, ok3 := text(list[2])
	n, ok4 := list[3].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 || ms < 0 || ms > 1<<53 {
		return "", 0, nil, 0, &Error{Kind: "protocol"}
	}
	return word, ms, []byte(bytes), n, nil
}

func text(reply any) (string, bool) {
	switch reply := reply.(type) {
	case []byte:
		return string(reply), true
	case string:
		return reply, true
	default:
		return "", false
	}
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// exchange runs a script, unless the server has just failed.
func (c *core) exchange(ctx context.Context, s *script, keys []string, args ...any) (any, error) {
	if err := c.breaker.allow(time.Now(), s == claimScript); err != nil {
		return nil, err
	}
	sent := time.Now()
	reply, err := c.server.run(ctx, s, keys, args...)
	c.state.exchanged(time.Since(sent))
	switch {
	case err == nil:
		c.breaker.succeed()
	case ctx.Err() == context.Canceled: //nolint:errorlint // it is that very value
		c.breaker.forget() // the cache ends; it says nothing of the server
	default:
		err = c.breaker.trip(time.Now(), err)
		if s == claimScript {
			c.unclaim(ctx, keys, args)
		}
		return nil, err
	}
	return reply, err
}
