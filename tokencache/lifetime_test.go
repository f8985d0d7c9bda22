package tokencache

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever expires_in says, those who wait are served and no mint loop begins.
func TestAbsurdLifetimesMakeNoMintLoop(t *testing.T) {
	for _, says := range []time.Duration{-1 << 63, -time.Hour, -1, 0, 1, ms, time.Second, 1500 * ms, 2 * time.Second, 10 * year, 1<<63 - 1} {
		for _, latency := range []time.Duration{0, 300 * ms, 3 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				s := newEndpoint(latency, 1000*time.Hour) // the endpoint lies: its tokens live on
				config := settings(FetcherFunc(func(ctx context.Context, g Grant) (Token, error) {
					token, err := s.Fetch(ctx, g)
					token.ExpiresIn = says
					return token, err
				}))
				config.Warm = []Grant{partner}
				c := open(t, config)
				start(t, c)
				var callers sync.WaitGroup
				for range 3 {
					callers.Go(func() {
						if seen := s.steady(t, c, partner, 61*ms, time.Minute); seen.failed > 0 {
							t.Errorf("expires_in %v, latency %v: %+v", says, latency, seen)
						}
					})
				}
				callers.Wait()
				times := s.mintsOf(partner)
				for i := range len(times) - 1 {
					if gap := times[i+1].Sub(times[i]); gap < time.Second+latency {
						t.Errorf("expires_in %v: mint %d after %v, want %v or more", says, i+1, gap, time.Second+latency)
					}
				}
			})
		}
	}
}

func TestHugeLifetimeIsADay(t *testing.T) {
	setup{lifetime: 10 * year}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner)
		time.Sleep(24*time.Hour - 1)
		s.get(t, c, partner)
		if s.mints() != 1 {
			t.Errorf("%d mints within a day, want 1", s.mints())
		}
		time.Sleep(time.Nanosecond)
		s.get(t, c, partner)
		if s.mints() != 2 {
			t.Errorf("%d mints after a day, want 2", s.mints())
		}
	})
}

// The lifetime counts from before the mint was sent, not from its answer.
func TestSlowMintShortensTheToken(t *testing.T) {
	setup{latency: 4 * time.Second, lifetime: time.Minute}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner)
		time.Sleep(55 * time.Second)
		s.get(t, c, partner)
		if s.mints() != 1 {
			t.Errorf("%d mints 59 s after the first was sent, want 1", s.mints())
		}
		time.Sleep(time.Second)
		s.get(t, c, partner)
		if s.mints() != 2 {
			t.Errorf("%d mints 60 s after the first was sent, want 2", s.mints())
		}
	})
}

func TestWithoutRunTheCacheIsLazyAndRight(t *testing.T) {
	setup{latency: 100 * ms, warm: []Grant{partner}}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		time.Sleep(time.Hour)
		if s.mints() != 0 || c.Warmed() {
			t.Errorf("%d mints, Warmed() = %v, want 0, false", s.mints(), c.Warmed())
		}
		seen := s.steady(t, c, partner, time.Second, 10*time.Hour)
		if seen.failed != 0 || seen.waited != s.mints() || s.mints() < 20 || s.mints() > 21 {
			t.Errorf("%+v, %d mints, want 20, and a wait for each", seen, s.mints())
		}
	})
}
