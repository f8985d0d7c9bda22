package tokencache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func refuse(t *testing.T, c *Cache, grant Grant) *Error {
	t.Helper()
	began := time.Now()
	_, err := c.Token(t.Context(), grant)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Reason != Rejected || e.GrantType != grant.Type || e.RetryAfter != 0 || time.Since(began) > time.Second {
		t.Fatalf("Token(%v) = %v after %v, want Rejected at once", grant, err, time.Since(began))
	}
	return e
}

func TestRefusalIsItsOwnGrantsAlone(t *testing.T) {
	setup{latency: 10 * ms}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.refused[user(1)] = errRejected
		refuse(t, c, user(1))
		began := time.Now()
		s.get(t, c, user(2))
		s.get(t, c, partner)
		if took := time.Since(began); took != 20*ms {
			t.Errorf("the others took %v, want two mints", took)
		}
	})
}

func TestRefusedGrantIsMintedAtMostEveryFiveSeconds(t *testing.T) {
	for _, warm := range [][]Grant{nil, {partner}} {
		setup{latency: 10 * ms, down: errRejected, warm: warm, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			var callers sync.WaitGroup
			for range 4 {
				callers.Go(func() {
					seen := s.steady(t, c, partner, 100*ms, 5*time.Minute)
					if seen.failed != seen.calls || seen.slowest > 10*ms {
						t.Errorf("%+v, want all refused at once", seen)
					}
				})
			}
			callers.Wait()
			times := s.mintsOf(partner)
			for i := range len(times) - 1 {
				if gap := times[i+1].Sub(times[i]); gap < 5*time.Second || gap > 31*time.Second {
					t.Errorf("mint %d after %v, want 5s to 30s", i+1, gap)
				}
			}
			if len(times) < 10 {
				t.Errorf("%d mints in 5 minutes: it is not tried again", len(times))
			}
		})
	}
}

func TestForgivenGrantIsTriedAtOnce(t *testing.T) {
	setup{latency: 10 * ms, down: errRejected}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		refuse(t, c, partner)
		refuse(t, c, user(1))
		s.down = nil
		refuse(t, c, partner)
		c.Forgive()
		s.get(t, c, partner)
		s.get(t, c, user(1))
		if s.mints() != 4 {
			t.Errorf("%d mints, want 4", s.mints())
		}
	})
}

func TestForgivenWarmGrantIsMintedUnasked(t *testing.T) {
	setup{latency: 10 * ms, down: errRejected, warm: []Grant{partner}, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		time.Sleep(time.Second)
		s.set(func(s *endpoint) { s.down = nil })
		c.Forgive()
		time.Sleep(11 * ms)
		if !c.Warmed() || s.mints() != 2 {
			t.Errorf("Warmed() = %v after %d mints, want true, 2", c.Warmed(), s.mints())
		}
	})
}

func TestForgiveDoesNotShortenOtherPauses(t *testing.T) {
	setup{down: &FetchError{Reason: Throttled, RetryAfter: 30 * time.Second}}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		_, _ = c.Token(t.Context(), partner)
		c.Forgive()
		_, err := c.Token(t.Context(), partner)
		if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Throttled || s.mints() != 1 {
			t.Errorf("Token() = %v, %d mints, want Throttled, 1", err, s.mints())
		}
	})
}

// Forgive at the moment when a refusal is being recorded.
func TestForgiveDuringARefusal(t *testing.T) {
	c := New(settings(FetcherFunc(func(context.Context, Grant) (Token, error) { return Token{}, errRejected })))
	var done atomic.Bool
	var forgiving sync.WaitGroup
	e := c.table.pin(partner, 1, c.clock.now())
	forgiving.Go(func() { // as Forgive does, but without a walk over the table
		for !done.Load() {
			if f := e.failure.Load(); f != nil {
				e.failure.CompareAndSwap(f, nil)
			}
		}
	})
	for range 50_000 {
		if _, err := c.mint(e); err == nil {
			t.Fatal("mint() of a refused grant gave a token")
		}
	}
	done.Store(true)
	forgiving.Wait()
}

func TestThrottlingPausesAllGrants(t *testing.T) {
	setup{run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, user(9)) // has a token, and must not notice
		s.set(func(s *endpoint) { s.quiet = time.Now().Add(30 * time.Second) })
		began := time.Now()
		var callers sync.WaitGroup
		for n := range 5 {
			callers.Go(func() {
				time.Sleep(time.Duration(n) * 100 * ms)
				for {
					_, err := c.Token(t.Context(), user(n))
					if err == nil {
						break
					}
					if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Throttled || e.RetryAfter <= 0 {
						t.Errorf("Token() = %v, want Throttled with a Retry-After", err)
					}
					time.Sleep(500 * ms)
				}
				if took := time.Since(began); took < 30*time.Second || took > 31*time.Second {
					t.Errorf("grant %d served after %v, want 30s", n, took)
				}
			})
		}
		if seen := s.steady(t, c, user(9), 100*ms, 30*time.Second); seen.failed != 0 || seen.waited != 0 {
			t.Errorf("grant with a token: %+v", seen)
		}
		callers.Wait()
		if s.mints() != 7 {
			t.Errorf("%d mints, want 7: one before, one that was throttled, five after", s.mints())
		}
	})
}

func TestRefusedGrantIsToldSoDuringAPauseOfAll(t *testing.T) {
	setup{}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.refused[user(1)] = errRejected
		refuse(t, c, user(1))
		s.quiet = time.Now().Add(30 * time.Second)
		_, _ = c.Token(t.Context(), partner)
		refuse(t, c, user(1))
	})
}

func TestShortThrottlingIsHeldOver(t *testing.T) {
	setup{}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.quiet = time.Now().Add(3 * time.Second)
		if got := s.crowd(t, c, partner, 100); got != 100 || s.mints() != 2 {
			t.Errorf("%d answers, %d mints, want 100, 2", got, s.mints())
		}
	})
}

// Two grants are throttled at the same moments: the longer pause holds.
func TestLongestThrottlingHolds(t *testing.T) {
	c := New(Config{Fetcher: newEndpoint(0, 0)})
	var ticks atomic.Int64 // of a second
	var both sync.WaitGroup
	for n := range 2 {
		e, asked := c.table.pin(user(n), 9, instant{}), time.Duration(10+30*n)*time.Second
		both.Go(func() {
			for seen := int64(0); ticks.Load() < 50_000; {
				now := instant{mono: ticks.Add(1) * int64(time.Second)}
				if paused := c.pausedUntil.Load(); paused < seen {
					t.Errorf("a pause became %v shorter", time.Duration(seen-paused))
					return
				}
				c.fail(e, &FetchError{Reason: Throttled, RetryAfter: asked}, now, now)
				seen = c.pausedUntil.Load()
			}
		})
	}
	both.Wait()
}
