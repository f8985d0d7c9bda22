package tokencache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// shelf is a Store of which a test says what it answers; by default there is nothing
// on it, and whoever asks may mint.
type shelf struct {
	answer func(n int, q Question) (Answer, error) // n counts from 0
	takes  time.Duration
	slow   time.Duration // to be told

	mu   sync.Mutex // guards what follows
	asks []Question
	at   []time.Time
	told []Outcome
}

func (s *shelf) Ask(ctx context.Context, q Question) (Answer, error) {
	s.mu.Lock()
	n := len(s.asks)
	s.asks, s.at = append(s.asks, q), append(s.at, time.Now())
	s.mu.Unlock()
	s.mu.Lock()
	takes := s.takes
	s.mu.Unlock()
	if err := sleep(ctx, takes); err != nil {
		return Answer{}, err
	}
	if s.answer != nil {
		return s.answer(n, q)
	}
	if q.Look {
		return Answer{}, nil
	}
	return Answer{Kind: Claimed, Claim: n, Mark: mark(time.Now())}, nil
}

func (s *shelf) Tell(ctx context.Context, _ Claim, o Outcome) error {
	if err := sleep(ctx, s.slow); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, o)
	return nil
}

func (s *shelf) seen() (asks []Question, told []Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asks, s.told
}

func mark(born time.Time) string { return born.Format("20060102150405.000000") }

// found is a token that another process minted so long ago.
func (s *endpoint) found(age time.Duration) Answer {
	token := s.issue(partner)
	token.By = "pair"
	return Answer{Kind: Found, Token: token, Age: age, Mark: mark(time.Now().Add(-age))}
}

func sharing(s *endpoint, store Store) Config {
	config := settings(s)
	config.Store = store
	return config
}

func TestFoundTokenIsTakenOverWithoutAMint(t *testing.T) {
	var adopted []time.Duration
	keep := func(c *Config) { c.OnAdopt = func(_ Grant, age time.Duration) { adopted = append(adopted, age) } }
	store := &shelf{}
	setup{latency: 100 * ms, store: store, config: keep}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		store.answer = func(int, Question) (Answer, error) { return s.found(7 * time.Minute), nil }
		token, err := c.Token(t.Context(), partner)
		m := c.table.get(partner).current.Load()
		if err != nil || s.mints() != 0 || !token.Equal(m.token) || m.left(c.clock.now()) != 23*time.Minute {
			t.Errorf("%v after %d mints, %v left, want 23m and none", err, s.mints(), m.left(c.clock.now()))
		}
		if len(adopted) != 1 || adopted[0] != 7*time.Minute || !c.Status()[0].Shared || c.Status()[0].Adopted != 1 {
			t.Errorf("adopted %v, status %+v", adopted, c.Status())
		}
		if asks, _ := store.seen(); asks[0].Share != 1 {
			t.Errorf("asked for %v of the budget, want all of it for a caller who waits", asks[0].Share)
		}
		wallJumps(c, 20*time.Minute) // a suspend
		if left := c.Status()[0].Left; left != 3*time.Minute {
			t.Errorf("%v left after a suspend of 20m, want 3m", left)
		}
	})
}

// An adopted token that upstream refuses is not kept for its first second here.
func TestAdoptedTokenIsAsYoungAsItIs(t *testing.T) {
	store := &shelf{}
	setup{latency: 100 * ms, store: store}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		store.answer = func(n int, q Question) (Answer, error) {
			if n == 0 {
				return s.found(7 * time.Minute), nil
			}
			return Answer{Kind: Claimed, Claim: n, Mark: mark(time.Now())}, nil
		}
		token, _ := c.Token(t.Context(), partner)
		c.Invalidate(partner, token)
		began := time.Now()
		again, err := c.Token(t.Context(), partner)
		if err != nil || again.Equal(token) || time.Since(began) != 100*ms {
			t.Errorf("%v after %v, another token: %t, want one after a mint", err, time.Since(began), !again.Equal(token))
		}
		if asks, _ := store.seen(); !asks[1].Refused || asks[1].Have == "" {
			t.Errorf("asked %+v, want the refused token named", asks[1])
		}
	})
}

// What is too old is asked for again by its name, and not for ever.
func TestTokenThatIsNoBetterIsNotTakenOver(t *testing.T) {
	store := &shelf{}
	setup{latency: 100 * ms, store: store}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		store.answer = func(int, Question) (Answer, error) { return s.found(30*time.Minute - time.Second), nil }
		if _, err := c.Token(t.Context(), partner); err != nil || s.mints() != 1 {
			t.Fatalf("%v after %d mints, want a token of one's own", err, s.mints())
		}
		asks, _ := store.seen()
		if len(asks) != 4 || asks[1].Have == "" || asks[1].Refused {
			t.Errorf("asked %+v", asks)
		}
		// Older than what was refused here, after a failover that lost the last writes.
		time.Sleep(2 * time.Second)
		store.answer = func(n int, q Question) (Answer, error) {
			if n == 4 {
				return s.found(time.Minute), nil
			}
			return Answer{Kind: Claimed, Claim: n, Mark: mark(time.Now())}, nil
		}
		held := c.table.get(partner).current.Load()
		held.by, held.mark = "pair", mark(time.Now().Add(-time.Second))
		c.Invalidate(partner, held.token)
		if _, err := c.Token(t.Context(), partner); err != nil || s.mints() != 2 {
			t.Errorf("%v after %d mints, want a second one", err, s.mints())
		}
	})
}

func TestTokenIsTakenOverIfItIsBetter(t *testing.T) {
	setup{}.bubble(t, func(t *testing.T, _ *endpoint, c *Cache) {
		now := c.clock.now()
		f := c.newFlight(c.table.pin(partner, 9, now))
		minute := int64(time.Minute) // so old is the one at hand
		for name, tc := range map[string]struct {
			heldMark, mark, by, text string
			age                      time.Duration
			want                     bool
		}{
			"later by its mark":          {"1", "2", "pair", "other", 2 * time.Minute, true},
			"the same mark":              {"1", "1", "pair", "other", 0, false},
			"earlier by its mark":        {"2", "1", "pair", "other", 0, false},
			"later by its age":           {"", "1", "pair", "other", time.Minute - 1, true},
			"as old":                     {"", "1", "pair", "other", time.Minute, false},
			"older":                      {"", "1", "pair", "other", time.Minute + 1, false},
			"of another pair":            {"2", "1", "new pair", "other", 2 * time.Minute, true},
			"the very token":             {"1", "2", "new pair", "held", 0, false},
			"two seconds before its end": {"1", "2", "pair", "other", 30*time.Minute - tooOld, true},
			"less than that":             {"1", "2", "pair", "other", 30*time.Minute - tooOld + 1, false},
		} {
			held := &minted{token: secret.New("held"), start: instant{now.mono - minute, now.wall - minute}, mark: tc.heldMark, by: "pair"}
			token := Token{AccessToken: secret.New(tc.text), ExpiresIn: 30 * time.Minute, By: tc.by}
			if got := f.adopt(Answer{Kind: Found, Token: token, Age: tc.age, Mark: tc.mark}, now, held); got != tc.want {
				t.Errorf("%s: taken over: %t, want %t", name, got, tc.want)
			}
		}
	})
}

// Marks of two pairs of credentials say nothing of which is later.
func TestTokenOfANewPairIsTakenOverHoweverOld(t *testing.T) {
	store := &shelf{}
	setup{latency: 100 * ms, store: store, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner)
		c.table.get(partner).current.Load().by = "old pair"
		store.answer = func(int, Question) (Answer, error) { return s.found(time.Minute), nil }
		time.Sleep(2 * time.Second)
		c.Refresh()
		time.Sleep(2 * time.Second)
		if m := c.table.get(partner).current.Load(); !m.shared || s.mints() != 1 {
			t.Errorf("shared %t after %d mints, want the other's token", m.shared, s.mints())
		}
	})
}

// Whoever waits has the token before the Store has it.
func TestNobodyWaitsForTheStoreToTakeAToken(t *testing.T) {
	store := &shelf{slow: 400 * ms}
	setup{latency: 100 * ms, store: store}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		began := time.Now()
		if _, err := c.Token(t.Context(), partner); err != nil || time.Since(began) != 100*ms {
			t.Errorf("%v after %v, want 100ms", err, time.Since(began))
		}
		time.Sleep(time.Second)
		if _, told := store.seen(); len(told) != 1 || told[0].Token.AccessToken.IsZero() {
			t.Errorf("told %+v", told)
		}
	})
}

func TestStoreThatFailsIsNone(t *testing.T) {
	for name, tc := range map[string]struct {
		err   error
		takes time.Duration
		want  time.Duration // until there is a token
	}{
		"down":                     {err: errors.New("down"), want: 100 * ms},
		"hangs, never heard":       {takes: time.Hour, want: 600 * ms},
		"slow, but within what is": {takes: 400 * ms, want: 500 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			store := &shelf{takes: tc.takes}
			if tc.err != nil {
				store.answer = func(int, Question) (Answer, error) { return Answer{}, tc.err }
			}
			setup{latency: 100 * ms, store: store}.bubble(t, func(t *testing.T, _ *endpoint, c *Cache) {
				began := time.Now()
				if _, err := c.Token(t.Context(), partner); err != nil || time.Since(began) != tc.want {
					t.Errorf("%v after %v, want a token after %v", err, time.Since(began), tc.want)
				}
			})
		})
	}
}

// Once it has been heard, a Store that hangs costs somebody who waits 50 ms.
func TestStoreThatHangsCostsFiftyMilliseconds(t *testing.T) {
	store := &shelf{}
	setup{latency: 100 * ms, store: store}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner)
		store.takes = time.Hour
		began := time.Now()
		if _, err := c.Token(t.Context(), user(1)); err != nil || time.Since(began) != 150*ms {
			t.Errorf("%v after %v, want 150ms", err, time.Since(began))
		}
	})
}

// To mint at once because the Store is slow is what all would do; to wait for one
// that is down is in vain.
func TestSlowIsWaitedForAndDownIsNot(t *testing.T) {
	for name, tc := range map[string]struct {
		then     func(context.Context) error
		from, to time.Duration
	}{
		"down": {func(context.Context) error { return errors.New("NOPERM") }, 100 * ms, 500 * ms},
		"slow": {func(context.Context) error { return context.DeadlineExceeded }, 2 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			store := &shelf{answer: func(n int, _ Question) (Answer, error) {
				if n == 0 {
					return Answer{Kind: Busy, Wait: 100 * ms}, nil
				}
				return Answer{}, tc.then(t.Context())
			}}
			setup{latency: 100 * ms, store: store}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
				began := time.Now()
				_, err := c.Token(t.Context(), partner)
				if took := time.Since(began); err != nil || took < tc.from || took > tc.to {
					t.Errorf("%v after %v, want a token after %v to %v", err, took, tc.from, tc.to)
				}
				if asks, _ := store.seen(); len(asks) > 15 { // every 250 ms in 3 s, at the most
					t.Errorf("%d questions", len(asks))
				}
			})
		})
	}
}

// A flight that has had an answer leaves the Store ten times as long for the next.
func TestAnsweredFlightIsPatientWithTheStore(t *testing.T) {
	store := &shelf{}
	setup{latency: 100 * ms, store: store}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner) // heard
		store.answer = func(n int, _ Question) (Answer, error) {
			store.mu.Lock()
			store.takes = 300 * ms
			store.mu.Unlock()
			if n == 1 {
				return Answer{Kind: Busy, Wait: 100 * ms}, nil
			}
			token := s.issue(user(1))
			return Answer{Kind: Found, Token: token, Mark: mark(time.Now())}, nil
		}
		if _, err := c.Token(t.Context(), user(1)); err != nil || s.mints() != 1 {
			t.Errorf("%v after %d mints, want the other's token", err, s.mints())
		}
	})
}

// The line here is long, so most flights only look; as their turns come, the budget of
// all is used up. Without a pause, a line of them would ask again as fast as they are
// answered: their turns cost nothing, as nobody mints.
func TestLookAndClaimThatDisagreeAreNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const grants, most = 30, 2000
		s := newEndpoint(100*ms, 30*time.Minute)
		store := &shelf{answer: func(n int, q Question) (Answer, error) {
			switch {
			case n > most: // it is a loop: end it
				return Answer{}, errors.New("down")
			case q.Look:
				return Answer{Kind: Free}, nil
			}
			return Answer{Kind: Pacing, Wait: 500 * ms}, nil
		}}
		config := sharing(s, store)
		config.MintsPerSecond = 20
		c := open(t, config)
		c.gate.mu.Lock()
		c.gate.budget, c.gate.filled = reserve, c.gate.now() // the next mint is in 50 ms
		c.gate.mu.Unlock()
		var all sync.WaitGroup
		for n := range grants {
			all.Go(func() {
				if _, err := c.Token(t.Context(), user(n)); err == nil {
					t.Error("a token out of nothing")
				}
			})
		}
		all.Wait()
		// Ten rounds of 500 ms in the 5 s of the hold, of a look and a claim each.
		asks, _ := store.seen()
		if len(asks) > grants*10*2 || s.mints() != 0 {
			t.Errorf("%d questions and %d mints in 5 s, want %d and none", len(asks), s.mints(), grants*10*2)
		}
	})
}

// The look found nothing. By the time this process may claim, another one has minted, and
// its token also serves a refresh that was asked for.
func TestTokenThatTheClaimFindsIsNotMintedOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(100*ms, 30*time.Minute)
		var there Answer
		store := &shelf{answer: func(n int, q Question) (Answer, error) {
			switch {
			case q.Look:
				return Answer{Kind: Free}, nil
			case q.Have != there.Mark:
				return there, nil
			}
			return Answer{Kind: Claimed, Claim: n, Mark: mark(time.Now())}, nil
		}}
		there = s.found(10 * time.Second)
		config := sharing(s, store)
		config.MintsPerSecond = 20
		c := open(t, config)
		c.gate.mu.Lock()
		c.gate.budget, c.gate.filled = reserve, c.gate.now() // so that it only looks at first
		c.gate.mu.Unlock()
		e := c.table.pin(partner, 10, c.clock.now())
		e.forced.Store(true)
		if token, err := c.Token(t.Context(), partner); err != nil || !token.Equal(there.Token.AccessToken) {
			t.Errorf("Token() = %v, and the token that was found: %t", err, token.Equal(there.Token.AccessToken))
		}
		asks, _ := store.seen()
		if len(asks) != 2 || s.mints() != 0 {
			t.Errorf("%d questions and %d mints, want a look, a claim and none", len(asks), s.mints())
		}
	})
}

// A flight that waits for another process is out of the line: others can have its slot.
func TestWaitingForAnotherProcessTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(100*ms, 30*time.Minute)
		mine := user(99)
		store := &shelf{answer: func(n int, q Question) (Answer, error) {
			switch {
			case q.Look:
				return Answer{Kind: Free}, nil
			case q.Grant == mine:
				return Answer{Kind: Claimed, Claim: n, Mark: mark(time.Now())}, nil
			}
			return Answer{Kind: Busy, Wait: 600 * ms}, nil
		}}
		config := sharing(s, store)
		config.MintsPerSecond, config.MaxMints = 1000, 4
		c := open(t, config)
		c.gate.mu.Lock()
		c.gate.budget, c.gate.filled = reserve, c.gate.now() // those who come first only look
		c.gate.mu.Unlock()
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() { _, _ = c.Token(t.Context(), user(n)) })
		}
		time.Sleep(200 * ms)
		began := time.Now()
		s.get(t, c, mine)
		if took := time.Since(began); took > 100*ms {
			t.Errorf("a token after %v, want it after the mint of 100ms", took)
		}
		c.close()
		all.Wait()
	})
}

// Patience over, a flight mints whoever holds the lease; the budget of all still
// counts.
func TestPatienceEndsBeforeTheHoldDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(100*ms, 30*time.Minute)
		store := &shelf{answer: func(n int, q Question) (Answer, error) {
			if q.Force {
				return Answer{Kind: Claimed, Claim: n}, nil
			}
			return Answer{Kind: Busy, Wait: 100 * ms}, nil
		}}
		var ends []time.Duration
		for range 20 {
			c := open(t, sharing(s, store))
			began := time.Now()
			if _, err := c.Token(t.Context(), partner); err != nil {
				t.Fatal(err)
			}
			ends = append(ends, time.Since(began))
		}
		least, most := ends[0], ends[0]
		for _, end := range ends {
			least, most = min(least, end), max(most, end)
		}
		// Between 2 and 3 s, the last sleep, and a mint. All at one moment would be a herd.
		if least < 2*time.Second || most > 3500*ms || most-least < 300*ms {
			t.Errorf("minted after %v to %v", least, most)
		}
	})
}

// A refresh that nobody waits for is left to whoever mints, and asked for later.
func TestRefreshThatOthersDoIsPutOff(t *testing.T) {
	for share, warm := range map[float64][]Grant{0.5: nil, 1: {partner}} {
		store := &shelf{}
		setup{latency: 100 * ms, store: store, warm: warm, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			s.get(t, c, partner)
			store.answer = func(int, Question) (Answer, error) { return Answer{Kind: Busy, Wait: 100 * ms}, nil }
			for range 29 {
				time.Sleep(time.Minute)
				s.get(t, c, partner)
			}
			asks, _ := store.seen()
			// From the 20th to the 27.5th minute at the latest.
			if n := len(asks) - 1; n < 2 || n > 120 || s.mints() != 1 || asks[1].Share != share {
				t.Fatalf("%d questions in the refresh window, %d mints, first %+v", n, s.mints(), asks[1])
			}
			for i, at := range store.at[2:] { // every 2 to 6 s, then less often
				gap, times := at.Sub(store.at[i+1]), min(i, 3)
				if gap < 2*time.Second<<times || gap >= 6*time.Second<<times {
					t.Errorf("question %d after %v", i+2, gap)
				}
			}
		})
	}
}

func TestPauseBetweenTwoQuestions(t *testing.T) {
	for _, tc := range []struct {
		answer Answer
		took   time.Duration
		jitter float64
		want   time.Duration
	}{
		{Answer{Kind: Busy}, 0, 0, 50 * ms},
		{Answer{Kind: Busy}, 0, 1, 150 * ms},
		{Answer{Kind: Busy, Wait: 400 * ms}, 0, 0.5, 400 * ms},
		{Answer{Kind: Busy, Wait: 400 * ms}, 100 * ms, 0.5, 500 * ms}, // it is slow: five times what it took
		{Answer{Kind: Busy, Wait: 5 * time.Second}, 0, 0.5, maxPause},
		{Answer{Kind: Pacing, Wait: 600 * ms}, 0, 0, 600 * ms},
		{Answer{Kind: Pacing, Wait: 600 * ms}, 0, 1, 700 * ms}, // never before its time
		{Answer{Kind: Pacing, Wait: 600 * ms}, time.Minute, 1, maxPause * 3 / 2},
	} {
		if got := pauseAfter(tc.answer, tc.took, tc.jitter); got != tc.want {
			t.Errorf("%+v in %v, jitter %v: %v, want %v", tc.answer, tc.took, tc.jitter, got, tc.want)
		}
	}
}

// The line is long, and only a caller must not wait that long.
func TestRefreshStandsInALongLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openWithALine(t, sharing(newEndpoint(100*ms, 30*time.Minute), &shelf{}), time.Minute)
		e := c.table.pin(partner, 9, c.clock.now())
		c.refresh(e)
		synctest.Wait()
		c.gate.mu.Lock()
		defer c.gate.mu.Unlock()
		if e.turn == nil || c.gate.inLine() < 1000 {
			t.Errorf("the refresh has left the line of %d", c.gate.inLine())
		}
	})
}

// The window of a short life begins late enough.
func TestSharedRefreshIsNotInTheFirstSecond(t *testing.T) {
	setup{latency: time.Second, lifetime: 3 * time.Second, store: &shelf{}}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for range 50 {
			s.get(t, c, partner)
			if at := c.table.get(partner).current.Load().refreshAt; at < 2*time.Second || at > 2250*ms {
				t.Errorf("refresh at %v, want 2s to 2.25s", at)
			}
			time.Sleep(3 * time.Second)
		}
	})
}

func TestClaimIsGivenBackAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(time.Minute, 30*time.Minute)
		store := &shelf{}
		c := New(sharing(s, store))
		go func() { _, _ = c.Token(t.Context(), partner) }()
		time.Sleep(time.Second / 2)
		c.close()
		if _, told := store.seen(); len(told) != 1 || told[0] != (Outcome{}) {
			t.Errorf("told %+v, want the claim given back", told)
		}
		time.Sleep(time.Minute)
	})
}

// With an endpoint that takes its time many mint, and all take the first token that
// comes. The mint goes on, and its outcome changes nothing.
func TestTokenOfAnotherIsTakenWhileAMintTakesLong(t *testing.T) {
	for name, tc := range map[string]struct {
		fails          *FetchError
		expires, pause time.Duration
	}{
		"a token":   {nil, 30*time.Minute - 4*time.Second, 0},
		"down":      {errDown, 0, 0},
		"throttled": {&FetchError{Reason: Throttled, RetryAfter: 20 * time.Second}, 0, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var minted []Mint
			keep := func(c *Config) { c.OnMint = func(m Mint) { minted = append(minted, m) } }
			store := &shelf{}
			setup{latency: 4 * time.Second, store: store, config: keep}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
				if tc.fails != nil {
					s.down = tc.fails
				}
				store.answer = func(n int, q Question) (Answer, error) {
					switch {
					case n == 0:
						return Answer{Kind: Claimed, Claim: n}, nil
					case n < 3:
						return Answer{Kind: Busy, Wait: 100 * ms}, nil
					}
					return s.found(ms), nil
				}
				began := time.Now()
				token, err := c.Token(t.Context(), partner)
				if took := time.Since(began); err != nil || took < 3*time.Second || took > 3100*ms {
					t.Errorf("%v after %v, want the other's token after 3 s", err, took)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if again, _ := c.Token(t.Context(), partner); !again.Equal(token) || len(minted) != 1 || minted[0].Err != tc.fails || minted[0].ExpiresIn != tc.expires {
					t.Errorf("another token: %t, mints %+v", !again.Equal(token), minted)
				}
				if left := time.Duration(c.pausedUntil.Load() - c.clock.now().mono); left > 0 && left != tc.pause-4*time.Second || left <= 0 && tc.pause > 0 {
					t.Errorf("all wait for %v, want %v", left, tc.pause)
				}
				if asks, told := store.seen(); len(told) != 0 || !asks[1].Look {
					t.Errorf("told %+v, asked %+v", told, asks)
				}
				c.gate.mu.Lock()
				defer c.gate.mu.Unlock()
				if c.gate.running != [lanes]int{} {
					t.Errorf("%v are said to run", c.gate.running)
				}
			})
		})
	}
}

// Whoever hears a verdict comes back at a moment of his own.
func TestVerdictEndsAtNoCommonMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(100*ms, 30*time.Minute)
		for _, reason := range []Reason{Throttled, Rejected} {
			ends := map[int64]bool{}
			for range 50 {
				c := open(t, sharing(s, &shelf{answer: func(int, Question) (Answer, error) {
					return Answer{Kind: Failed, Err: &FetchError{Reason: reason, Status: 429, RetryAfter: 12 * time.Second}}, nil
				}}))
				_, err := c.Token(t.Context(), partner)
				if failed, ok := errors.AsType[*Error](err); !ok || failed.Reason != reason {
					t.Fatal(err)
				}
				f, paused := c.table.get(partner).failure.Load(), c.pausedUntil.Load()
				in := time.Duration(f.demandAt - c.clock.now().mono)
				if in < 12*time.Second || in > 18*time.Second || f.aheadAt != f.demandAt || f.alone != (reason == Rejected) {
					t.Errorf("%s: the next try is in %v, %+v, want 12s to 18s", reason, in, f)
				}
				if reason == Throttled && paused != f.demandAt || reason == Rejected && paused != 0 {
					t.Errorf("%s: all are paused until %d, %+v", reason, paused, f)
				}
				ends[int64(in/time.Second)] = true
			}
			if len(ends) < 5 {
				t.Errorf("%s: 50 caches come back in %d different seconds, want them spread over six", reason, len(ends))
			}
		}
		if s.mints() != 0 {
			t.Errorf("%d mints", s.mints())
		}
	})
}

// With a Store a token need not stand in the line of mints, however long that is.
func TestAdoptingStandsInNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(100*ms, 30*time.Minute)
		store := &shelf{answer: func(_ int, q Question) (Answer, error) {
			return Answer{Kind: Found, Token: s.issue(q.Grant), Mark: mark(time.Now())}, nil
		}}
		c := openWithALine(t, sharing(s, store), time.Minute)
		began := time.Now()
		var all sync.WaitGroup
		for n := range 500 {
			all.Go(func() { s.get(t, c, user(n)) })
		}
		all.Wait()
		if s.mints() != 0 || time.Since(began) > 0 {
			t.Errorf("%d mints, %v, want none and no wait", s.mints(), time.Since(began))
		}
	})
}

// A caller that would wait in vain is told so as soon as the Store has been looked into.
func TestLineThatIsTooLongIsNotStoodIn(t *testing.T) {
	for _, long := range []time.Duration{time.Minute, 4500 * ms} { // of a hold of 5 s, a fifth is for the mint
		synctest.Test(t, func(t *testing.T) {
			store := &shelf{takes: 20 * ms}
			c := openWithALine(t, sharing(newEndpoint(100*ms, 30*time.Minute), store), long)
			began := time.Now()
			_, err := c.Token(t.Context(), user(1))
			failed, ok := errors.AsType[*Error](err)
			if !ok || failed.Reason != Paced || failed.RetryAfter < long*5/6 || time.Since(began) != 20*ms {
				t.Errorf("%v after %v, want paced after one look of 20ms", err, time.Since(began))
			}
			if asks, _ := store.seen(); len(asks) != 1 || !asks[0].Look {
				t.Errorf("asked %+v, want one look", asks)
			}
		})
	}
}

// openWithALine makes a cache whose budget of mints is used up for that time, by grants
// whose mints never end.
func openWithALine(t *testing.T, config Config, long time.Duration) *Cache {
	config.MintsPerSecond = 20
	c := open(t, config)
	for n := range int(long.Seconds() * 20) {
		e := &entry{grant: user(-n)}
		e.waiting.Add(1)
		c.gate.enter(e)
	}
	return c
}

func TestSharedRefreshIsDrawnFromAWideWindow(t *testing.T) {
	for _, tc := range []struct{ lifetime, before, age, from, to time.Duration }{
		{30 * time.Minute, 5 * time.Minute, 0, 20 * time.Minute, 27*time.Minute + 30*time.Second},
		{time.Minute, 5 * time.Minute, 0, 20 * time.Second, 45 * time.Second},
		{30 * time.Minute, 5 * time.Minute, 25 * time.Minute, 25 * time.Minute, 27*time.Minute + 30*time.Second},
		{30 * time.Minute, 5 * time.Minute, 29 * time.Minute, 29 * time.Minute, 29 * time.Minute},
		{30 * time.Minute, 0, 0, 30 * time.Minute, 30 * time.Minute},
		{30 * time.Minute, 11 * time.Minute, 0, 10 * time.Minute, 24*time.Minute + 30*time.Second},
	} {
		from, to := sharedRefresh(tc.lifetime, tc.before, tc.age, 0), sharedRefresh(tc.lifetime, tc.before, tc.age, 1)
		if from != tc.from || to != tc.to {
			t.Errorf("a life of %v, %v before its end, %v old: from %v to %v, want %v to %v", tc.lifetime, tc.before, tc.age, from, to, tc.from, tc.to)
		}
	}
}

func TestProveTriesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, failed := range []*FetchError{errDown, errRejected} {
			s := newEndpoint(100*ms, 30*time.Minute)
			s.down = failed
			if err := Prove(t.Context(), settings(s), partner); !errors.Is(err, failed) || s.mints() != 1 {
				t.Errorf("Prove() = %v after %d mints, want %v after 1", err, s.mints(), failed)
			}
		}
		s := newEndpoint(100*ms, 30*time.Minute)
		if err := Prove(t.Context(), settings(s), partner); err != nil || s.mints() != 1 {
			t.Errorf("Prove() = %v after %d mints, want nil after 1", err, s.mints())
		}
		s.hangs = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := Prove(ctx, settings(s), partner); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("Prove() = %v after %v, want its context's end", err, time.Since(began))
		}
	})
}

// The answer may have taken long: the token is older now than when it was looked at.
func TestAgeCountsFromBeforeTheQuestion(t *testing.T) {
	store := &shelf{takes: 400 * ms}
	setup{latency: 100 * ms, store: store}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		store.answer = func(int, Question) (Answer, error) { return s.found(7 * time.Minute), nil }
		if _, err := c.Token(t.Context(), partner); err != nil {
			t.Fatal(err)
		}
		if got := c.Status()[0].Age; got != 7*time.Minute+400*ms {
			t.Errorf("%v old, want 7m and what the answer took", got)
		}
	})
}

// All tokens may have been revoked at once: that of a refresh which this process has not
// made yet as well. A request is sent once more and not twice, so it must not get that.
func TestTokenOfBeforeTheRefusalIsNotTakenOver(t *testing.T) {
	store, after := &shelf{}, false
	setup{latency: 100 * ms, store: store}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		first, _ := s.get(t, c, partner)
		time.Sleep(10 * time.Minute)
		refreshed := s.found(time.Minute) // by another process
		store.answer = func(n int, q Question) (Answer, error) {
			if q.Have == refreshed.Mark {
				return Answer{Kind: Claimed, Claim: n, Mark: mark(time.Now())}, nil
			}
			a := refreshed
			a.AfterRefusal = after
			return a, nil
		}
		c.Invalidate(partner, first)
		second, number := s.get(t, c, partner)
		if second.Equal(refreshed.Token.AccessToken) || number != 3 {
			t.Errorf("token %d, want one that was minted after the refusal", number)
		}
		asks, _ := store.seen()
		if last := asks[len(asks)-1]; !last.Replaces || last.Refused {
			t.Errorf("asked %+v, want a claim that replaces, and the other token left to those who have no reason to doubt it", last)
		}
		time.Sleep(2 * time.Second)
		refreshed, after = s.found(0), true
		c.Invalidate(partner, second)
		if third, _ := s.get(t, c, partner); !third.Equal(refreshed.Token.AccessToken) {
			t.Error("a token that was minted after a refusal is not taken over")
		}
	})
}

// A token that was minted after a refusal, but before upstream took the one here, was
// minted after an earlier refusal.
func TestTokenOfBeforeAnAcceptedRequestIsNotTakenOver(t *testing.T) {
	for age, taken := range map[time.Duration]bool{30 * time.Second: true, 2 * time.Minute: false} {
		store := &shelf{}
		setup{store: store}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
			first, _ := s.get(t, c, partner)
			time.Sleep(10 * time.Minute)
			c.Accepted(partner, time.Now())
			c.Accepted(partner, time.Now().Add(-5*time.Minute)) // says less
			c.Accepted(user(1), time.Now())                     // says nothing
			time.Sleep(time.Minute)
			other := s.found(age)
			other.AfterRefusal, other.StoreAge = true, age
			store.answer = func(n int, q Question) (Answer, error) {
				if q.Have == other.Mark {
					return Answer{Kind: Claimed, Claim: n, Mark: mark(time.Now())}, nil
				}
				return other, nil
			}
			c.Invalidate(partner, first)
			if token, _ := s.get(t, c, partner); token.Equal(other.Token.AccessToken) != taken {
				t.Errorf("%v old, a minute after the last accepted request: taken over: %t, want %t", age, !taken, taken)
			}
		})
	}
}
