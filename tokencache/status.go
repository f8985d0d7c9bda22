package tokencache

import "time"

// Status describes one grant, without secrets. It holds no token.
type Status struct {
	Grant Grant
	// State is fresh, stale, expired, or missing.
	State string
	// Age and Left of the token; RefreshIn is negative once the refresh is due.
	// All 0 if missing.
	Age, Left, RefreshIn time.Duration
	// Idle is the time since it was last asked for.
	Idle            time.Duration
	Mints, Failures int64
	// Adopted counts the tokens that other processes minted; Shared: this one too.
	Adopted int64
	Shared  bool
	// LastFailure is nil if the last mint was a success. RetryIn is the time until
	// the next try.
	LastFailure *FetchError
	RetryIn     time.Duration
	Warm        bool
}

// Status returns every cached grant, in no order.
func (c *Cache) Status() []Status {
	now := c.clock.now()
	var all []Status
	for e := range c.table.all {
		s := Status{
			Grant: e.grant, State: "missing", Warm: e.warm,
			Idle:  time.Duration(now.mono - e.lastUsed.Load()),
			Mints: e.mints.Load(), Failures: e.failures.Load(), Adopted: e.adopted.Load(),
		}
		if m := e.current.Load(); m != nil {
			s.State = m.state(now).String()
			s.Age, s.Left = m.age(now), max(m.left(now), 0)
			s.RefreshIn = m.refreshAt - s.Age
			s.Shared = m.shared
		}
		if f := e.failure.Load(); f != nil {
			s.LastFailure = f.err
			s.RetryIn = max(time.Duration(f.demandAt-now.mono), 0)
		}
		all = append(all, s)
	}
	return all
}

// Cached reports whether Token would return at once.
func (c *Cache) Cached(grant Grant) bool {
	e := c.table.get(grant)
	if e == nil {
		return false
	}
	m := e.current.Load()
	return m != nil && m.state(c.clock.now()) != expired && e.refused.Load() != m
}

// Warmed reports whether every warm grant has had a token.
func (c *Cache) Warmed() bool {
	for e := range c.table.all {
		if e.warm && !e.served() {
			return false
		}
	}
	return true
}
