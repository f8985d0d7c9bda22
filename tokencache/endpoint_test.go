package tokencache

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint is a token endpoint that behaves: it takes time, hands out numbered
// tokens that expire, can be down, refuse, throttle and hang, and remembers
// what it was asked.
type endpoint struct {
	mu       sync.Mutex // guards all that follows
	latency  time.Duration
	lifetime time.Duration         // of the tokens, and what it says of them
	down     error                 // not nil: no grant gets a token
	refused  map[Grant]*FetchError // these grants get none
	quiet    time.Time             // 429 until then
	hangs    bool                  // no answer until the caller goes away
	deaf     chan struct{}         // not nil: no answer until it is closed

	issued  map[secret.String]issue // by identity: the cache must hand on the very same
	count   map[Grant]int
	calls   []call
	busy    map[Grant]int
	allBusy int
	maxBusy int
	doubled int // mints of a grant that began while another of it was under way
}

type issue struct {
	grant  Grant
	number int // of this grant, from 1
	at     time.Time
	ends   time.Time
}

type call struct {
	grant     Grant
	at, ended time.Time
	err       error
}

func newEndpoint(latency, lifetime time.Duration) *endpoint {
	return &endpoint{
		latency: latency, lifetime: lifetime,
		refused: map[Grant]*FetchError{}, issued: map[secret.String]issue{}, count: map[Grant]int{}, busy: map[Grant]int{},
	}
}

// set changes the endpoint while it may be in use.
func (s *endpoint) set(change func(*endpoint)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *endpoint) Fetch(ctx context.Context, grant Grant) (Token, error) {
	began := time.Now()
	wait, answer := s.arrive(grant)
	var token Token
	err := sleep(ctx, wait)
	if err == nil {
		token, err = answer()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[grant]--
	s.allBusy--
	s.calls = append(s.calls, call{grant, began, time.Now(), err})
	return token, err
}

// arrive decides at once what the answer will be; it is given after wait.
func (s *endpoint) arrive(grant Grant) (wait time.Duration, answer func() (Token, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[grant]++; s.busy[grant] > 1 {
		s.doubled++
	}
	s.allBusy++
	s.maxBusy = max(s.maxBusy, s.allBusy)
	fails := func(err error) func() (Token, error) {
		return func() (Token, error) { return Token{}, err }
	}
	switch left := time.Until(s.quiet); {
	case s.deaf != nil:
		deaf := s.deaf
		return 0, func() (Token, error) { <-deaf; return s.issue(grant), nil }
	case s.hangs:
		return 1000 * time.Hour, fails(nil)
	case left > 0:
		return 0, fails(&FetchError{Reason: Throttled, Status: 429, RetryAfter: left})
	case s.down != nil:
		return s.latency, fails(s.down)
	case s.refused[grant] != nil:
		return s.latency, fails(s.refused[grant])
	}
	return s.latency, func() (Token, error) { return s.issue(grant), nil }
}

func (s *endpoint) issue(grant Grant) Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[grant]++
	number := s.count[grant]
	text := secret.New(fmt.Sprintf("%s.%s.%d", grant.Type, grant.EntityUserID, number))
	s.issued[text] = issue{grant, number, time.Now(), time.Now().Add(s.lifetime)}
	return Token{AccessToken: text, ExpiresIn: s.lifetime}
}

// mints is the number of requests that have arrived and were answered.
func (s *endpoint) mints() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// all returns the requests in the order of their answers.
func (s *endpoint) all() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// atOnce is how many mints were under way at most, and how often two of one
// grant were.
func (s *endpoint) atOnce() (most, doubled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxBusy, s.doubled
}

func (s *endpoint) mintsOf(grant Grant) (times []time.Time) {
	for _, c := range s.all() {
		if c.grant == grant {
			times = append(times, c.at)
		}
	}
	return times
}

// look returns what is known of a token; ok is false for a token of nobody's.
func (s *endpoint) look(token secret.String) (i issue, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok = s.issued[token]
	return i, ok
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	partner     = Grant{Type: ClientCredentials}
	errDown     = &FetchError{Reason: Unavailable, Status: 503}
	errRejected = &FetchError{Reason: Rejected, Status: 401}
)

// user is an entity user's grant; the ids look like those of Monite.
func user(n int) Grant {
	return Grant{Type: EntityUser, EntityUserID: fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012x", n)}
}

// settings is the configuration that the contract's defaults give, but without
// the budget of mints: it has tests of its own.
func settings(s Fetcher) Config {
	return Config{Fetcher: s, RefreshBefore: 5 * time.Minute, HoldTimeout: 5 * time.Second, MintsPerSecond: -1}
}

// setup is what a test begins with: an endpoint, and a cache that mints at it.
type setup struct {
	latency  time.Duration
	lifetime time.Duration   // 30 minutes if not set
	down     error           // what the endpoint answers
	trouble  func(*endpoint) // what else is wrong with it
	paced    bool            // with the budget of mints
	entries  int             // MaxEntries
	warm     []Grant
	store    Store
	config   func(*Config) // changes the rest
	run      bool          // Run runs until the test ends
}

// bubble runs test where time passes at once.
func (with setup) bubble(t *testing.T, test func(*testing.T, *endpoint, *Cache)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(with.latency, cmp.Or(with.lifetime, 30*time.Minute))
		s.down = with.down
		if with.trouble != nil {
			with.trouble(s)
		}
		config := settings(s)
		config.MaxEntries, config.Warm, config.Store = with.entries, with.warm, with.store
		if with.paced {
			config.MintsPerSecond = 0
		}
		if with.config != nil {
			with.config(&config)
		}
		c := open(t, config)
		if with.run {
			start(t, c)
		}
		test(t, s, c)
	})
}

// open makes a cache whose mints end with the test, also without Run. It is an hour old:
// at the moment zero, what is since then and what is until then are the same.
func open(t *testing.T, config Config) *Cache {
	c := New(config)
	c.clock.base = c.clock.base.Add(-time.Hour)
	t.Cleanup(c.close)
	return c
}

// start has Run run until the test ends, in a bubble that then waits for it.
func start(t *testing.T, c *Cache) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
}

// get returns the token and its number, and fails the test if there is none.
func (s *endpoint) get(t *testing.T, c *Cache, grant Grant) (secret.String, int) {
	t.Helper()
	token, err := c.Token(t.Context(), grant)
	if err != nil {
		t.Fatalf("Token(%v) = %v, want a token", grant, err)
	}
	i, ok := s.look(token)
	if !ok || i.grant != grant {
		t.Fatalf("Token(%v) gave a token of %v", grant, i.grant)
	}
	return token, i.number
}

// traffic is what a steady caller saw.
type traffic struct {
	calls, failed, waited int
	slowest               time.Duration
	lastErr               error
}

// steady calls every interval for as long as said. A hit takes no time in a
// bubble, so whatever takes time was a wait.
func (s *endpoint) steady(t *testing.T, c *Cache, grant Grant, interval, length time.Duration) (seen traffic) {
	t.Helper()
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(interval) {
		s.ask(t, c, grant, &seen)
	}
	return seen
}

// steadyUsers calls for n users in turn, as steady does for one. All of one turn
// are at the same moment, unless one waits. A goroutine for each would make the
// race detector slow: a switch costs it as much as there are goroutines.
func (s *endpoint) steadyUsers(t *testing.T, c *Cache, n int, interval, length time.Duration) (seen traffic) {
	t.Helper()
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(min(interval, time.Until(end))) {
		for i := range n {
			s.ask(t, c, user(i), &seen)
		}
	}
	return seen
}

func (s *endpoint) ask(t *testing.T, c *Cache, grant Grant, seen *traffic) {
	t.Helper()
	began := time.Now()
	token, err := c.Token(t.Context(), grant)
	took := time.Since(began)
	seen.calls++
	seen.slowest = max(seen.slowest, took)
	if took > 0 {
		seen.waited++
	}
	if err != nil {
		seen.failed++
		seen.lastErr = err
		return
	}
	if i, ok := s.look(token); !ok || i.grant != grant || !time.Now().Before(i.ends) {
		t.Fatalf("Token(%v) at %v gave %+v", grant, time.Now(), i)
	}
}

// wallJumps sets the wall clock forward under the cache: what is stored looks
// older by the wall clock, and as old as before by the monotonic one. The same
// is seen after a suspend. No mint may be under way.
func wallJumps(c *Cache, by time.Duration) {
	for e := range c.table.all {
		for _, held := range [...]*atomic.Pointer[minted]{&e.current, &e.lost} {
			if m := held.Load(); m != nil {
				shifted := *m
				shifted.start.wall -= int64(by)
				held.Store(&shifted)
			}
		}
	}
}
