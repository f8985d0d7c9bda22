package tokencache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunReturnsWhenEveryMintHasEnded(t *testing.T) {
	tests := []struct {
		name  string
		fault func(*endpoint)
	}{
		{"slow", func(s *endpoint) { s.latency = 5 * time.Second }},
		{"hanging", func(s *endpoint) { s.hangs = true }},
		{"deaf to its context", func(s *endpoint) {
			deaf := make(chan struct{})
			s.deaf = deaf
			time.AfterFunc(20*time.Second, func() { close(deaf) })
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newEndpoint(0, 30*time.Minute)
				config := settings(s)
				config.Warm = []Grant{user(100)}
				config.OnMint = func(m Mint) {
					if m.Err != nil {
						t.Errorf("the end of Run counts as a failure of %v: %v", m.Grant, m.Err)
					}
				}
				c := New(config)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- c.Run(ctx) }()
				s.get(t, c, partner)
				s.set(tc.fault)
				time.Sleep(2 * time.Second)
				c.Refresh()
				var callers sync.WaitGroup
				for n := range 40 { // more than mints at once: some wait for a slot
					callers.Go(func() { _, _ = c.Token(t.Context(), user(n)) })
				}
				time.Sleep(time.Second)
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("Run() = %v, want nil", err)
				}
				s.mu.Lock()
				if s.allBusy != 0 {
					t.Errorf("%d mints under way when Run had returned", s.allBusy)
				}
				s.mu.Unlock()
				before := s.mints()
				callers.Wait()
				if _, err := c.Token(t.Context(), user(999)); !errors.Is(err, ErrClosed) || s.mints() != before {
					t.Errorf("Token() = %v, %d mints after Run, want ErrClosed, 0", err, s.mints()-before)
				}
				s.get(t, c, partner) // what is cached still serves those who drain
			})
		})
	}
}

func TestRunEndsAtOnceWhenNothingIsUnderWay(t *testing.T) {
	setup{}.bubble(t, func(t *testing.T, _ *endpoint, c *Cache) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if err := c.Run(ctx); err != nil || time.Since(began) != 0 {
			t.Errorf("Run() = %v after %v", err, time.Since(began))
		}
	})
}

func TestWaitersAreToldWhenRunEnds(t *testing.T) {
	tests := []struct {
		name  string
		fault func(*endpoint)
	}{
		{"during a mint", func(s *endpoint) { s.hangs = true }},
		{"between two tries", func(s *endpoint) { s.down = &FetchError{Reason: Unavailable, RetryAfter: 4 * time.Second} }},
		{"while throttled", func(s *endpoint) { s.down = &FetchError{Reason: Throttled, RetryAfter: 4 * time.Second} }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			setup{trouble: tc.fault}.bubble(t, func(t *testing.T, _ *endpoint, c *Cache) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				go func() { _ = c.Run(ctx) }()
				began := time.Now()
				if _, err := c.Token(t.Context(), partner); !errors.Is(err, ErrClosed) || time.Since(began) != 2*time.Second {
					t.Errorf("Token() = %v after %v, want ErrClosed after 2s", err, time.Since(began))
				}
			})
		})
	}
}

func TestClosedCacheSaysSoWhateverFailedBefore(t *testing.T) {
	for _, fault := range []*FetchError{errDown, errRejected, {Reason: Throttled, RetryAfter: time.Minute}} {
		setup{down: fault}.bubble(t, func(t *testing.T, _ *endpoint, c *Cache) {
			_, _ = c.Token(t.Context(), partner)
			c.close()
			if _, err := c.Token(t.Context(), partner); !errors.Is(err, ErrClosed) {
				t.Errorf("after %s: Token() = %v, want ErrClosed", fault.Reason, err)
			}
		})
	}
}

func TestWarmGrantIsMintedWithNobodyAsking(t *testing.T) {
	setup{latency: 100 * ms, warm: []Grant{partner, user(1)}}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		if c.Warmed() {
			t.Error("Warmed() before Run")
		}
		start(t, c)
		time.Sleep(101 * ms)
		if !c.Warmed() || s.mints() != 2 {
			t.Errorf("Warmed() = %v, %d mints, want true, 2", c.Warmed(), s.mints())
		}
		time.Sleep(24 * time.Hour)
		if !c.Warmed() || s.mints() != 2 {
			t.Errorf("a day later: Warmed() = %v, %d mints, want true, 2", c.Warmed(), s.mints())
		}
	})
}

func TestWarmGrantIsRetriedUntilTheFirstSuccess(t *testing.T) {
	for _, fault := range []error{errDown, errRejected, &FetchError{Reason: Malformed}, &FetchError{Reason: Throttled, RetryAfter: 20 * time.Second}} {
		setup{latency: 10 * ms, down: fault, warm: []Grant{partner}, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			time.Sleep(10 * time.Minute)
			if c.Warmed() || s.mints() < 10 || s.mints() > 60 {
				t.Errorf("%v: Warmed() = %v, %d tries in 10 minutes", fault, c.Warmed(), s.mints())
			}
			s.set(func(s *endpoint) { s.down = nil })
			time.Sleep(31 * time.Second)
			if !c.Warmed() {
				t.Errorf("%v: not warm 31 s after the endpoint's return", fault)
			}
		})
	}
}

func TestStatusShowsEveryGrant(t *testing.T) {
	setup{warm: []Grant{user(2)}}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.refused[user(1)] = errRejected
		s.get(t, c, partner)
		refuse(t, c, user(1))
		time.Sleep(time.Second)
		all := map[Grant]Status{}
		for _, status := range c.Status() {
			all[status.Grant] = status
		}
		got := all[partner]
		if len(all) != 3 || got.State != "fresh" || got.Age != time.Second || got.Left != 30*time.Minute-time.Second ||
			got.RefreshIn < 24*time.Minute || got.Mints != 1 || got.LastFailure != nil || got.Idle != time.Second {
			t.Errorf("%d grants, partner: %+v", len(all), got)
		}
		got = all[user(1)]
		if got.State != "missing" || got.Failures != 1 || got.LastFailure.Reason != Rejected || got.RetryIn < 4*time.Second || got.RetryIn > 7*time.Second || got.Age != 0 {
			t.Errorf("refused: %+v", got)
		}
		if got = all[user(2)]; !got.Warm || got.State != "missing" || got.Mints != 0 {
			t.Errorf("warm: %+v", got)
		}
		time.Sleep(time.Hour)
		_, _ = c.Token(t.Context(), user(1))
		for _, got := range c.Status() {
			if got.Left != 0 || got.Grant == partner && got.RefreshIn >= 0 || got.Grant == user(1) && got.Idle != 0 {
				t.Errorf("an hour later: %+v, want nothing left, a refresh that is overdue, and the last use", got)
			}
		}
	})
}
