package tokencache

import (
	"errors"
	"sync"
	"testing"
	"time"
)

func TestOutageWhileTheTokenLivesFailsNothing(t *testing.T) {
	tests := []struct {
		name       string
		fault      error
		from, till time.Duration // after the mint
		failed     int
	}{
		{"30 s while fresh", errDown, 10 * time.Minute, 10*time.Minute + 30*time.Second, 0},
		{"30 s over the refresh", errDown, 24*time.Minute + 50*time.Second, 26 * time.Minute, 0},
		{"all the stale time", errDown, 20 * time.Minute, 29*time.Minute + 20*time.Second, 0},
		{"malformed answers", &FetchError{Reason: Malformed, Status: 200}, 20 * time.Minute, 29 * time.Minute, 0},
		{"refusals", errRejected, 20 * time.Minute, 29 * time.Minute, 0},
		{"429 with Retry-After", &FetchError{Reason: Throttled, RetryAfter: 30 * time.Second}, 20 * time.Minute, 29 * time.Minute, 0},
		{"an error of no known kind", errors.New("odd"), 20 * time.Minute, 29 * time.Minute, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			setup{latency: 100 * ms, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
				s.get(t, c, partner)
				go func() {
					time.Sleep(tc.from)
					s.set(func(s *endpoint) { s.down = tc.fault })
					time.Sleep(tc.till - tc.from)
					s.set(func(s *endpoint) { s.down = nil })
				}()
				if seen := s.steady(t, c, partner, 200*ms, time.Hour); seen.failed != 0 || seen.waited != 0 {
					t.Errorf("%+v, want no failure and no wait", seen)
				}
			})
		})
	}
}

// Down from the middle of its life: the old token serves to the very end.
func TestLiveTokenServesToItsTrueEnd(t *testing.T) {
	for _, fault := range []*FetchError{errDown, errRejected, {Reason: Malformed}, {Reason: Throttled, RetryAfter: time.Minute}} {
		setup{run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			s.get(t, c, partner)
			began := time.Now()
			time.Sleep(time.Minute)
			s.set(func(s *endpoint) { s.down = fault })
			if seen := s.steady(t, c, partner, 500*ms, 29*time.Minute); seen.failed != 0 || seen.waited != 0 {
				t.Errorf("%s: %+v before the end, want no failure and no wait", fault.Reason, seen)
			}
			_, err := c.Token(t.Context(), partner)
			if e, ok := errors.AsType[*Error](err); !ok || e.Reason != fault.Reason {
				t.Errorf("at %v: Token() = %v, want %s", time.Since(began), err, fault.Reason)
			}
			if s.mints() > 60 {
				t.Errorf("%s: %d mints in 5 minutes of stale time", fault.Reason, s.mints())
			}
		})
	}
}

func TestOutageWithNothingCachedIsHeldThenRefused(t *testing.T) {
	setup{latency: 10 * ms, down: errDown}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		began := time.Now()
		_, err := c.Token(t.Context(), partner)
		e, ok := errors.AsType[*Error](err)
		if took := time.Since(began); !ok || e.Reason != Unavailable || took < 4*time.Second || took > 5*time.Second {
			t.Errorf("first caller: %v after %v, want Unavailable after about 5s", err, took)
		}
		if e.RetryAfter < time.Second || !errors.Is(err, errDown) {
			t.Errorf("Retry-After %v, cause %v, want at least 1s, and the endpoint's own", e.RetryAfter, e.Cause)
		}
		time.Sleep(time.Second)
		// The outage has outlasted the hold: at most the mint that is due is waited for.
		seen := s.steady(t, c, partner, 50*ms, time.Minute)
		if seen.failed != seen.calls || seen.slowest > 20*ms {
			t.Errorf("%+v, want all refused within 20ms", seen)
		}
		if s.mints() > 180 {
			t.Errorf("%d mints in 65 s, want less than 3 in a second", s.mints())
		}
	})
}

func TestShortOutageWithNothingCachedIsHeldOver(t *testing.T) {
	for _, outage := range []time.Duration{100 * ms, time.Second, 4 * time.Second} {
		setup{latency: 10 * ms, down: errDown}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			go func() {
				time.Sleep(outage)
				s.set(func(s *endpoint) { s.down = nil })
			}()
			began := time.Now()
			if got := s.crowd(t, c, partner, 100); got != 100 || time.Since(began) > outage+760*ms {
				t.Errorf("outage of %v: %d of 100 answered after %v", outage, got, time.Since(began))
			}
		})
	}
}

func TestSuccessEndsTheOutage(t *testing.T) {
	setup{down: errDown}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		_, _ = c.Token(t.Context(), partner)
		s.down = nil
		time.Sleep(time.Second)
		s.get(t, c, partner)
		if status := c.Status()[0]; status.LastFailure != nil || status.RetryIn != 0 || status.Failures == 0 {
			t.Errorf("after the success: %+v", status)
		}
		time.Sleep(31 * time.Minute)
		s.down = errDown
		began := time.Now()
		if _, err := c.Token(t.Context(), partner); err == nil || time.Since(began) < 4*time.Second {
			t.Errorf("another outage: %v after %v, want to be held", err, time.Since(began))
		}
	})
}

func TestNextTryTooLateIsRefusedAtOnce(t *testing.T) {
	with := setup{down: &FetchError{Reason: Unavailable, Status: 503, RetryAfter: 20 * time.Second}}
	with.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for range 3 {
			began := time.Now()
			_, err := c.Token(t.Context(), partner)
			if e, ok := errors.AsType[*Error](err); !ok || e.RetryAfter != 20*time.Second || time.Since(began) != 0 {
				t.Errorf("Token() = %v after %v, want a refusal at once with Retry-After 20s", err, time.Since(began))
			}
		}
		if s.mints() != 1 {
			t.Errorf("%d mints, want 1", s.mints())
		}
	})
}

// An idle grant that failed an hour ago is held like any other.
func TestBlipLongAfterAnotherIsHeldOver(t *testing.T) {
	setup{down: errDown}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		_, _ = c.Token(t.Context(), partner)
		time.Sleep(time.Hour)
		go func() {
			time.Sleep(2 * time.Second)
			s.set(func(s *endpoint) { s.down = nil })
		}()
		s.get(t, c, partner)
	})
}

func TestRecoveryWithinASecond(t *testing.T) {
	for _, outage := range []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute} {
		for _, demand := range []bool{false, true} {
			for _, run := range []bool{false, true} {
				setup{latency: 20 * ms, down: errDown, warm: []Grant{partner}}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
					if run {
						start(t, c)
					}
					var callers sync.WaitGroup
					if demand {
						for range 3 {
							callers.Go(func() { s.steady(t, c, partner, max(30*ms, outage/1000), outage) })
						}
					} else {
						_, _ = c.Token(t.Context(), partner)
					}
					time.Sleep(outage)
					back := time.Now()
					s.set(func(s *endpoint) { s.down = nil })
					for {
						if _, err := c.Token(t.Context(), partner); err == nil {
							break
						}
						time.Sleep(10 * ms)
					}
					if took := time.Since(back); took > time.Second {
						t.Errorf("outage %v, demand %v, run %v: first success %v after the return", outage, demand, run, took)
					}
					callers.Wait()
				})
			}
		}
	}
}

func TestRetryAfterIsRespected(t *testing.T) {
	for _, reason := range []Reason{Throttled, Unavailable, Rejected} {
		for _, asked := range []time.Duration{7 * time.Second, 45 * time.Second, time.Hour} {
			with := setup{down: &FetchError{Reason: reason, RetryAfter: asked}, warm: []Grant{partner}, run: true}
			with.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
				s.steady(t, c, partner, 100*ms, 5*time.Minute)
				least := min(asked, time.Minute)
				times := s.mintsOf(partner)
				for i := range len(times) - 1 {
					if gap := times[i+1].Sub(times[i]); gap < least || gap > max(least, 30*time.Second)+time.Second {
						t.Errorf("%s, %v asked: next try after %v", reason, asked, gap)
					}
				}
				if len(times) < 4 {
					t.Errorf("%s, %v asked: %d tries in 5 minutes", reason, asked, len(times))
				}
			})
		}
	}
}

func TestEndpointThatHangsIsTriedOnceAtATime(t *testing.T) {
	setup{trouble: func(s *endpoint) { s.hangs = true }, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				seen := s.steady(t, c, partner, 10*ms, time.Minute)
				if seen.failed != seen.calls || seen.slowest > 5*time.Second {
					t.Errorf("%+v, want all to fail within 5s", seen)
				}
			})
		}
		callers.Wait()
		if _, doubled := s.atOnce(); doubled != 0 || s.mints() > 7 {
			t.Errorf("%d doubled, %d mints in a minute, want 0, 7 at most", doubled, s.mints())
		}
	})
}
