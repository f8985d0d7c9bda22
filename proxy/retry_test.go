package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// breaking answers from the request with number good on, and breaks the
// connection of those before.
func breaking(good int64, rst bool) func(*peer) {
	return func(p *peer) {
		for {
			if _, _, err := p.request(); err != nil {
				return
			}
			if p.o.requests.Load() < good {
				p.cut(rst)
				return
			}
			p.say(okEmpty)
		}
	}
}

func TestBrokenConnectionIsRetriedOnceForReadsOnly(t *testing.T) {
	for _, c := range []struct {
		method   string
		good     int64
		status   int
		requests int64
	}{{"GET", 2, 200, 2}, {"HEAD", 2, 200, 2}, {"GET", 3, 502, 2}, {"POST", 2, 502, 1}, {"PUT", 2, 502, 1}, {"PATCH", 2, 502, 1}, {"DELETE", 2, 502, 1}} {
		for _, rst := range []bool{false, true} {
			o := listen(t, breaking(c.good, rst))
			r := newRig(t, o.url)
			response, _ := r.do(c.method, "/v1/x", "")
			if response.StatusCode != c.status || o.requests.Load() != c.requests {
				t.Errorf("%s, good at %d: %d after %d requests, want %d after %d", c.method, c.good, response.StatusCode, o.requests.Load(), c.status, c.requests)
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
		o := listen(t, func(p *peer) {
			if _, _, err := p.request(); err == nil {
				p.say(okEmpty)
				_, _, _ = p.request()
			}
		})
		r := newRig(t, o.url)
		r.do("POST", "/v1/x", body, "Idempotency-Key", "k")
		response, text := r.do("POST", "/v1/x", body, "Idempotency-Key", "k", "X-Idempotency-Key", "")
		checkOurs(t, response, text, &problemUpstreamBroken, Unknown, "")
		if o.complete.Load() != 2 {
			t.Errorf("executed %d times, want 2", o.complete.Load())
		}
	}
}

func TestStreamedReadIsNotRetried(t *testing.T) {
	o := listen(t, breaking(2, false))
	r := newRig(t, o.url, streaming)
	a := r.dial()
	a.say(head("GET", "/v1/x", "Transfer-Encoding: chunked") + "\r\n3\r\nxxx\r\n0\r\n\r\n")
	a.want("GET", 502)
	if o.requests.Load() != 1 {
		t.Errorf("%d requests", o.requests.Load())
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
		{"GET", &upstream.Error{Outcome: upstream.Unknown, Err: io.ErrUnexpectedEOF}, &requestBody{}, 2}, {"HEAD", &upstream.Error{Outcome: upstream.Unknown, Err: io.ErrUnexpectedEOF}, &requestBody{}, 2}, {"GET", &upstream.Error{Outcome: upstream.Unknown, Err: io.EOF}, &requestBody{kept: []byte("x"), length: 1}, 2},
		{"POST", &upstream.Error{Outcome: upstream.Unknown, Reused: true, Err: io.EOF}, &requestBody{}, 1}, {"DELETE", &upstream.Error{Outcome: upstream.Unknown, Reused: true, Err: io.EOF}, &requestBody{}, 1},
		{"POST", &upstream.Error{Outcome: upstream.NotSent, Reused: true, Err: io.EOF}, &requestBody{}, 2}, {"PATCH", &upstream.Error{Outcome: upstream.NotSent, Reused: true, Err: io.EOF}, &requestBody{kept: []byte("x"), length: 1}, 2},
		{"POST", &upstream.Error{Outcome: upstream.NotSent, Err: io.EOF}, &requestBody{}, 1}, {"GET", &upstream.Error{Outcome: upstream.NotSent, Err: io.EOF}, &requestBody{}, 1},
		{"GET", &upstream.Error{Outcome: upstream.Unknown, Timeout: true, Err: os.ErrDeadlineExceeded}, &requestBody{}, 1}, {"GET", &upstream.Error{Outcome: upstream.NotSent, Reused: true, Timeout: true, Err: os.ErrDeadlineExceeded}, &requestBody{}, 1},
		{"GET", &upstream.Error{Outcome: upstream.Unknown, Err: io.EOF}, stream, 1}, {"POST", &upstream.Error{Outcome: upstream.NotSent, Reused: true, Err: io.EOF}, stream, 1}, {"GET", errors.New("other"), &requestBody{}, 1},
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
