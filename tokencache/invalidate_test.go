package tokencache

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

func TestRejectedTokenIsReplaced(t *testing.T) {
	setup{latency: 10 * ms}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		token, _ := s.get(t, c, partner)
		other, _ := s.get(t, c, user(1))
		time.Sleep(time.Second)
		c.Invalidate(partner, token)
		if _, number := s.get(t, c, partner); number != 2 {
			t.Errorf("token %d, want 2", number)
		}
		if still, _ := s.get(t, c, user(1)); still != other {
			t.Error("another grant lost its token")
		}
	})
}

func TestLateRejectionKeepsNewToken(t *testing.T) {
	setup{latency: 10 * ms}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		old, _ := s.get(t, c, partner)
		time.Sleep(time.Minute)
		c.Invalidate(partner, old)
		s.get(t, c, partner)
		time.Sleep(time.Minute)
		for _, late := range []secret.String{old, {}, secret.New("made up")} {
			c.Invalidate(partner, late)
			c.Invalidate(user(1), late)
		}
		if _, number := s.get(t, c, partner); number != 2 || s.mints() != 2 {
			t.Errorf("token %d, %d mints, want 2, 2", number, s.mints())
		}
	})
}

func TestTokenIsComparedByText(t *testing.T) {
	setup{latency: 10 * ms}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner)
		time.Sleep(time.Minute)
		c.Invalidate(partner, secret.New("client_credentials..1"))
		if _, number := s.get(t, c, partner); number != 2 {
			t.Errorf("token %d, want 2", number)
		}
	})
}

// A token that was revoked at once: those who want one wait for the second to
// end, and get another.
func TestTokenRefusedInItsFirstSecondIsMintedAgainAfterIt(t *testing.T) {
	setup{}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		token, _ := s.get(t, c, partner)
		time.Sleep(300 * ms)
		c.Invalidate(partner, token)
		began := time.Now()
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				if _, number := s.get(t, c, partner); number != 2 {
					t.Errorf("token %d, want 2", number)
				}
			})
		}
		callers.Wait()
		if took := time.Since(began); took != 700*ms || s.mints() != 2 {
			t.Errorf("%d mints after %v, want 2 after 700ms", s.mints(), took)
		}
	})
}

// Upstream refuses the next one too: it means the user, and nobody waits again.
func TestSuccessorOfARefusedTokenStaysForASecond(t *testing.T) {
	setup{}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for want := 1; want <= 2; want++ {
			token, number := s.get(t, c, partner)
			if number != want {
				t.Errorf("token %d, want %d", number, want)
			}
			c.Invalidate(partner, token)
		}
		began := time.Now()
		if _, number := s.get(t, c, partner); number != 2 || time.Since(began) != 0 {
			t.Errorf("token %d after %v, want 2 at once", number, time.Since(began))
		}
	})
}

// Who cannot wait that long gets the token as it is, and upstream's refusal.
func TestRefusedTokenIsGivenToThoseWhoCannotWait(t *testing.T) {
	setup{config: func(c *Config) { c.HoldTimeout = 100 * ms }}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		token, _ := s.get(t, c, partner)
		c.Invalidate(partner, token)
		if _, number := s.get(t, c, partner); number != 1 {
			t.Errorf("token %d, want 1", number)
		}
		time.Sleep(950 * ms)
		if _, number := s.get(t, c, partner); number != 2 {
			t.Errorf("token %d after a second, want 2", number)
		}
	})
}

func TestTokenOlderThanASecondIsMintedAgainAtOnce(t *testing.T) {
	setup{}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		token, _ := s.get(t, c, partner)
		time.Sleep(time.Second)
		c.Invalidate(partner, token)
		began := time.Now()
		if _, number := s.get(t, c, partner); number != 2 || time.Since(began) != 0 {
			t.Errorf("token %d after %v, want 2 at once", number, time.Since(began))
		}
	})
}

// The files change while the old secret is being refused.
func TestRefusalOfCredentialsThatChangedMeanwhileIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(time.Second, 30*time.Minute)
		var calls atomic.Int64
		config := settings(s)
		good := config.Fetcher
		config.Fetcher = FetcherFunc(func(ctx context.Context, grant Grant) (Token, error) {
			if calls.Add(1) > 1 {
				return good.Fetch(ctx, grant)
			}
			time.Sleep(time.Second)
			return Token{}, &FetchError{Reason: Rejected, Status: 401}
		})
		c := open(t, config)
		time.AfterFunc(500*ms, c.Forgive)
		began := time.Now()
		if _, err := c.Token(t.Context(), partner); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("Token() = %v after %v, want a token after 2s", err, time.Since(began))
		}
	})
}

// Mints of made-up users that hang must not hold up the grant of everybody.
func TestHangingMintsOfUsersDoNotHoldUpAWarmGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(0, 30*time.Minute)
		config := settings(s)
		config.MaxMints, config.Warm = 2, []Grant{partner}
		good := config.Fetcher
		config.Fetcher = FetcherFunc(func(ctx context.Context, grant Grant) (Token, error) {
			if grant.Type == EntityUser {
				<-ctx.Done()
				return Token{}, &FetchError{Reason: TimedOut}
			}
			return good.Fetch(ctx, grant)
		})
		c := open(t, config)
		ctx, cancel := context.WithCancel(t.Context())
		var users sync.WaitGroup
		for n := range 10 {
			users.Go(func() { _, _ = c.Token(ctx, user(n)) })
		}
		synctest.Wait()
		began := time.Now()
		if _, number := s.get(t, c, partner); number != 1 || time.Since(began) != 0 {
			t.Errorf("the warm grant's token %d came after %v", number, time.Since(began))
		}
		cancel()
		users.Wait()
	})
}

func TestTenThousandRejectionsAreOneMint(t *testing.T) {
	setup{latency: 100 * ms, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		rejected, _ := s.get(t, c, partner)
		time.Sleep(time.Minute)
		var callers sync.WaitGroup
		for n := range 10_000 {
			callers.Go(func() {
				time.Sleep(time.Duration(n%400) * ms) // some come late, after the new token
				c.Invalidate(partner, rejected)
				if token, err := c.Token(t.Context(), partner); err != nil || token == rejected {
					t.Errorf("Token() = %v, the rejected one %v", err, token == rejected)
				}
			})
		}
		callers.Wait()
		if s.mints() != 2 {
			t.Errorf("%d mints, want 2", s.mints())
		}
	})
}

// Upstream answers 401 to whatever token.
func TestRejectionForeverIsOneMintPerSecond(t *testing.T) {
	setup{run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		var callers sync.WaitGroup
		for range 5 {
			callers.Go(func() {
				for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(7 * ms) {
					token, _ := s.get(t, c, partner)
					c.Invalidate(partner, token)
				}
			})
		}
		callers.Wait()
		times := s.mintsOf(partner)
		for i := range len(times) - 1 {
			if gap := times[i+1].Sub(times[i]); gap < time.Second {
				t.Errorf("mint %d after %v, want a second or more", i+1, gap)
			}
		}
		if len(times) < 50 {
			t.Errorf("%d mints in a minute: a rejected token is kept", len(times))
		}
	})
}

// A mint that was under way when the token was rejected is what comes next.
func TestRejectionDuringARefreshIsNoFurtherMint(t *testing.T) {
	setup{latency: 500 * ms, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		token, _ := s.get(t, c, partner)
		time.Sleep(time.Minute)
		c.Refresh()
		time.Sleep(100 * ms)
		c.Invalidate(partner, token)
		if _, number := s.get(t, c, partner); number != 2 || s.mints() != 2 {
			t.Errorf("token %d, %d mints, want 2, 2", number, s.mints())
		}
	})
}

// A read-only identity can provoke a 401, and must not take the token from everybody
// while there is no other: not for a moment, if the endpoint fails at once or hangs.
func TestRefusedTokenIsTheLastResortWhileNoneCanBeMinted(t *testing.T) {
	for name, fails := range map[string]error{
		"unavailable": &FetchError{Reason: Unavailable}, "throttled": &FetchError{Reason: Throttled, RetryAfter: time.Minute},
		"malformed": &FetchError{Reason: Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			setup{}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
				old, _ := s.get(t, c, partner)
				time.Sleep(time.Minute)
				s.set(func(s *endpoint) { s.down = fails })
				c.Invalidate(partner, old)
				for range 50 {
					began := time.Now()
					got, err := c.Token(t.Context(), partner)
					if err != nil || !got.Equal(old) {
						t.Fatalf("%v, want the refused token", err)
					}
					if waited := time.Since(began); waited > time.Second {
						t.Fatalf("waited %v", waited)
					}
					time.Sleep(time.Second)
				}
				s.set(func(s *endpoint) { s.down = nil })
				time.Sleep(2 * time.Minute)
				_, _ = c.Token(t.Context(), partner)
				time.Sleep(time.Second)
				if got, err := c.Token(t.Context(), partner); err != nil || got.Equal(old) {
					t.Errorf("%v; want another token once one can be had", err)
				}
				time.Sleep(time.Hour)
				s.set(func(s *endpoint) { s.down = fails })
				if _, err := c.Token(t.Context(), partner); err == nil {
					t.Error("a token from before the last mint is given out")
				}
			})
		})
	}
}

// Where the endpoint refuses the grant as well, the token is as dead as upstream says.
func TestRefusedTokenOfARefusedGrantIsNotGivenOut(t *testing.T) {
	setup{}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		old, _ := s.get(t, c, partner)
		time.Sleep(time.Minute)
		s.down = errRejected
		c.Invalidate(partner, old)
		if _, err := c.Token(t.Context(), partner); err == nil {
			t.Error("the token is given out")
		}
	})
}
