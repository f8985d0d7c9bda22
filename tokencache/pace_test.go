package tokencache

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// busiest is the most requests that began within any one second.
func (s *endpoint) busiest() (most int) {
	var times []time.Time
	for _, c := range s.all() {
		times = append(times, c.at)
	}
	slices.SortFunc(times, time.Time.Compare)
	for first, last := 0, 0; last < len(times); last++ {
		for times[last].Sub(times[first]) >= time.Second {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// Monite allows a client id 30 requests in a second, mints included.
func TestThousandGrantsThatEndTogetherStayBelowMonitesRate(t *testing.T) {
	users := 1000
	if underRace {
		users = 300
	}
	setup{latency: 50 * ms, lifetime: 10 * time.Minute, warm: []Grant{partner}}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		var all sync.WaitGroup
		for n := range users { // at once, so that they end at once
			all.Go(func() { s.get(t, c, user(n)) })
		}
		all.Wait()
		c.gate = newGate(c.gate.now, 16, 1, 20)
		s.set(func(s *endpoint) { s.calls = nil })
		start(t, c)
		length := 9 * time.Minute // past one refresh of each
		if seen := s.steadyUsers(t, c, users, time.Minute, length); seen.failed != 0 || seen.waited != 0 {
			t.Errorf("%d users: %+v, want no failure and no wait", users, seen)
		}
		if most := s.busiest(); most > 28 || s.mints() < users {
			t.Errorf("%d mints, %d of them in one second, want at least %d, at most 28", s.mints(), most, users)
		}
	})
}

func TestForcedRefreshOfAllIsPaced(t *testing.T) {
	setup{latency: 50 * ms, paced: true, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for n := range 500 {
			s.get(t, c, user(n))
		}
		time.Sleep(time.Minute)
		s.set(func(s *endpoint) { s.calls = nil })
		c.Refresh()
		synctest.Wait()
		if n := c.refreshes.Load(); n > maxRefreshes {
			t.Errorf("%d refreshes stand in line, want at most %d", n, maxRefreshes)
		}
		time.Sleep(time.Second)
		began := time.Now()
		if _, err := c.Token(t.Context(), user(1000)); err != nil || time.Since(began) > 250*ms {
			t.Errorf("a caller behind 500 refreshes: %v after %v, want a token after two places in line and a mint", err, time.Since(began))
		}
		// Somebody needs the last one in line: he does not wait behind the others.
		c.gate.mu.Lock()
		line := c.gate.line[ahead]
		last := line[len(line)-1].entry
		c.gate.mu.Unlock()
		c.Invalidate(last.grant, last.current.Load().token)
		began = time.Now()
		if _, err := c.Token(t.Context(), last.grant); err != nil || time.Since(began) > 250*ms {
			t.Errorf("a caller who joined a refresh: %v after %v, want a token after two places in line and a mint", err, time.Since(began))
		}
		time.Sleep(time.Minute)
		if most := s.busiest(); most > 28 || s.mints() != 501 {
			t.Errorf("%d mints, %d of them in one second, want 501, at most 28", s.mints(), most)
		}
	})
}

// rush has strangers come, so many in a second, until the test ends.
func rush(t *testing.T, c *Cache, perSecond int, seen func(error, time.Duration)) (done *sync.WaitGroup) {
	ctx, random := t.Context(), rand.New(rand.NewPCG(9, 9))
	done = &sync.WaitGroup{}
	done.Go(func() {
		for n := 1 << 20; ctx.Err() == nil; n++ {
			done.Go(func() {
				began := time.Now()
				_, err := c.Token(ctx, user(n))
				if ctx.Err() == nil {
					seen(err, time.Since(began))
				}
			})
			_ = sleep(ctx, time.Duration(random.ExpFloat64()*float64(time.Second)/float64(perSecond)))
		}
	})
	return done
}

// More strangers than the budget has mints: those who are served, those who are
// told to come back, and nobody else feels it.
//
// With USERS set it is the hour of which make users tells: 100,800 entity users,
// each seen once, and a hundred who stay.
func TestRushOfStrangersHoldsUpNobodyElse(t *testing.T) {
	type setting struct {
		perSecond        int
		length, lifetime time.Duration
	}
	all := []setting{{28, 3 * time.Minute, 2 * time.Minute}, {300, 10 * time.Second, time.Minute}}
	entries := 300
	if os.Getenv("USERS") != "" {
		entries = 1024
		all = []setting{{28, time.Hour, 30 * time.Minute}, {300, 40 * time.Minute, 30 * time.Minute}}
	}
	for _, tc := range all {
		perSecond, length := tc.perSecond, tc.length
		with := setup{latency: 100 * ms, lifetime: tc.lifetime, paced: true, warm: []Grant{partner}, entries: entries, run: true}
		with.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			ctx, end := context.WithCancel(t.Context())
			for n := range 100 {
				s.get(t, c, user(n))
				time.Sleep(100 * ms)
			}
			time.Sleep(time.Second)
			for n := range 100 {
				s.get(t, c, user(n)) // who has been seen twice is no stranger
			}
			var served, refused, late atomic.Int64
			crowd := rush(t, c, perSecond, func(err error, took time.Duration) {
				e, ok := errors.AsType[*Error](err)
				switch {
				case err == nil:
					served.Add(1)
				case ok && e.Reason == Paced && took == 0 && e.RetryAfter >= time.Second:
					refused.Add(1)
				default:
					late.Add(1)
				}
			})
			var hot sync.WaitGroup
			hot.Go(func() {
				if seen := s.steadyUsers(t, c, 100, 45*time.Second, length); seen.failed != 0 || seen.waited != 0 {
					t.Errorf("%d strangers a second: hot users: %+v, want no failure and no wait", perSecond, seen)
				}
			})
			hot.Go(func() {
				for sleep(ctx, time.Minute) == nil {
					token, _ := s.get(t, c, partner)
					c.Invalidate(partner, token)
					began := time.Now()
					if s.get(t, c, partner); time.Since(began) > 200*ms {
						t.Errorf("%d strangers a second: the warm grant waited %v", perSecond, time.Since(began))
					}
				}
			})
			time.Sleep(length)
			end()
			hot.Wait()
			seconds := int64(length / time.Second)
			t.Logf("%d strangers a second for %v: %d served, %d told to come back, %d too late; at most %d mints in a second, %d grants cached",
				perSecond, length, served.Load(), refused.Load(), late.Load(), s.busiest(), c.table.count())
			if served.Load() < seconds*18 || late.Load() > served.Load()/20 { // a wave of refreshes came between
				t.Errorf("%d strangers a second: %d served in %v, %d too late", perSecond, served.Load(), length, late.Load())
			}
			if most := s.busiest(); most > 28 {
				t.Errorf("%d mints in one second", most)
			}
			t.Cleanup(crowd.Wait)
		})
	}
}

// Users who are refused, who hang and who are slow, more of them than there are
// slots, and others who want their tokens.
func TestBadUsersDoNotSlowOthers(t *testing.T) {
	for name, fault := range map[string]func(context.Context) (Token, error){
		"refused": func(context.Context) (Token, error) { return Token{}, errRejected },
		"hanging": func(ctx context.Context) (Token, error) { <-ctx.Done(); return Token{}, ctx.Err() },
		"slow to fail": func(ctx context.Context) (Token, error) {
			_ = sleep(ctx, 9*time.Second)
			return Token{}, errDown
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newEndpoint(50*ms, 30*time.Minute)
				const bad = 1000
				config := settings(FetcherFunc(func(ctx context.Context, g Grant) (Token, error) {
					if g != partner && g.EntityUserID >= user(bad).EntityUserID {
						return fault(ctx)
					}
					return s.Fetch(ctx, g)
				}))
				config.MintsPerSecond, config.Warm = 0, []Grant{partner}
				c := open(t, config)
				start(t, c)
				s.get(t, c, partner)
				for n := range 20 {
					s.get(t, c, user(n))
				}
				time.Sleep(10 * time.Second)
				for n := range 40 {
					for range 3 {
						go func() {
							for t.Context().Err() == nil {
								_, _ = c.Token(t.Context(), user(bad+n))
								_ = sleep(t.Context(), 250*ms)
							}
						}()
					}
				}
				// Those who have had a token feel nothing, from the first moment on.
				slowest := time.Duration(0)
				for n := range 150 {
					token, err := c.Token(t.Context(), user(n%20))
					if err != nil {
						t.Fatalf("user %d: %v", n%20, err)
					}
					c.Invalidate(user(n%20), token)
					time.Sleep(200 * ms)
					began := time.Now()
					if _, err = c.Token(t.Context(), user(n%20)); err != nil {
						t.Fatalf("user %d: %v", n%20, err)
					}
					slowest = max(slowest, time.Since(began))
				}
				t.Logf("slowest of 150 new tokens: %v", slowest)
				if got := places(slowest); got > 2 {
					t.Errorf("a user waited %v for a new token because of others: %d places in line and a mint, want at most 2", slowest, got)
				}
				// When all 40 have shown what they are, others come for the first time.
				time.Sleep(30 * time.Second)
				slowest = 0
				for n := 100; n < 250; n++ {
					began := time.Now()
					if _, err := c.Token(t.Context(), user(n)); err != nil {
						t.Fatalf("user %d: %v", n, err)
					}
					slowest = max(slowest, time.Since(began))
					time.Sleep(200 * ms)
				}
				t.Logf("slowest of 150 first tokens: %v", slowest)
				if got := places(slowest); got > 4 {
					t.Errorf("a user waited %v for a token because of others: %d places in line and a mint, want at most 4", slowest, got)
				}
			})
		})
	}
}

// places is how many others came first, of twenty a second, in a wait for a mint of 50 ms. The
// gate rounds each place up by a microsecond.
func places(wait time.Duration) int { return int((wait.Round(ms) - 50*ms + 49*ms) / (50 * ms)) }

// When everybody fails, nobody is suspect: an outage must not leave four slots
// for the thousand that come back.
func TestOutageMakesNobodySuspect(t *testing.T) {
	setup{latency: 100 * ms, down: errDown}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for n := range 30 {
			go func() { _, _ = c.Token(t.Context(), user(n)) }()
		}
		time.Sleep(10 * time.Second)
		for e := range c.table.all {
			if f := e.failure.Load(); f == nil || f.alone {
				t.Errorf("%v: %+v, want a failure of all", e.grant, f)
			}
		}
		if most, _ := s.atOnce(); most < 12 {
			t.Errorf("%d at once, want 12", most)
		}
	})
}

// The line is not full of those who have left it.
func TestTurnThatNobodyWaitsForIsGivenUp(t *testing.T) {
	setup{paced: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		var asked sync.WaitGroup
		ask := func(n int, patience time.Duration) {
			asked.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, _ = c.Token(ctx, user(n))
			})
		}
		for n := range 80 {
			ask(n, 100*ms)
		}
		synctest.Wait()
		time.Sleep(200 * ms)
		began := time.Now()
		s.get(t, c, user(1000))
		if took := time.Since(began); took > 100*ms {
			t.Errorf("waited %v behind callers who have gone", took)
		}
		asked.Wait()
		time.Sleep(10 * time.Second)
		if s.mints() > 15 {
			t.Errorf("%d mints, although almost all callers had gone", s.mints())
		}
		if n := c.gate.inLine(); n != 0 {
			t.Errorf("%d in line", n)
		}
	})
}

// Somebody joins at the very moment at which the last one leaves.
func TestTurnGivenUpServesWhoComesThen(t *testing.T) {
	for range 200 {
		with := setup{latency: 10 * ms, paced: true, config: func(c *Config) { c.MintsPerSecond = 1 }}
		with.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			for n := range 3 {
				go func() { _, _ = c.Token(t.Context(), user(n)) }()
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
			defer cancel()
			go func() { _, _ = c.Token(ctx, user(9)) }()
			time.Sleep(100 * ms)
			s.get(t, c, user(9))
		})
	}
}

// A turn that turns out not to be needed costs nothing.
func TestFlightThatFindsATokenUsesNoMint(t *testing.T) {
	setup{paced: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, user(1))
		e := c.table.get(user(1))
		for range 100 {
			if _, err := c.mint(e); err != nil {
				t.Fatal(err)
			}
		}
		if s.mints() != 1 || c.gate.budget != 7 {
			t.Errorf("%d mints, budget %v, want one mint of 8 less", s.mints(), c.gate.budget)
		}
	})
}

// A token comes while a flight stands in line for its mint.
func TestTurnThatIsNoLongerNeededGivesItsMintBack(t *testing.T) {
	setup{paced: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		c.gate.budget, c.gate.filled = reserve, c.gate.now() // the next mint is in 50 ms
		e := c.table.pin(partner, 9, c.clock.now())
		go func() { _, _ = c.mint(e) }()
		synctest.Wait()
		c.keep(e, newMinted(s.issue(partner), c.clock.now(), c.clock.now(), 0, 0))
		time.Sleep(51 * ms)
		c.gate.mu.Lock()
		defer c.gate.mu.Unlock()
		if s.mints() != 0 || c.gate.inLine() != 0 || c.gate.budget < 1+reserve {
			t.Errorf("%d mints, %d in line, budget %v, want none, none, and the mint back", s.mints(), c.gate.inLine(), c.gate.budget)
		}
	})
}

func TestNoKindOfGrantTakesAllSlots(t *testing.T) {
	for _, tc := range []struct {
		running [lanes]int
		lane    lane
		want    bool
	}{
		{[lanes]int{suspect: 3}, suspect, true},
		{[lanes]int{suspect: 4}, suspect, false},
		{[lanes]int{suspect: 4}, stranger, true},
		{[lanes]int{stranger: 6, ahead: 3, suspect: 2}, stranger, true},
		{[lanes]int{stranger: 6, ahead: 3, suspect: 3}, stranger, false},
		{[lanes]int{stranger: 6, ahead: 3, suspect: 3}, ahead, false},
		{[lanes]int{stranger: 6, ahead: 3, suspect: 3, known: 3}, known, true},
		{[lanes]int{stranger: 6, ahead: 3, suspect: 3, known: 4}, known, false},
		{[lanes]int{known: 16}, stranger, false},
	} {
		g := newGate(nil, 16, 1, 20)
		g.running = tc.running
		if got := g.hasSlot(tc.lane); got != tc.want {
			t.Errorf("%v running: a slot for lane %d: %t, want %t", tc.running, tc.lane, got, tc.want)
		}
	}
	for running, want := range []bool{true, false} {
		g := newGate(nil, 16, 1, 20)
		g.line[warm], g.running[warm] = []*turn{{}}, running
		if _, got := g.pick(); got != want {
			t.Errorf("%d of one warm grant running: picked %t, want %t", running, got, want)
		}
	}
}

func TestDelayCountsThoseWhoGoFirst(t *testing.T) {
	known1, inLine := &entry{}, &entry{turn: &turn{}}
	known1.mints.Store(1)
	for name, tc := range map[string]struct {
		entry  *entry
		line   [lanes]int
		budget float64
		rate   int
		want   time.Duration
	}{
		"all of a lane that ends before":       {&entry{}, [lanes]int{known: 3, stranger: 4}, reserve, 20, 400 * ms},
		"of a longer one its share":            {&entry{}, [lanes]int{known: 10, stranger: 1}, reserve, 20, 250 * ms},
		"a share of each":                      {known1, [lanes]int{known: 2, stranger: 9, ahead: 9, suspect: 9}, reserve, 20, 400 * ms},
		"the budget at hand is used first":     {&entry{}, [lanes]int{stranger: 4}, reserve + 3, 20, 100 * ms},
		"the reserve is not for others":        {&entry{}, [lanes]int{}, 1, 20, 50 * ms},
		"more budget than needed":              {&entry{}, [lanes]int{}, reserve + 3, 20, 0},
		"a warm grant does not wait":           {&entry{warm: true}, [lanes]int{known: 9}, 0, 20, 0},
		"a mint in line is somebody's already": {inLine, [lanes]int{known: 9}, 0, 20, 0},
		"no budget":                            {&entry{}, [lanes]int{known: 9}, 0, -1, 0},
	} {
		g := newGate(func() int64 { return 0 }, 16, 1, tc.rate)
		g.budget = tc.budget
		for l, n := range tc.line {
			g.line[l] = make([]*turn, n)
		}
		if got := g.delay(tc.entry); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// Nothing that the gate counts may drift.
func TestGateIsAsBeforeWhenAllIsOver(t *testing.T) {
	with := setup{latency: 20 * ms, lifetime: 2 * time.Second, paced: true, warm: []Grant{partner}, entries: 50, run: true}
	with.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		random := rand.New(rand.NewPCG(1, 2))
		var all sync.WaitGroup
		for range 3000 {
			n, patience := random.IntN(80), time.Duration(random.Int64N(int64(3*time.Second)))
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if token, err := c.Token(ctx, user(n)); err == nil && n%3 == 0 {
					c.Invalidate(user(n), token)
				}
			})
			switch random.IntN(50) {
			case 0:
				s.set(func(s *endpoint) { s.refused[user(n)] = errRejected })
			case 1:
				s.set(func(s *endpoint) { clear(s.refused); s.down = nil })
			case 2:
				s.set(func(s *endpoint) { s.down = errDown })
			}
			time.Sleep(time.Duration(random.Int64N(int64(20 * ms))))
		}
		all.Wait()
		time.Sleep(time.Hour)
		c.gate.mu.Lock()
		defer c.gate.mu.Unlock()
		c.gate.refill()
		if c.gate.running != [lanes]int{} || c.gate.inLine() != 0 || c.gate.budget != c.gate.burst {
			t.Errorf("running %v, %d in line, budget %v of %v", c.gate.running, c.gate.inLine(), c.gate.budget, c.gate.burst)
		}
		for e := range c.table.all {
			if e.waiting.Load() != 0 || e.turn != nil || e.pins.Load() != 0 {
				t.Errorf("%v: %d waiting, %d pins", e.grant, e.waiting.Load(), e.pins.Load())
			}
		}
		if most := s.busiest(); most > 28 {
			t.Errorf("%d mints in one second", most)
		}
	})
}
