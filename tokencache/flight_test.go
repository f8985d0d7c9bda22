package tokencache

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// crowd has n callers ask at once, and returns how many were given a token of
// grant that still lives.
func (s *endpoint) crowd(t *testing.T, c *Cache, grant Grant, n int) (answered int) {
	t.Helper()
	var good atomic.Int64
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			token, err := c.Token(t.Context(), grant)
			if i, ok := s.look(token); err == nil && ok && i.grant == grant && time.Now().Before(i.ends) {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	return int(good.Load())
}

func TestOneMintForTenThousandColdCallers(t *testing.T) {
	setup{latency: 200 * ms}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		if got := s.crowd(t, c, partner, 10_000); got != 10_000 || s.mints() != 1 {
			t.Errorf("%d answers, %d mints, want 10000, 1", got, s.mints())
		}
	})
}

func TestOneMintForTenThousandCallersAtExpiry(t *testing.T) {
	for _, run := range []bool{false, true} {
		setup{latency: 200 * ms}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			if run {
				start(t, c)
			}
			token, _ := s.get(t, c, partner)
			i, _ := s.look(token)
			time.Sleep(time.Until(i.ends) - 200*ms) // the cache counts from before the mint was sent
			if got := s.crowd(t, c, partner, 10_000); got != 10_000 || s.mints() != 2 {
				t.Errorf("with Run %v: %d answers, %d mints, want 10000, 2", run, got, s.mints())
			}
		})
	}
}

// Whoever started the mint may go away at any moment; those who wait are served.
func TestCancelledFirstCallerDoesNotEndTheMint_janos_singleflight_4(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		setup{latency: 100 * ms, lifetime: time.Minute}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.Int64N(int64(110*ms))))
			defer cancel()
			first := make(chan error, 1)
			go func() {
				_, err := c.Token(ctx, partner)
				first <- err
			}()
			if random.IntN(2) == 0 {
				synctest.Wait()
			} else {
				time.Sleep(time.Duration(random.Int64N(int64(99 * ms))))
			}
			if got := s.crowd(t, c, partner, 5); got != 5 || s.mints() != 1 {
				t.Fatalf("%d answers, %d mints, want 5, 1", got, s.mints())
			}
			if err := <-first; err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("first caller: %v", err)
			}
		})
	}
}

func TestWaiterLeavesOnItsOwnContextAtOnce(t *testing.T) {
	tests := []struct {
		name  string
		fault func(*endpoint)
	}{
		{"while the mint hangs", func(s *endpoint) { s.hangs = true }},
		{"between two tries", func(s *endpoint) { s.down = &FetchError{Reason: Unavailable, RetryAfter: 4 * time.Second} }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			setup{latency: 100 * ms, lifetime: time.Minute, trouble: tc.fault}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
				ctx, cancel := context.WithTimeout(t.Context(), 1234*ms)
				defer cancel()
				began := time.Now()
				_, err := c.Token(ctx, partner)
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 1234*ms {
					t.Errorf("Token() = %v after %v, want the deadline after 1.234s", err, took)
				}
			})
		})
	}
}

func TestHoldTimeoutEndsTheWait(t *testing.T) {
	for _, hold := range []time.Duration{0, 700 * ms, 5 * time.Second} {
		setup{lifetime: time.Minute, config: func(c *Config) { c.HoldTimeout = hold }}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			s.hangs = true
			began := time.Now()
			_, err := c.Token(t.Context(), user(1))
			e, ok := errors.AsType[*Error](err)
			if took := time.Since(began); !ok || e.Reason != TimedOut || e.RetryAfter < time.Second || took != hold {
				t.Errorf("hold %v: Token() = %v after %v", hold, err, took)
			}
		})
	}
}

// A caller whose time ends in a try learns why the try before failed. What was refused long
// ago says nothing of a try that hangs.
func TestTryThatHangsHasTheReasonOfTheOneBefore(t *testing.T) {
	for fault, want := range map[*FetchError]Reason{errDown: Unavailable, errRejected: TimedOut} {
		setup{down: fault}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			_ = time.AfterFunc(2*time.Second, func() { s.set(func(s *endpoint) { s.hangs = true }) })
			_, err := c.Token(t.Context(), partner)
			if fault == errRejected {
				time.Sleep(10 * time.Second)
				_, err = c.Token(t.Context(), partner)
			}
			if e, ok := errors.AsType[*Error](err); !ok || e.Reason != want {
				t.Errorf("%s, then nothing: Token() = %v, want %s", fault.Reason, err, want)
			}
		})
	}
}

func TestMintTimeoutEndsTheMint(t *testing.T) {
	var mints []Mint
	keep := func(c *Config) { c.OnMint = func(m Mint) { mints = append(mints, m) } }
	setup{config: keep}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.hangs = true
		_, _ = c.Token(t.Context(), partner)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if len(mints) != 1 || mints[0].Err.Reason != TimedOut || mints[0].Duration != 10*time.Second || mints[0].RetryIn <= 0 || mints[0].RetryIn > firstBackoff {
			t.Errorf("mints = %+v, want one that timed out after 10s", mints)
		}
	})
}

// singleflight: when the function panics, those who wait wait for ever, or the
// process ends.
func TestPanicInFetcherIsAnErrorToAll_golang_go_33519(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(50*ms, time.Minute)
		var broken atomic.Bool
		broken.Store(true)
		config := settings(FetcherFunc(func(ctx context.Context, g Grant) (Token, error) {
			if broken.Load() {
				time.Sleep(50 * ms)
				panic("canary-in-a-panic")
			}
			return s.Fetch(ctx, g)
		}))
		config.HoldTimeout = 100 * ms
		c := open(t, config)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := c.Token(t.Context(), partner)
				e, ok := errors.AsType[*Error](err)
				if !ok || e.Reason != Unavailable || strings.Contains(err.Error(), "canary") {
					t.Errorf("Token() = %v, want Unavailable without the panic's text", err)
				}
			})
		}
		wg.Wait()
		broken.Store(false)
		time.Sleep(time.Second)
		s.get(t, c, partner)
	})
}

func TestEmptyTokenIsMalformed(t *testing.T) {
	c := New(Config{Fetcher: FetcherFunc(func(context.Context, Grant) (Token, error) {
		return Token{ExpiresIn: time.Hour}, nil
	})})
	e := c.table.pin(partner, 1, c.clock.now())
	token, err := c.mint(e)
	if cause, ok := errors.AsType[*FetchError](err); !ok || cause.Reason != Malformed || token != (secret.String{}) {
		t.Errorf("mint() = %v, want Malformed", err)
	}
}

func TestMintsAtOnceAreBounded(t *testing.T) {
	setup{latency: 100 * ms, lifetime: time.Minute}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for round, want := range []int{12, 16} { // strangers, then those who come back
			var wg sync.WaitGroup
			for n := range 200 {
				wg.Go(func() { s.get(t, c, user(n)) })
			}
			wg.Wait()
			if most, doubled := s.atOnce(); most != want || doubled != 0 || s.mints() != 200*(round+1) {
				t.Errorf("round %d: at most %d at once, %d doubled, %d mints, want %d, 0, %d", round, most, doubled, s.mints(), want, 200*(round+1))
			}
			time.Sleep(2 * time.Minute)
		}
	})
}

// The interleaving of the comment in mint: a caller misses, the flight that it
// would have joined ends, and it starts another.
func TestFlightLooksAgainBeforeItMints(t *testing.T) {
	setup{lifetime: time.Hour}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		token, _ := s.get(t, c, partner)
		late, err := c.mint(c.table.get(partner))
		if err != nil || late != token || s.mints() != 1 {
			t.Errorf("late flight: %v, same token %v, %d mints, want nil, true, 1", err, late == token, s.mints())
		}
		// A refresh that was asked for does not come within the first second either.
		c.Refresh()
		if _, err := c.mint(c.table.get(partner)); err != nil || s.mints() != 1 {
			t.Errorf("flight for a refresh: %v, %d mints, want nil, 1", err, s.mints())
		}
		s.down = errDown
		_, _ = c.mint(c.table.pin(user(1), 9, c.clock.now()))
		_, _ = c.mint(c.table.get(user(1)))
		if s.mints() != 2 {
			t.Errorf("%d mints, want 2: a late flight tried again at once", s.mints())
		}
	})
}

func TestNewNeedsAFetcher(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("New without a Fetcher did not panic")
		}
	}()
	New(Config{})
}
