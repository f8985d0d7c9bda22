package tokencache

import (
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

const (
	// maxLifetime bounds what is believed of expires_in.
	maxLifetime = 24 * time.Hour
	// minInterval is the least time between two mints of a grant, whatever the
	// endpoint says of the lifetime and however often upstream responds with 401.
	minInterval = time.Second
)

// instant is a moment on two clocks. The monotonic one stands still while the machine
// sleeps, the wall clock jumps when it is set; neither alone tells how old a token
// is.
type instant struct {
	mono int64 // ns since the cache was made
	wall int64 // ns since 1970
}

type clock struct{ base time.Time }

func (c clock) now() instant {
	t := time.Now()
	return instant{mono: int64(t.Sub(c.base)), wall: t.UnixNano()}
}

// state says how far a token can be used. RFC 9111 uses the first two words alike.
type state uint8

const (
	fresh   state = iota // serve it
	stale                // serve it, and refresh it in the background
	expired              // do not serve it
)

func (s state) String() string { return [...]string{"fresh", "stale", "expired"}[s] }

// minted is one successful mint. It is never changed after it was stored.
type minted struct {
	token     secret.String
	start     instant       // before the mint was sent: the lifetime counts from here
	storedAt  int64         // monotonic; the response arrived then
	lifetime  time.Duration // from start
	refreshAt time.Duration // from start; equal to lifetime if never ahead
	// successor of a token that was refused in its first second
	successor bool
	mark      string // names it in the Store; empty: it is not there
	by        string // Token.By
	shared    bool   // another process minted it
}

// newMinted decides how long a token is used. jitter is in [0, 1).
//
// For example: expires_in 1800 s and refreshBefore 5 m give a refresh between
// 25 and 26 minutes; expires_in 60 s gives one between 30 and 36 s.
func newMinted(token Token, start, stored instant, refreshBefore time.Duration, jitter float64) *minted {
	took := time.Duration(stored.mono - start.mono)
	// It may say nothing, a negative number, or less than the mint itself took. Those who
	// wait are served, and a second passes before the next mint.
	lifetime := max(min(token.ExpiresIn, maxLifetime), took+minInterval)
	lead := min(refreshBefore, lifetime/2)
	refreshAt := lifetime - lead + time.Duration(float64(lead)*jitter/5)
	// The refresh must not fall into the second in which no mint is made.
	refreshAt = min(max(refreshAt, took+minInterval), lifetime)
	return &minted{token: token.AccessToken, start: start, storedAt: stored.mono, lifetime: lifetime, refreshAt: refreshAt}
}

// sharedRefresh draws when a token is refreshed that many processes hold, counted
// from its start: anywhere from two leads before its end to half a lead before it,
// but not before it is as old as it is now. The first process mints, and the others
// find its token. The window is wide because all their tokens end in one moment:
// without the Store each process mints its own, and they are spread already.
//
// For example: a lifetime of 30 min and refreshBefore 5 m give a refresh between 20
// and 27.5 minutes; a lifetime of 60 s gives one between 20 and 45 s.
func sharedRefresh(lifetime, refreshBefore, age time.Duration, jitter float64) time.Duration {
	lead := min(refreshBefore, lifetime/2)
	from := max(lifetime-2*lead, lifetime/3, age)
	to := max(lifetime-lead/2, from)
	return min(from+time.Duration(jitter*float64(to-from)), lifetime)
}

// age is by the clock that says older: after a suspend that is the wall clock,
// after the wall clock was set back it is the monotonic one.
func (m *minted) age(now instant) time.Duration {
	return time.Duration(max(now.mono-m.start.mono, now.wall-m.start.wall))
}

func (m *minted) state(now instant) state {
	switch age := m.age(now); {
	case age >= m.lifetime:
		return expired
	case age >= m.refreshAt:
		return stale
	default:
		return fresh
	}
}

// left returns how long the token still lives.
func (m *minted) left(now instant) time.Duration { return m.lifetime - m.age(now) }

// refreshDue is the monotonic moment of the refresh, if the clocks agree.
func (m *minted) refreshDue() int64 { return m.start.mono + int64(m.refreshAt) }

// young reports whether less than a second has passed since the mint: too soon for
// another, no matter which caller asks.
func (m *minted) young(now instant) bool { return now.mono-m.storedAt < int64(minInterval) }

// usedLately reports whether a grant last used at the monotonic moment used is worth
// a refresh: it was used in the second half of the time until then.
func (m *minted) usedLately(used int64) bool {
	return used >= m.start.mono+int64(m.refreshAt/2)
}
