package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// newCounterpart is a body that the simulator accepts.
const newCounterpart = `{"type":"organization","organization":{"legal_name":"Muster GmbH","is_vendor":true,"is_customer":false,` +
	`"address":{"country":"DE","city":"Berlin","postal_code":"10115","line1":"Invalidenstr. 1"}}}`

// traffic is what steady callers saw.
type traffic struct {
	calls, failed int
	samples       []string // of the failures
	slowest       time.Duration
}

func (seen traffic) wantNoFailure(t *testing.T) {
	t.Helper()
	if seen.failed > 0 || seen.calls == 0 {
		t.Errorf("%d of %d requests failed, such as %q", seen.failed, seen.calls, seen.samples)
	}
}

// load is callers who go on until stop.
type load struct {
	end  func()
	mu   sync.Mutex // guards seen
	seen traffic
}

// steady starts callers with a connection each, who pause between their
// requests. next makes the request number call of a caller; nil is a GET of the
// demo entity. Whatever is not 2xx has failed.
func (s *sidecar) steady(callers int, pause time.Duration, next func(caller, call int) *http.Request) *load {
	s.t.Helper()
	if next == nil {
		next = func(int, int) *http.Request { return s.newRequest("GET", "/v1/counterparts?limit=1", "", "") }
	}
	l, transport := &load{}, &http.Transport{MaxIdleConnsPerHost: callers}
	s.t.Cleanup(transport.CloseIdleConnections)
	l.end = goOn(s.t, callers, func(caller, call int) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		in, began := next(caller, call).WithContext(ctx), time.Now()
		a, err := exchange(transport, in)
		l.add(in, a, err, time.Since(began))
		time.Sleep(pause)
	})
	return l
}

func (l *load) add(in *http.Request, a answer, err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen.calls++
	l.seen.slowest = max(l.seen.slowest, took)
	if err != nil || a.Status >= 300 {
		if l.seen.failed++; len(l.seen.samples) < 5 {
			l.seen.samples = append(l.seen.samples, fmt.Sprintf("%s %s: %d %s %v", in.Method, in.URL.Path, a.Status, a.Body, err))
		}
	}
}

// calls is how many were answered so far.
func (l *load) calls() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen.calls
}

// stop lets the requests under way end.
func (l *load) stop() traffic {
	l.end()
	return l.seen
}

func (s *sidecar) newRequest(method, path, body, nonce string) *http.Request {
	in := newRequest(context.Background(), method, s.Data+path, strings.NewReader(body), "X-Monite-Entity-Id", monitetest.DemoEntityID)
	if body != "" {
		in.Header.Set("Content-Type", "application/json")
	}
	if nonce != "" {
		in.Header.Set("X-Sim-Nonce", nonce)
	}
	return in
}

// dialects are the ways in which upstream refuses a token that has ended.
var dialects = map[string]struct {
	config monitetest.Config
	end    func(*monitetest.Simulator)
}{
	"revoked, 401": {monitetest.Config{}, (*monitetest.Simulator).RevokeAll},
	"expired, 401": {monitetest.Config{}, (*monitetest.Simulator).ExpireAll},
	"expired, 400": {monitetest.Config{ExpiredStatus: 400}, (*monitetest.Simulator).ExpireAll},
	"expired, 403": {monitetest.Config{ExpiredStatus: 403}, (*monitetest.Simulator).ExpireAll},
}

// oldEnough waits until a rejection of the tokens at hand leads to a mint: that
// is a second after the one before.
func oldEnough() { <-time.After(1100 * time.Millisecond) }

// A token that ends early under 50 concurrent callers, with LONG 200, half of whom write.
func TestTokenEndsUnderConcurrentReadsAndWrites(t *testing.T) {
	t.Parallel()
	for name, dialect := range dialects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			callers := wiretest.Sized(50, 200)
			dialect.config.Latency = 20 * time.Millisecond // all are under way at any time
			dialect.config.KeepRequests = -1
			sim, url := simulate(t, dialect.config)
			s := start(t, defaultEnv(url)).ready()
			oldEnough()

			var mu sync.Mutex // guards writes
			writes := map[string]bool{}
			load := s.steady(callers, 0, func(caller, call int) *http.Request {
				if (caller+call)%2 == 0 {
					return s.newRequest("GET", "/v1/payables?limit=1", "", "")
				}
				nonce := fmt.Sprintf("w-%d-%d", caller, call)
				mu.Lock()
				writes[nonce] = true
				mu.Unlock()
				// The nonce in the target makes each write an intention of its own: equal ones wait for each other.
				if caller%4 < 2 { // a POST without a body, as most that move money
					return s.newRequest("POST", "/v1/receivables/"+monitetest.DemoReceivableID+"/clone?n="+nonce, "", nonce)
				}
				return s.newRequest("POST", "/v1/counterparts?n="+nonce, newCounterpart, nonce)
			})
			wiretest.Eventually(t, "traffic", func() bool { return load.calls() > callers })
			dialect.end(sim)
			ended := load.calls()
			wiretest.Eventually(t, "traffic after the end of the token", func() bool { return load.calls() > ended+3*callers })
			seen := load.stop()

			seen.wantNoFailure(t)
			stats := sim.Stats()
			if stats.Mints != 2 {
				t.Errorf("mints = %d, want 2: one at the start, one more", stats.Mints)
			}
			if stats.AuthRejected < 10 {
				t.Errorf("upstream refused %d tokens: the test did not meet the moment", stats.AuthRejected)
			}
			once := 0
			for nonce := range writes {
				if n := stats.Executed[nonce]; n == 1 {
					once++
				} else {
					t.Errorf("write %s was executed %d times", nonce, n)
				}
			}
			t.Logf("%d requests, %d failed; %d tokens refused, %d writes sent again; %d of %d writes executed exactly once; %d mints",
				seen.calls, seen.failed, stats.AuthRejected, stats.Replays, once, len(writes), stats.Mints)
		})
	}
}

// One app, one request after the other; upstream's tokens end sooner than they
// say, so each lifetime ends in the middle of the series.
func TestSeriesOutlivesItsTokens(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{TokenLifetime: 1200 * time.Millisecond, ExpiredStatus: 400})
	sim.Inject(monitetest.Fault{Path: "token", Effect: monitetest.EffectTokenExpiresIn, Value: "3600"})
	s := start(t, defaultEnv(url)).ready()
	load := s.steady(1, 0, func(_, call int) *http.Request {
		if call%2 == 0 {
			return s.newRequest("GET", "/v1/counterparts?limit=1", "", "")
		}
		return s.newRequest("POST", "/v1/counterparts", newCounterpart, fmt.Sprintf("series-%d", call))
	})
	wiretest.Eventually(t, "two tokens to end", func() bool { return sim.Stats().Mints >= 3 })
	seen := load.stop()
	seen.wantNoFailure(t)
	stats := sim.Stats()
	if stats.AuthRejected != stats.Mints-1 {
		t.Errorf("%d tokens refused over %d mints, want one refusal per token that ended", stats.AuthRejected, stats.Mints)
	}
	for nonce, n := range stats.Executed {
		if n != 1 {
			t.Errorf("write %s was executed %d times", nonce, n)
		}
	}
}
