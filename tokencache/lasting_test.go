package tokencache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLastingTokenIsMintedAnewInTime(t *testing.T) {
	const wish = 11 * time.Minute
	tests := []struct {
		name           string
		lifetime, age  time.Duration
		number         int // of the token that is given away
		least          time.Duration
		noRun, refresh bool
	}{
		{"none yet", 30 * time.Minute, 0, 1, 30*time.Minute - time.Second, false, false},
		{"new", 30 * time.Minute, 10 * time.Minute, 1, 20*time.Minute - time.Second, false, false},
		{"less than the wish left", 30 * time.Minute, 20 * time.Minute, 2, 30*time.Minute - time.Second, false, false},
		{"less than the wish left, without Run", 30 * time.Minute, 20 * time.Minute, 2, 30*time.Minute - time.Second, true, false},
		{"at its end", 30 * time.Minute, 30*time.Minute - 200*ms, 2, 30*time.Minute - time.Second, true, false},
		{"short-lived, in its first half", time.Minute, 20 * time.Second, 1, 39 * time.Second, true, false},
		{"short-lived, at its half", time.Minute, 30*time.Second - 100*ms, 1, 30 * time.Second, true, false},
		{"short-lived, in its second half", time.Minute, 31 * time.Second, 2, 59 * time.Second, true, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			setup{latency: 100 * ms, lifetime: tc.lifetime}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
				if !tc.noRun {
					start(t, c)
				}
				if tc.age > 0 {
					s.get(t, c, user(1))
					time.Sleep(tc.age)
				}
				token, left, err := c.Lasting(t.Context(), user(1), wish)
				i, _ := s.look(token)
				if err != nil || i.grant != user(1) || i.number != tc.number || left < tc.least || left > time.Until(i.ends) {
					t.Errorf("Lasting() = token %d, %v, %v, want token %d for at least %v", i.number, left, err, tc.number, tc.least)
				}
			})
		})
	}
}

func TestLastingFallsBackUntilTheTokenIsAboutToEnd(t *testing.T) {
	for _, fault := range []*FetchError{errDown, errRejected, {Reason: Malformed}, {Reason: Throttled, RetryAfter: time.Minute}} {
		setup{run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			s.get(t, c, user(1))
			s.set(func(s *endpoint) { s.down = fault })
			for _, age := range []time.Duration{25 * time.Minute, 29 * time.Minute} {
				time.Sleep(age - c.Status()[0].Age)
				if _, left, err := c.Lasting(t.Context(), user(1), 11*time.Minute); err != nil || left < time.Minute || left > 30*time.Minute-age {
					t.Errorf("%s at %v: %v left, %v, want the old token", fault.Reason, age, left, err)
				}
			}
			time.Sleep(20 * time.Second)
			began := time.Now()
			_, _, err := c.Lasting(t.Context(), user(1), 11*time.Minute)
			if e, ok := errors.AsType[*Error](err); !ok || e.Reason != fault.Reason || time.Since(began) > 5*time.Second {
				t.Errorf("%s: Lasting() = %v after %v, want the reason", fault.Reason, err, time.Since(began))
			}
			s.get(t, c, user(1)) // for a request of the moment it is good
		})
	}
}

func TestLastingHangsNoLongerThanTheHold(t *testing.T) {
	setup{}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, user(1))
		time.Sleep(25 * time.Minute)
		s.set(func(s *endpoint) { s.hangs = true })
		began := time.Now()
		if _, left, err := c.Lasting(t.Context(), user(1), 11*time.Minute); err != nil || left < 4*time.Minute || time.Since(began) != 5*time.Second {
			t.Errorf("%v left, %v after %v, want the old token after the hold", left, err, time.Since(began))
		}
		time.Sleep(4*time.Minute + 20*time.Second) // it is about to end
		_, _, err := c.Lasting(t.Context(), user(1), 11*time.Minute)
		if e, ok := errors.AsType[*Error](err); !ok || e.Reason != TimedOut {
			t.Errorf("Lasting() = %v, want a timeout", err)
		}
	})
}

func TestLastingEndsWithItsCallerAndWithTheCache(t *testing.T) {
	for name, want := range map[string]error{"the caller leaves": context.DeadlineExceeded, "the cache ends": ErrClosed} {
		setup{}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			s.get(t, c, user(1))
			time.Sleep(25 * time.Minute)
			s.set(func(s *endpoint) { s.hangs = true })
			ctx := t.Context()
			if want == ErrClosed {
				_ = time.AfterFunc(time.Second, c.close)
			} else {
				leaves, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				ctx = leaves
			}
			began := time.Now()
			if _, _, err := c.Lasting(ctx, user(1), 11*time.Minute); !errors.Is(err, want) || time.Since(began) != time.Second {
				t.Errorf("%s: Lasting() = %v after %v, want %v after a second", name, err, time.Since(began), want)
			}
		})
	}
}

func TestLastingNeverGivesAwayARefusedToken(t *testing.T) {
	setup{}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for _, age := range []time.Duration{0, 500 * ms, 2 * time.Second} {
			token, _ := s.get(t, c, user(1))
			time.Sleep(age)
			c.Invalidate(user(1), token)
			given, left, err := c.Lasting(t.Context(), user(1), 11*time.Minute)
			if err != nil || given.Equal(token) || left < 29*time.Minute {
				t.Errorf("%v old: same token %v, %v left, %v, want a new one", age, given.Equal(token), left, err)
			}
			time.Sleep(2 * time.Second)
		}
		// No new one is to be had within the time that a caller waits.
		token, _ := s.get(t, c, user(1))
		s.down = errDown
		c.Invalidate(user(1), token)
		if _, _, err := c.Lasting(t.Context(), user(1), 11*time.Minute); err == nil {
			t.Error("a token was given away after upstream had refused it")
		}
	})
}

// Token hands a refused token out once more to a caller who cannot wait until its
// first second is over, and who then sees upstream's refusal. To take it away is
// of no use.
func TestLastingGivesNoRefusedTokenToTheImpatient(t *testing.T) {
	setup{config: func(c *Config) { c.HoldTimeout = 100 * ms }}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		token, _ := s.get(t, c, user(1))
		c.Invalidate(user(1), token)
		if given, _, err := c.Lasting(t.Context(), user(1), time.Minute); err == nil && given.Equal(token) {
			t.Error("a refused token was given away")
		}
	})
}

// expires_in 0, or one that a mint outlasts: good for the request that waits, not
// to be taken away.
func TestTokenWithoutALifeIsNotGivenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(100*ms, 0)
		c := open(t, settings(s))
		_, left, err := c.Lasting(t.Context(), user(1), time.Minute)
		if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Unavailable {
			t.Errorf("Lasting() = %v left, %v, want Unavailable", left, err)
		}
	})
}
