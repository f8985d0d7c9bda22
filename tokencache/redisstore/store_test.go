package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// events counts what a store tells.
type events struct {
	mu      sync.Mutex // guards what follows
	answers map[string]int
	told    map[string]int
	changes []string
}

func (e *events) observe(c *Config) {
	e.answers, e.told = map[string]int{}, map[string]int{}
	c.OnEvent = func(event Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if event.Answer != "" {
			e.answers[event.Answer]++
		}
		if event.Told != "" {
			e.told[event.Told]++
		}
	}
	c.OnChange = func(s Status) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.changes = append(e.changes, strings.TrimSpace(s.State+" "+s.LastError))
	}
}

var creds = pair{"client", "a-secret-of-some-length"}

// on makes a store of a URL; its connections end with the test.
func storeOn(t testing.TB, url string, change ...func(*Config)) *Store {
	t.Helper()
	config := at(t, url)
	config.Origin, config.Credentials, config.MintsPerSecond = "https://upstream", creds, 20
	for _, c := range change {
		c(&config)
	}
	s := New(config)
	t.Cleanup(s.server.(*client).dropIdle)
	return s
}

// ask asks with a second of time.
func ask(t testing.TB, s *Store, q tokencache.Question) (tokencache.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if q.Grant == (tokencache.Grant{}) {
		q.Grant = partner
	}
	if q.Lease == 0 {
		q.Lease, q.Share = time.Second, 1
	}
	return s.Ask(ctx, q)
}

func wantKind(t testing.TB, s *Store, q tokencache.Question, want tokencache.Kind) tokencache.Answer {
	t.Helper()
	a, err := ask(t, s, q)
	if err != nil || a.Kind != want {
		t.Fatalf("Ask(%+v) = kind %d, %v, want %d", q, a.Kind, err, want)
	}
	return a
}

func tell(t testing.TB, s *Store, c tokencache.Claim, o tokencache.Outcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	wiretest.Must(t, s.Tell(ctx, c, o))
}

func tokenOf(s *Store, text string) tokencache.Token {
	return tokencache.Token{AccessToken: secret.NewToken(text), ExpiresIn: 30 * time.Minute, By: s.PairName(s.credentials)}
}

// inMemory runs test with the stores of two replicas on a server in memory. Time is the
// bubble's.
func inMemory(t *testing.T, test func(t *testing.T, m *memory, one, other *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		test(t, m, newStore(Config{Credentials: creds}, m), newStore(Config{Credentials: creds}, m))
	})
}

// share mints a token through a store.
func share(t testing.TB, s *Store, text string) tokencache.Answer {
	t.Helper()
	a := wantKind(t, s, tokencache.Question{}, tokencache.Claimed)
	tell(t, s, a.Claim, tokencache.Outcome{Token: tokenOf(s, text)})
	return a
}

func TestTokenGoesFromOneReplicaToAnother(t *testing.T) {
	url := "unix:" + realServer(t)
	one, other := storeOn(t, url), storeOn(t, url)
	claimed := wantKind(t, one, tokencache.Question{}, tokencache.Claimed)
	if busy := wantKind(t, other, tokencache.Question{}, tokencache.Busy); busy.Wait != 100*ms {
		t.Errorf("told to wait %v, want 100ms", busy.Wait)
	}
	wantKind(t, other, tokencache.Question{Look: true, Grant: user(1)}, tokencache.Free)
	token := tokenOf(one, "the-token")
	tell(t, one, claimed.Claim, tokencache.Outcome{Token: token})
	found := wantKind(t, other, tokencache.Question{}, tokencache.Found)
	if !found.Token.AccessToken.Equal(token.AccessToken) || found.Mark != claimed.Mark || found.Token.By != token.By ||
		found.Token.ExpiresIn != token.ExpiresIn || found.Age > 500*ms {
		t.Errorf("found %+v", found)
	}
	// Upstream refuses it: the first that says so removes it, and one mints.
	wantKind(t, other, tokencache.Question{Have: found.Mark, Refused: true}, tokencache.Busy) // the second after a mint
	time.Sleep(1100 * ms)                                                                     //nolint:forbidigo // the guard is of a real server
	again := wantKind(t, other, tokencache.Question{Have: found.Mark, Refused: true}, tokencache.Claimed)
	tell(t, other, again.Claim, tokencache.Outcome{Token: tokenOf(other, "second")})
	// A straggler's refusal of the first does not remove the second.
	if late := wantKind(t, one, tokencache.Question{Have: found.Mark, Refused: true}, tokencache.Found); late.Mark <= found.Mark {
		t.Error("the later token has not the greater mark")
	}
}

func TestNothingInRedisCanBeReadWithoutTheSecret(t *testing.T) {
	socket := realServer(t)
	s := storeOn(t, "unix:"+socket)
	share(t, s, "canary-token")
	a := wantKind(t, s, tokencache.Question{Grant: user(1)}, tokencache.Claimed)
	tell(t, s, a.Claim, tokencache.Outcome{Err: &tokencache.FetchError{Reason: tokencache.Rejected, Status: 401}})
	a = wantKind(t, s, tokencache.Question{Grant: user(2)}, tokencache.Claimed)
	tell(t, s, a.Claim, tokencache.Outcome{Err: &tokencache.FetchError{Reason: tokencache.Throttled, RetryAfter: time.Minute}})
	on := direct(t, socket)
	keys, _ := redis.Strings(on.Do("KEYS", "*"))
	if len(keys) < 5 {
		t.Errorf("%d keys", len(keys))
	}
	for _, key := range keys {
		value, _ := redis.String(on.Do("GET", key))
		for _, text := range []string{"canary", creds.id, creds.secret, "upstream", user(1).EntityUserID, "entity_user", "client_credentials",
			"rejected", "401"} {
			if strings.Contains(key+value, text) {
				t.Errorf("%q stands in key %s or its value", text, key)
			}
		}
		if ttl, _ := redis.Int64(on.Do("PTTL", key)); ttl <= 0 {
			t.Errorf("%s has no end", key)
		}
		if !strings.HasPrefix(key, "monite-proxy:1:{") {
			t.Errorf("%s is not of those that an ACL names", key)
		}
	}
}

// What somebody else wrote costs one mint and is repaired by it.
func TestPoisonCostsOneMint(t *testing.T) {
	socket := realServer(t)
	on := direct(t, socket)
	k := newRing("https://upstream", secret.New(creds.id), secret.New(creds.secret)).keys(partner)
	other := newRing("https://upstream", secret.New(creds.id), secret.New(creds.secret)).keys(user(1))
	seed := storeOn(t, "unix:"+socket)
	good := func() string {
		do(t, on, "FLUSHALL")
		share(t, seed, "good")
		value, err := redis.String(on.Do("GET", k.token))
		wiretest.Must(t, err)
		do(t, on, "FLUSHALL")
		return value
	}()
	flip := func(at int) string { b := []byte(good); b[at] ^= 1; return string(b) }
	r := newRing("https://upstream", secret.New(creds.id), secret.New(creds.secret))
	stranger, _ := r.sealToken(other.token, newMark(time.Now()), tokenOf(seed, "of-another-grant"), time.Now(), false)
	old, _ := r.sealToken(k.token, newMark(time.Now().Add(-time.Hour)), tokenOf(seed, "old"), time.Now().Add(-time.Hour), false)
	future, _ := r.sealToken(k.token, newMark(time.Now().Add(time.Hour)), tokenOf(seed, "future"), time.Now().Add(time.Hour), false)
	for _, tc := range []struct {
		name  string
		plant [][]any
	}{
		{"garbage", [][]any{{"SET", k.token, "garbage"}}},
		{"an empty value", [][]any{{"SET", k.token, ""}}},
		{"100 kB", [][]any{{"SET", k.token, strings.Repeat("x", 100_000)}}},
		{"cut", [][]any{{"SET", k.token, good[:len(good)-5], "PX", 60000}}},
		{"a flipped bit", [][]any{{"SET", k.token, flip(40), "PX", 60000}}},
		{"another age", [][]any{{"SET", k.token, flip(11), "PX", 60000}}},
		{"another nonce", [][]any{{"SET", k.token, flip(20), "PX", 60000}}},
		{"a list", [][]any{{"LPUSH", k.token, "x"}}},
		{"the token of another grant", [][]any{{"SET", k.token, stranger, "PX", 60000}}},
		{"an old token without an end", [][]any{{"SET", k.token, old}}},
		{"a token without an end", [][]any{{"SET", k.token, good}}},
		{"a lease for ever", [][]any{{"SET", k.lease, "x"}}},
		{"a lease for 14 s", [][]any{{"SET", k.lease, "x", "PX", 14000}}},
		{"a lease that is a list", [][]any{{"LPUSH", k.lease, "x"}}},
		{"a verdict of nobody's", [][]any{{"SET", k.verdict, "garbage"}}},
		{"a verdict for a while", [][]any{{"SET", k.verdict, "garbage", "PX", 5000}}},
		{"a pause of nobody's", [][]any{{"SET", k.pause, "garbage", "PX", 5000}}},
		{"a budget of 10^20", [][]any{{"SET", k.budget, "100000000000000000000"}}},
		{"a budget of nan", [][]any{{"SET", k.budget, "nan"}}},
		{"a budget that is a list", [][]any{{"LPUSH", k.budget, "x"}}},
		{"a crowd of nobody's", [][]any{{"SET", k.crowd, "x"}, {"SET", k.lease, "x", "PX", 20}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			do(t, on, "FLUSHALL")
			for _, command := range tc.plant {
				do(t, on, command[0].(string), command[1:]...)
			}
			s := storeOn(t, "unix:"+socket)
			mints := 0
			config := tokencache.Config{Store: s, HoldTimeout: 5 * time.Second, RefreshBefore: time.Minute,
				Fetcher: tokencache.FetcherFunc(func(context.Context, tokencache.Grant) (tokencache.Token, error) {
					mints++
					return tokenOf(s, fmt.Sprintf("fresh-%d", mints)), nil
				})}
			began := time.Now()
			if token, err := tokenFrom(t, config); err != nil || !token.Equal(secret.New("fresh-1")) || time.Since(began) > 1500*ms {
				t.Fatalf("Token() = %v, and the token of one mint: %t", err, token.Equal(secret.New("fresh-1")))
			}
			config.Store = storeOn(t, "unix:"+socket)
			if token, err := tokenFrom(t, config); err != nil || !token.Equal(secret.New("fresh-1")) || mints != 1 {
				t.Errorf("the next replica: %v after %d mints, want the token of one", err, mints)
			}
		})
	}
	t.Run("a token of the future", func(t *testing.T) {
		do(t, on, "FLUSHALL")
		do(t, on, "SET", k.token, future, "PX", 60000)
		// It opens: only who has the secret can have sealed it. Its age is what the
		// server still gives it.
		if a := wantKind(t, seed, tokencache.Question{}, tokencache.Found); a.Age < 28*time.Minute {
			t.Errorf("its age is %v", a.Age)
		}
	})
}

// tokenFrom asks a new cache once.
func tokenFrom(t testing.TB, config tokencache.Config) (secret.String, error) {
	t.Helper()
	cache := tokencache.New(config)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = cache.Run(ctx) }()
	token, err := cache.Token(ctx, partner)
	time.Sleep(20 * ms) //nolint:forbidigo // the outcome is told to a real server
	cancel()
	<-done
	return token, err
}

func TestClaimOfAnotherPairIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		live := &changing{pair: creds}
		s := newStore(Config{Origin: "o", Credentials: live}, m)
		a := wantKind(t, s, tokencache.Question{}, tokencache.Claimed)
		live.pair = pair{"client", "another-secret"}
		token := tokenOf(s, "of-the-new-pair")
		tell(t, s, a.Claim, tokencache.Outcome{Token: token})
		live.pair = creds
		wantKind(t, s, tokencache.Question{}, tokencache.Claimed) // nothing is there, and the claim was given back
	})
}

// changing is a pair of credentials that is rotated.
type changing struct{ pair pair }

func (c *changing) Pair() (id, clientSecret secret.String) { return c.pair.Pair() }

func TestRefusalOfOneReplicaKeepsNobodyElseFromMinting(t *testing.T) {
	for _, failed := range []*tokencache.FetchError{
		{Reason: tokencache.Rejected, Status: 401},
		{Reason: tokencache.Throttled, Status: 429, RetryAfter: 20 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			one, two, three := newStore(Config{Credentials: creds}, m), newStore(Config{Credentials: creds}, m), newStore(Config{Credentials: creds}, m)
			for range 3 { // however often the one is refused
				a := wantKind(t, one, tokencache.Question{}, tokencache.Claimed)
				tell(t, one, a.Claim, tokencache.Outcome{Err: failed})
				time.Sleep(300 * ms)
			}
			a := wantKind(t, two, tokencache.Question{}, tokencache.Claimed)
			tell(t, two, a.Claim, tokencache.Outcome{Err: failed})
			for _, s := range []*Store{one, two, three} {
				got := wantKind(t, s, tokencache.Question{}, tokencache.Failed)
				if got.Err.Reason != failed.Reason || got.Err.Status != failed.Status || got.Err.RetryAfter <= 0 ||
					got.Err.RetryAfter > max(failed.RetryAfter, 5*time.Second) {
					t.Errorf("told %+v", got.Err)
				}
			}
			time.Sleep(max(failed.RetryAfter, 5*time.Second))
			wantKind(t, three, tokencache.Question{}, tokencache.Claimed)
		})
	}
}

// What one replica has heard counts for nobody. While another tries, the crowd must not ask
// with it and once more without it: that is twice the load at the worst time.
func TestCrowdAsksOnceWhileAnotherReplicaTries(t *testing.T) {
	inMemory(t, func(t *testing.T, m *memory, one, other *Store) {
		a := wantKind(t, one, tokencache.Question{}, tokencache.Claimed)
		tell(t, one, a.Claim, tokencache.Outcome{Err: &tokencache.FetchError{Reason: tokencache.Throttled, Status: 429, RetryAfter: 20 * time.Second}})
		m.calls = nil
		wantKind(t, other, tokencache.Question{}, tokencache.Busy)
		if len(m.calls) != 1 {
			t.Errorf("%d exchanges for one question, want 1", len(m.calls))
		}
	})
}

// Other failures say more about the way to the endpoint than about the endpoint.
func TestOutageIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		for range 5 {
			s := newStore(Config{Credentials: creds}, m)
			a := wantKind(t, s, tokencache.Question{}, tokencache.Claimed)
			tell(t, s, a.Claim, tokencache.Outcome{Err: &tokencache.FetchError{Reason: tokencache.Unavailable, Status: 503}})
			wantKind(t, s, tokencache.Question{}, tokencache.Busy) // the tries are spaced
			time.Sleep(251 * ms)
		}
	})
}

func TestBudgetIsThatOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		claimed := func(share float64) (n int) {
			for {
				s := newStore(Config{Credentials: creds, MintsPerSecond: 20}, m)
				a, err := ask(t, s, tokencache.Question{Grant: user(len(m.calls)), Share: share, Lease: time.Second})
				if err != nil || a.Kind == tokencache.Pacing && (a.Wait <= 0 || a.Wait > 250*ms) {
					t.Fatalf("Ask() = %+v, %v", a, err)
				}
				if a.Kind == tokencache.Pacing {
					return n
				}
				n++
			}
		}
		// Eight at once for those who wait, as one cache has; half of that for refreshes.
		if half, whole := claimed(0.5), claimed(1); half != 5 || half+whole != 9 {
			t.Errorf("%d mints at once, then %d, want 5 and 4", half, whole)
		}
		time.Sleep(time.Second)
		if n := claimed(1); n < 8 || n > 21 {
			t.Errorf("%d mints a second later", n)
		}
	})
}

func TestHostWhoseClockIsFarOffStandsAside(t *testing.T) {
	for offset, aside := range map[time.Duration]bool{20 * time.Second: false, -20 * time.Second: false, 40 * time.Second: true, -2 * time.Hour: true} {
		synctest.Test(t, func(t *testing.T) {
			var seen events
			m := newMemory()
			share(t, newStore(Config{Credentials: creds}, m), "token")
			m.offset = offset // Redis' clock is set
			var config Config
			seen.observe(&config)
			config.Credentials = creds
			s := newStore(config, m)
			a, err := ask(t, s, tokencache.Question{})
			if aside != errors.Is(err, errAside) {
				t.Fatalf("off by %v: %+v, %v", offset, a, err)
			}
			if aside {
				if s.Status().State != "aside" || seen.answers["aside"] != 1 {
					t.Errorf("off by %v: %+v, %v", offset, s.Status(), seen.answers)
				}
				m.offset = 0
				_, _ = ask(t, s, tokencache.Question{})
			}
			if a, err := ask(t, s, tokencache.Question{}); err != nil || a.Kind != tokencache.Found {
				t.Errorf("off by %v, and back: %+v, %v", offset, a, err)
			}
		})
	}
}

// A claim that is found out to be of a host that stands aside keeps nobody waiting.
func TestClaimOfAHostThatStandsAsideIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.offset = time.Minute
		if _, err := ask(t, newStore(Config{Credentials: creds}, m), tokencache.Question{}); !errors.Is(err, errAside) {
			t.Fatal(err)
		}
		m.offset = 0
		wantKind(t, newStore(Config{Credentials: creds}, m), tokencache.Question{}, tokencache.Claimed)
	})
}

func TestAgeIsByTheClockThatSaysOlder(t *testing.T) {
	inMemory(t, func(t *testing.T, m *memory, s, _ *Store) {
		share(t, s, "token")
		time.Sleep(10 * time.Minute)
		age := func() time.Duration { return wantKind(t, s, tokencache.Question{}, tokencache.Found).Age }
		if got := age(); got != 10*time.Minute {
			t.Errorf("%v old, want 10m", got)
		}
		m.offset = -25 * time.Second // Redis' clock is set back: what the hosts say holds
		if got := age(); got < 10*time.Minute {
			t.Errorf("%v old, want 10m and more", got)
		}
		m.offset = 0
		for key, h := range m.data { // Redis gives it less than it has
			h.ends -= (5 * time.Minute).Milliseconds()
			m.data[key] = h
		}
		if got := age(); got != 15*time.Minute {
			t.Errorf("%v old, want 15m", got)
		}
	})
}

// A server that stood still executes what was asked long ago: whoever asked has gone,
// and a lease would keep the others waiting for nobody.
func TestLateQuestionClaimsNothing(t *testing.T) {
	inMemory(t, func(t *testing.T, m *memory, one, two *Store) {
		wantKind(t, one, tokencache.Question{Look: true}, tokencache.Free) // the clocks are known
		m.service = 3 * time.Second
		if _, err := ask(t, one, tokencache.Question{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.Sleep(2200 * ms) // it is done now, two seconds late
		m.service = 0
		wantKind(t, two, tokencache.Question{}, tokencache.Claimed)
	})
}

func TestLateOutcomeAddsNoLife(t *testing.T) {
	inMemory(t, func(t *testing.T, m *memory, s, _ *Store) {
		a := wantKind(t, s, tokencache.Question{}, tokencache.Claimed)
		time.Sleep(20 * time.Minute)
		tell(t, s, a.Claim, tokencache.Outcome{Token: tokenOf(s, "token")})
		if got := wantKind(t, s, tokencache.Question{}, tokencache.Found); got.Age != 20*time.Minute {
			t.Errorf("%v old, want 20m", got.Age)
		}
		for _, h := range m.data {
			if left := h.ends - time.Now().UnixMilli(); left > (10 * time.Minute).Milliseconds() {
				t.Errorf("it lives for another %d ms", left)
			}
		}
	})
}

func TestOlderTokenDoesNotReplaceANewerOne(t *testing.T) {
	inMemory(t, func(t *testing.T, m *memory, paused, other *Store) {
		a := wantKind(t, paused, tokencache.Question{}, tokencache.Claimed)
		time.Sleep(2 * time.Second) // its lease lapses
		newer := share(t, other, "newer")
		tell(t, paused, a.Claim, tokencache.Outcome{Token: tokenOf(paused, "older")})
		if got := wantKind(t, other, tokencache.Question{}, tokencache.Found); got.Mark != newer.Mark {
			t.Error("the older token is there")
		}
	})
}

func TestServerThatFailedIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen events
		var config Config
		seen.observe(&config)
		config.Credentials = creds
		m := newMemory()
		s := newStore(config, m)
		wantKind(t, s, tokencache.Question{}, tokencache.Claimed)
		m.down = &Error{Kind: "NOAUTH"}
		m.calls = nil
		began := time.Now()
		for time.Since(began) < 10*time.Minute {
			if _, err := ask(t, s, tokencache.Question{}); kindOf(err) != "NOAUTH" {
				t.Fatal(err)
			}
			time.Sleep(50 * ms)
		}
		// 1, 2, 4, 8, 16 and then 30 s, of which half is drawn.
		if n := len(m.calls); n < 20 || n > 45 {
			t.Errorf("%d questions reached a server that is down for 10 min", n)
		}
		if status := s.Status(); status.State != "down" || status.LastError != "NOAUTH" || status.RetryIn > 30*time.Second {
			t.Errorf("%+v", status)
		}
		m.down = nil
		time.Sleep(30 * time.Second)
		wantKind(t, s, tokencache.Question{}, tokencache.Claimed)
		if got := strings.Join(seen.changes, ", "); got != "up, down NOAUTH, up NOAUTH" {
			t.Errorf("changes: %s", got)
		}
	})
}

// Slow and down are told apart by the cache, so the breaker must not mix them.
func TestBreakerRepeatsWhatItHeard(t *testing.T) {
	inMemory(t, func(t *testing.T, m *memory, s, _ *Store) {
		m.hangs = true
		for range 3 {
			if _, err := ask(t, s, tokencache.Question{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Ask() = %v, want a timeout", err)
			}
		}
		if len(m.calls) != 1 {
			t.Errorf("%d questions reached it", len(m.calls))
		}
	})
}

// liar is a server that says the same to every question.
type liar struct{ kind string }

func (l liar) run(context.Context, *script, []string, ...any) (any, error) {
	return []any{[]byte(l.kind), time.Now().UnixMilli(), []byte{}, int64(100)}, nil
}

// A server that says busy for ever, also to those who have lost their patience, must not
// keep a replica from minting: the script never says it to them.
func TestServerThatIsAlwaysBusyKeepsNobodyFromMinting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false)
		cache := tokencache.New(tokencache.Config{
			HoldTimeout: 5 * time.Second, Store: newStore(Config{Origin: "https://upstream", Credentials: creds, MintsPerSecond: 20}, liar{"busy"}),
			Fetcher: tokencache.FetcherFunc(func(ctx context.Context, _ tokencache.Grant) (tokencache.Token, error) {
				return f.monite.fetch(ctx, "", 0)
			}),
		})
		f.wg.Go(func() { _ = cache.Run(f.ctx) })
		began := time.Now()
		f.request(cache)
		if m := f.measure(); m.failed != 0 || m.mints != 1 || time.Since(began) > 4500*ms {
			t.Errorf("%d requests failed after %v and %d mints, want none, one mint, and time to spare", m.failed, time.Since(began), m.mints)
		}
		f.end()
	})
}

// After a FLUSHALL replicas have different tokens, and all of them can be revoked at once.
// Another replica's token is then no use either, even if it was minted after an earlier
// refusal.
func TestTokenOfBeforeTheLastRefusalIsNotTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, true)
		var caches []*tokencache.Cache
		for i := range f.n {
			caches = append(caches, f.cache(i))
		}
		request := func(i int) {
			t.Helper()
			if f.request(caches[i]); f.failed > 0 {
				t.Fatalf("replica %d has no good token", i)
			}
			time.Sleep(2 * time.Second)
		}
		revoke := func() { f.monite.set(func(m *monite) { m.revoked = m.tokens }) }
		request(0)
		request(1)
		revoke()
		request(0)
		f.shared.set(func(m *memory) { clear(m.data) })
		request(1)
		request(0)
		revoke()
		request(0)
		request(1)
		if m := f.measure(); m.mints != 4 {
			t.Errorf("%d mints, want one at first, one of each replica, and one after all were revoked", m.mints)
		}
		f.end()
	})
}
