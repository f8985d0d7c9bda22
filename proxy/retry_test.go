package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// breaking answers from the request with number good on, and breaks the
// connection of those before.
func breaking(good int64, rst bool) func(*wiretest.Peer) {
	return func(p *wiretest.Peer) {
		for {
			if _, _, err := p.Request(); err != nil {
				return
			}
			if p.Origin.Heads.Load() < good {
				p.Cut(rst)
				return
			}
			p.Say(okEmpty)
		}
	}
}

func TestBrokenConnectionIsRetriedOnceForReadsOnly(t *testing.T) {
	for _, c := range []struct {
		method   string
		good     int64
		status   int
		requests int64
	}{{"GET", 2, 200, 2}, {"HEAD", 2, 200, 2}, {"GET", 3, 502, 2}, {"POST", 2, 502, 1}, {"PUT", 2, 502, 1}, {"PATCH", 2, 502, 1},
		{"DELETE", 2, 502, 1}} {
		for _, rst := range []bool{false, true} {
			o := wiretest.Listen(t, nil, breaking(c.good, rst))
			r := newRig(t, o.URL)
			response, _ := r.do(c.method, "/v1/x", "")
			if response.StatusCode != c.status || o.Heads.Load() != c.requests {
				t.Errorf("%s, good at %d: %d after %d requests, want %d after %d", c.method, c.good, response.StatusCode, o.Heads.Load(), c.status, c.requests)
			}
			if record := r.record(); record.Retried != (c.requests == 2) {
				t.Errorf("%s: record = %+v", c.method, record)
			}
		}
	}
}

// A write whose bytes may have arrived is never sent again, not even with what
// net/http takes for a permission.
func TestWriteOnAConnectionThatEndsIsSentOnce(t *testing.T) {
	for _, body := range []string{"", "{}"} {
		o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
			if _, _, err := p.Request(); err == nil {
				p.Say(okEmpty)
				_, _, _ = p.Request()
			}
		})
		r := newRig(t, o.URL)
		r.do("POST", "/v1/x", body, "Idempotency-Key", "k")
		response, text := r.do("POST", "/v1/x", body, "Idempotency-Key", "k", "X-Idempotency-Key", "")
		checkOurs(t, response, text, &problemUpstreamBroken, Unknown, "")
		if o.Complete.Load() != 2 {
			t.Errorf("executed %d times, want 2", o.Complete.Load())
		}
	}
}

func TestStreamedReadIsNotRetried(t *testing.T) {
	o := wiretest.Listen(t, nil, breaking(2, false))
	r := newRig(t, o.URL, streaming)
	r.gets(head("GET", "/v1/x", "Transfer-Encoding: chunked")+"\r\n3\r\nxxx\r\n0\r\n\r\n", 502)
	if o.Heads.Load() != 1 {
		t.Errorf("%d requests", o.Heads.Load())
	}
}

// failingTrip fails always, and closes nothing.
type failingTrip struct {
	err   error
	trips int
}

func (f *failingTrip) RoundTrip(*http.Request) (*http.Response, error) {
	f.trips++
	return nil, f.err
}

func TestWorthRetry(t *testing.T) {
	stream := &requestBody{stream: &streamedBody{body: strings.NewReader("x")}, length: -1}
	for i, c := range []struct {
		method string
		err    error
		body   *requestBody
		trips  int
	}{
		{"GET", &upstream.Error{Outcome: upstream.Unknown, Err: io.ErrUnexpectedEOF}, &requestBody{}, 2},
		{"HEAD", &upstream.Error{Outcome: upstream.Unknown, Err: io.ErrUnexpectedEOF}, &requestBody{}, 2},
		{"GET", &upstream.Error{Outcome: upstream.Unknown, Err: io.EOF}, &requestBody{kept: []byte("x"), length: 1}, 2},
		{"POST", &upstream.Error{Outcome: upstream.Unknown, Reused: true, Err: io.EOF}, &requestBody{}, 1},
		{"DELETE", &upstream.Error{Outcome: upstream.Unknown, Reused: true, Err: io.EOF}, &requestBody{}, 1},
		{"POST", &upstream.Error{Outcome: upstream.NotSent, Reused: true, Err: io.EOF}, &requestBody{}, 2},
		{"PATCH", &upstream.Error{Outcome: upstream.NotSent, Reused: true, Err: io.EOF}, &requestBody{kept: []byte("x"), length: 1}, 2},
		{"POST", &upstream.Error{Outcome: upstream.NotSent, Err: io.EOF}, &requestBody{}, 1},
		{"GET", &upstream.Error{Outcome: upstream.NotSent, Err: io.EOF}, &requestBody{}, 1},
		{"GET", &upstream.Error{Outcome: upstream.Unknown, Timeout: true, Err: os.ErrDeadlineExceeded}, &requestBody{}, 1},
		{"GET", &upstream.Error{Outcome: upstream.NotSent, Reused: true, Timeout: true, Err: os.ErrDeadlineExceeded}, &requestBody{}, 1},
		{"GET", &upstream.Error{Outcome: upstream.Unknown, Err: io.EOF}, stream, 1},
		{"POST", &upstream.Error{Outcome: upstream.NotSent, Reused: true, Err: io.EOF}, stream, 1}, {"GET", errors.New("other"), &requestBody{}, 1},
	} {
		trip := &failingTrip{err: c.err}
		out, _ := http.NewRequestWithContext(t.Context(), c.method, "http://x/", bytes.NewReader(nil))
		if _, err := attempting(newRetry(trip), *c.body).attempt(out); !errors.Is(err, c.err) || trip.trips != c.trips {
			t.Errorf("%d %s %v: %d trips, want %d", i, c.method, c.err, trip.trips, c.trips)
		}
	}
}

// Ten retries are saved up; from then on one in ten requests.
func TestRetriesAreOneInTen(t *testing.T) {
	trip := &failingTrip{err: &upstream.Error{Outcome: upstream.Unknown, Err: io.EOF}}
	shared := newRetry(trip)
	const n = 1000
	for range n {
		out, _ := http.NewRequestWithContext(t.Context(), "GET", "http://x/", nil)
		_, _ = attempting(shared, requestBody{}).attempt(out)
	}
	if retries := trip.trips - n; retries < n/10 || retries > n/10+maxSaved/retryCost+1 {
		t.Errorf("%d retries for %d requests", retries, n)
	}
}

// Nobody is left who wants the second answer.
func TestNoRetryForAnAppThatIsGone(t *testing.T) {
	trip := &failingTrip{err: &upstream.Error{Outcome: upstream.Unknown, Err: io.EOF}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, _ := http.NewRequestWithContext(ctx, "GET", "http://x/", nil)
	_, _ = attempting(newRetry(trip), requestBody{}).attempt(out)
	if trip.trips != 1 {
		t.Errorf("%d trips", trip.trips)
	}
}

// attempting is a request of which only the attempts are under test.
func attempting(by *retry, body requestBody) *call {
	return &call{handler: &Handler{retry: by}, body: body}
}

// Upstream reads the whole request and cuts; the second attempt finds nobody.
// That the second was not sent is no news of the first.
func TestRetryThatIsNotSentLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD"} {
		t.Run(method, func(t *testing.T) {
			o := wiretest.Listen(t, nil, func(p *wiretest.Peer) { _, _, _ = p.Request() })
			var dials atomic.Int64
			r := newRig(t, o.URL, func(_ *Config, tr *upstream.Transport) {
				tr.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if dials.Add(1) > 1 {
						return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
					}
					return (&net.Dialer{}).DialContext(ctx, network, addr)
				}
			})
			response, body := r.do(method, "/v1/x", "")
			if method == "GET" {
				checkOurs(t, response, body, &problemUpstreamBroken, Unknown, "")
			}
			if got := response.Header.Get("X-Monite-Proxy-Outcome"); got != string(Unknown) {
				t.Errorf("outcome = %q, want unknown: the first attempt was sent", got)
			}
			if record := r.record(); !record.Retried || record.Outcome != Unknown {
				t.Errorf("record = %+v", record)
			}
			if dials.Load() != 2 || o.Heads.Load() != 1 {
				t.Errorf("dials = %d, requests = %d", dials.Load(), o.Heads.Load())
			}
		})
	}
}

// The first attempt may have been executed, the second is refused for its token, and
// there is no other token: nothing says "rejected".
func TestRetryThatIsRejectedPassesAsUpstreamSaidIt(t *testing.T) {
	t.Parallel()
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, _, err := p.Request(); err == nil && p.Origin.Heads.Load() > 1 {
			p.Say(answer(401, "application/json", `{"error":{}}`))
		}
	})
	r := newRig(t, o.URL)
	r.tokens.fail = func(call int) error {
		if call == 1 {
			return nil
		}
		return &tokencache.Error{Reason: tokencache.Unavailable, RetryAfter: time.Second, Cause: &tokencache.FetchError{Reason: tokencache.Unavailable}}
	}
	response, body := r.do("GET", "/v1/x", "")
	if got := response.Header.Get("X-Monite-Proxy-Outcome"); response.StatusCode != 401 || got != "" {
		t.Errorf("answer = %d %s %s, want 401", response.StatusCode, got, body)
	}
	if o.Heads.Load() != 2 {
		t.Errorf("requests = %d, want 2", o.Heads.Load())
	}
}

// Broken, retried, refused, replayed, broken: a GET reaches upstream three
// times at the most, because a request has one retry, its replay included.
func TestReplayIsNotRetriedAfterARetry(t *testing.T) {
	t.Parallel()
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for {
			if _, _, err := p.Request(); err != nil || p.Origin.Heads.Load() != 2 {
				return
			}
			p.Say(answer(401, "application/json", `{"error":{}}`))
		}
	})
	r := newRig(t, o.URL)
	response, body := r.do("GET", "/v1/x", "")
	checkOurs(t, response, body, &problemUpstreamBroken, Unknown, "")
	if got := o.Heads.Load(); got != 3 {
		t.Errorf("requests = %d, want 3", got)
	}
}
