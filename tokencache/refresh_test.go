package tokencache

import (
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestNobodyWaitsWhileRunRuns(t *testing.T) {
	for _, lifetime := range []time.Duration{3 * time.Second, time.Minute, 30 * time.Minute} {
		setup{latency: 300 * ms, lifetime: lifetime, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			s.get(t, c, partner)
			length := min(200*lifetime, 6*time.Hour)
			seen := s.steady(t, c, partner, lifetime/50, length)
			if seen.failed != 0 || seen.waited != 0 {
				t.Errorf("lifetime %v: %+v, want nobody to wait", lifetime, seen)
			}
			if most := int(length/(lifetime/2)) + 2; s.mints() > most {
				t.Errorf("lifetime %v: %d mints in %v, want at most %d", lifetime, s.mints(), length, most)
			}
		})
	}
}

func TestRefreshAheadOfExpiry(t *testing.T) {
	var mints []Mint
	keep := func(c *Config) { c.OnMint = func(m Mint) { mints = append(mints, m) } }
	setup{latency: 100 * ms, config: keep, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.steady(t, c, partner, 10*time.Second, 27*time.Minute)
		synctest.Wait()
		times := s.mintsOf(partner)
		if len(times) != 2 {
			t.Fatalf("%d mints in 27 minutes, want 2", len(times))
		}
		if after := times[1].Sub(times[0]); after < 25*time.Minute || after > 26*time.Minute || after != 100*ms+mints[0].RefreshIn {
			t.Errorf("refreshed after %v, announced %v, want 25m to 26m", after, mints[0].RefreshIn)
		}
	})
}

func TestIdleGrantIsNotRefreshed(t *testing.T) {
	setup{run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for n := range 20 { // the second time is a hit on a fresh token
			s.get(t, c, user(n%10))
		}
		time.Sleep(48 * time.Hour)
		if s.mints() != 10 {
			t.Errorf("%d mints, want 10", s.mints())
		}
		if next := c.refreshDue(); next != math.MaxInt64 {
			t.Errorf("Run would wake in %v, want never", time.Duration(next-c.clock.now().mono))
		}
	})
}

func TestIdleStaleTokenIsRefreshedAfterItsNextUse(t *testing.T) {
	setup{latency: 100 * ms, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner)
		for round := range 5 { // each refresh must arm the next
			time.Sleep(28 * time.Minute)
			if _, number := s.get(t, c, partner); number != round+1 {
				t.Fatalf("the stale token did not serve: number %d, want %d", number, round+1)
			}
			time.Sleep(time.Second)
			if s.mints() != round+2 {
				t.Fatalf("%d mints after a hit on a stale token, want %d", s.mints(), round+2)
			}
		}
	})
}

// After a suspend the monotonic clock says that the token is new.
func TestTokenThatASuspendMadeStaleIsRefreshedOnUse(t *testing.T) {
	setup{latency: 100 * ms, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner)
		time.Sleep(10 * time.Second)
		wallJumps(c, 27*time.Minute)
		s.get(t, c, partner)
		time.Sleep(time.Second)
		if _, number := s.get(t, c, partner); number != 2 {
			t.Errorf("token %d a second after a hit on a stale one, want 2", number)
		}
	})
}

func TestClockJumpsCostOneMintEach(t *testing.T) {
	setup{run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner)
		for n, by := range []time.Duration{time.Hour, 24 * time.Hour, 12 * year, -time.Hour, -56 * year} {
			time.Sleep(2 * time.Second)
			wallJumps(c, by)
			s.steady(t, c, partner, time.Second, time.Minute)
			if got, want := s.mints(), 1+min(n+1, 3); got != want {
				t.Errorf("after a jump by %v: %d mints, want %d", by, got, want)
			}
		}
	})
}

func TestThousandGrantsExpiringTogetherAreSpread(t *testing.T) {
	grants := 1000
	if underRace {
		grants /= 4
	}
	setup{latency: 20 * ms, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		var wg sync.WaitGroup
		for n := range grants {
			wg.Go(func() {
				s.get(t, c, user(n))
				if seen := s.steady(t, c, user(n), 5*time.Minute, 29*time.Minute); seen.waited > 0 {
					t.Errorf("grant %d: %+v", n, seen)
				}
			})
		}
		wg.Wait()
		perSecond := map[int64]int{}
		for _, call := range s.all()[grants:] {
			perSecond[call.at.Unix()]++
		}
		busiest := 0
		for _, n := range perSecond {
			busiest = max(busiest, n)
		}
		most, _ := s.atOnce()
		if s.mints() != 2*grants || busiest > 40 || most > 16 {
			t.Errorf("%d mints, %d in the busiest second, %d at once, want %d, 40, 16 at most", s.mints(), busiest, most, 2*grants)
		}
	})
}

func TestRefreshMintsForAllThatHoldAToken(t *testing.T) {
	setup{latency: 100 * ms, warm: []Grant{partner}, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.set(func(s *endpoint) { s.refused[user(99)] = errRejected })
		refuse(t, c, user(99)) // holds none
		for n := range 50 {
			s.get(t, c, user(n))
		}
		time.Sleep(time.Minute)
		c.Refresh()
		if _, number := s.get(t, c, partner); number != 1 {
			t.Errorf("token %d at once, want the old one to serve", number)
		}
		time.Sleep(time.Minute)
		for n := range 50 {
			if _, number := s.get(t, c, user(n)); number != 2 {
				t.Errorf("grant %d: token %d, want 2", n, number)
			}
		}
		if _, number := s.get(t, c, partner); number != 2 || s.mints() != 103 {
			t.Errorf("token %d, %d mints, want 2, 103", number, s.mints())
		}
	})
}

func TestRefreshInALoopMintsOncePerSecond(t *testing.T) {
	setup{run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner)
		for range 1000 {
			c.Refresh()
			time.Sleep(10 * ms)
		}
		if s.mints() < 8 || s.mints() > 11 {
			t.Errorf("%d mints in 10 s, want about 10", s.mints())
		}
	})
}

// A refresh that is asked for while a mint is under way is one more mint, also
// when it is asked for at the very end of the other.
func TestRefreshDuringAMintIsNotLost(t *testing.T) {
	for round := range 150 {
		setup{run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			for n := range 12 { // as many refreshes as go at once
				s.get(t, c, user(n))
			}
			time.Sleep(2 * time.Second)
			deaf := make(chan struct{})
			s.set(func(s *endpoint) { s.deaf = deaf })
			c.Refresh()
			synctest.Wait()
			s.set(func(s *endpoint) { s.deaf = nil })
			c.Refresh()
			synctest.Wait()
			close(deaf)
			time.Sleep(time.Minute)
			if s.mints() != 36 {
				t.Fatalf("round %d: %d mints, want 36", round, s.mints())
			}
		})
	}
}

// The credentials may have changed while the first token of a grant was minted.
func TestRefreshDuringTheFirstMintIsNotLost(t *testing.T) {
	setup{latency: 100 * ms, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		go func() { _, _ = c.Token(t.Context(), user(1)) }()
		time.Sleep(50 * ms)
		c.Refresh()
		time.Sleep(time.Minute)
		if _, number := s.get(t, c, user(1)); number != 2 || s.mints() != 2 {
			t.Errorf("token %d after %d mints, want 2, 2", number, s.mints())
		}
	})
}

// A refusal ends the wish for a new token, and an outage does not.
func TestRefreshIsTriedAgainAfterAFailure(t *testing.T) {
	for fault, want := range map[*FetchError]int{errDown: 2, errRejected: 1} {
		setup{run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			s.get(t, c, partner)
			time.Sleep(2 * time.Second)
			s.set(func(s *endpoint) { s.down = fault })
			c.Refresh()
			time.Sleep(10 * time.Second)
			s.set(func(s *endpoint) { s.down = nil })
			time.Sleep(30 * time.Second)
			if _, number := s.get(t, c, partner); number != want {
				t.Errorf("%s: token %d, want %d", fault.Reason, number, want)
			}
		})
	}
}

// Each mint that ends wakes Run, which finds all the others still under way.
func TestManyRefreshesAtOnceCostLittle(t *testing.T) {
	one := func(c *Config) { c.MaxMints = 1 }
	setup{latency: 10 * ms, config: one, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		const grants = 400
		for n := range grants {
			s.get(t, c, user(n))
		}
		time.Sleep(2 * time.Second)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c.Refresh()
		time.Sleep(time.Minute)
		runtime.ReadMemStats(&after)
		if s.mints() != 2*grants {
			t.Fatalf("%d mints, want %d", s.mints(), 2*grants)
		}
		if perMint := (after.Mallocs - before.Mallocs) / grants; perMint > 100 {
			t.Errorf("%d allocations per refresh, want less than 100", perMint)
		}
	})
}

// A refresh that no caller waits for can wait until Monite takes requests again, but not
// until its token has ended: then callers would wait.
func TestRefreshIsPutOffWhileMoniteWantsNoRequests(t *testing.T) {
	for _, tt := range []struct {
		name     string
		lifetime time.Duration
		said     []time.Duration // before the refresh is due
		from, to time.Duration   // when the refresh is, after the first mint
	}{
		{"nothing was said", 30 * time.Minute, nil, 25 * time.Minute, 26 * time.Minute},
		{"for less than until it is due", 30 * time.Minute, []time.Duration{time.Second}, 25 * time.Minute, 26 * time.Minute},
		{"for two minutes, then for one second", 30 * time.Minute, []time.Duration{2 * time.Minute, time.Second}, 26*time.Minute + 59*time.Second, 27 * time.Minute},
		{"for longer than the token lives", 30 * time.Minute, []time.Duration{time.Hour}, 27*time.Minute + 30*time.Second, 28 * time.Minute},
		{"a token of a minute", time.Minute, []time.Duration{time.Minute}, 45 * time.Second, 48 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			setup{lifetime: tt.lifetime, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
				before := tt.lifetime - min(5*time.Minute, tt.lifetime/2) - time.Second
				seen := s.steady(t, c, partner, time.Second, before)
				for _, while := range tt.said {
					c.PutOff(while)
				}
				more := s.steady(t, c, partner, time.Second, tt.lifetime-before)
				times := s.mintsOf(partner)
				if len(times) != 2 || seen.waited+seen.failed+more.waited+more.failed != 0 {
					t.Fatalf("%d mints, %+v, %+v, want 2 and nobody to wait", len(times), seen, more)
				}
				if after := times[1].Sub(times[0]); after < tt.from || after > tt.to {
					t.Errorf("refreshed after %v, want %v to %v", after, tt.from, tt.to)
				}
			})
		})
	}
}

// What callers wait for is not put off.
func TestMintThatIsWaitedForIsNotPutOff(t *testing.T) {
	setup{run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		c.PutOff(time.Minute)
		began := time.Now()
		token, _ := s.get(t, c, partner)
		time.Sleep(2 * time.Second)
		c.PutOff(time.Minute)
		c.Invalidate(partner, token)
		s.get(t, c, partner)
		if took := time.Since(began); took > 2*time.Second || s.mints() != 2 {
			t.Errorf("two tokens took %v and %d mints, want 2s and 2", took, s.mints())
		}
	})
}
