package tokenendpoint

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

func TestBrokenExchangeIsAttemptedOnce(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	tests := []struct {
		name, raw string
		reset     bool
		reason    tokencache.Reason
	}{
		{"closed without an answer", "", false, tokencache.Unavailable},
		{"reset without an answer", "", true, tokencache.Unavailable},
		{"head cut off", "HTTP/1.1 200 OK\r\nContent-", false, tokencache.Unavailable},
		{"no HTTP", "SSH-2.0-x\r\n\r\n", false, tokencache.Unavailable},
		{"body cut off", head + "Content-Length: 500\r\n\r\n" + good, false, tokencache.Malformed},
		{"chunks cut off", head + "Transfer-Encoding: chunked\r\n\r\n10\r\n{\"access_", false, tokencache.Malformed},
		{"chunks broken", head + "Transfer-Encoding: chunked\r\n\r\n" + canaryAnswer, false, tokencache.Malformed},
		{"body reset", head + "Content-Length: 500\r\n\r\n{", true, tokencache.Malformed},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			e, connections := wire(t, tc.raw, tc.reset)
			if err := failing(t, t.Context(), e); err.Reason != tc.reason {
				t.Errorf("Fetch() = %v, want %s", err, tc.reason)
			}
			if got := connections(); got != 1 {
				t.Errorf("%d attempts, want 1", got)
			}
		})
	}
}

// On a reused connection that dies a transport may send again what has GetBody.
func TestReusedConnectionThatDiesIsNotARetry(t *testing.T) {
	var mints atomic.Int64
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if mints.Add(1) == 1 {
			_, _ = io.WriteString(w, good)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	if _, err := e.Fetch(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	if err := failing(t, t.Context(), e); err.Reason != tokencache.Unavailable || mints.Load() != 2 {
		t.Errorf("Fetch() = %v, %d mints, want Unavailable, 2", err, mints.Load())
	}
}

func TestEndlessAnswerIsReadUpToALimit(t *testing.T) {
	var sent atomic.Int64
	e := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for block := []byte(strings.Repeat(" ", 4096)); ; sent.Add(4096) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	if err := failing(t, t.Context(), e); err.Reason != tokencache.Malformed {
		t.Errorf("Fetch() = %v, want Malformed", err)
	}
	if sent.Load() > 64<<20 {
		t.Errorf("%d bytes were sent", sent.Load())
	}
}

func TestSilenceEndsWithTheContext(t *testing.T) {
	tests := []struct {
		name    string
		handler func(http.ResponseWriter, *http.Request)
	}{
		{"before the head", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"in the body", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"access_`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
		{"one byte at a time", func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-r.Context().Done():
					return
				case <-tick.C:
					_, _ = io.WriteString(w, " ")
					_ = http.NewResponseController(w).Flush()
				}
			}
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			e := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that we left
				tc.handler(w, r)
			})
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
			defer cancel()
			if err := failing(t, ctx, e); err.Reason != tokencache.TimedOut || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Fetch() = %v, want TimedOut", err)
			}
			if took := time.Since(began); took < 60*time.Millisecond || took > 5*time.Second {
				t.Errorf("took %v, want 60ms", took)
			}
		})
	}
}

func TestTransportTimeoutIsATimeout(t *testing.T) {
	e := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	slow := &http.Transport{ResponseHeaderTimeout: 20 * time.Millisecond}
	t.Cleanup(slow.CloseIdleConnections)
	e.Transport = slow
	if err := failing(t, t.Context(), e); err.Reason != tokencache.TimedOut {
		t.Errorf("Fetch() = %v, want TimedOut", err)
	}
}

func TestCancelledMintIsNoTimeout(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := failing(t, ctx, e); err.Reason != tokencache.Unavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch() = %v, want Unavailable", err)
	}
}

func TestConnectionRefused(t *testing.T) {
	found := failing(t, t.Context(), endpointAt(t, "http://"+wiretest.Nobody(t), &http.Transport{}))
	if found.Reason != tokencache.Unavailable || found.Status != 0 || !strings.Contains(found.Error(), "refused") {
		t.Errorf("Fetch() = %v, want Unavailable, and why", found)
	}
}

// body counts how often it was closed, and does not end.
type body struct{ closed atomic.Int64 }

func (b *body) Read(p []byte) (int, error) { return copy(p, "    "), nil }
func (b *body) Close() error               { b.closed.Add(1); return nil }

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBodyIsClosedOnEveryPath(t *testing.T) {
	for _, status := range []int{200, 204, 302, 400, 429, 500, 101} {
		for _, encoding := range []string{"", "gzip"} {
			answer := new(body)
			e := endpointAt(t, "https://api.test", transportFunc(func(r *http.Request) (*http.Response, error) {
				if r.GetBody != nil {
					t.Error("GetBody is set: a transport may send the mint twice")
				}
				return &http.Response{StatusCode: status, Header: http.Header{"Content-Encoding": {encoding}}, Body: answer}, nil
			}))
			_ = failing(t, t.Context(), e)
			if answer.closed.Load() == 0 {
				t.Errorf("status %d, encoding %q: body is not closed", status, encoding)
			}
		}
	}
}

// The secret is asked for at every mint: a rotation needs no restart.
type rotating struct{ n atomic.Int64 }

func (r *rotating) Pair() (id, text secret.String) {
	return secret.New(canaryID), secret.New(strings.Repeat("x", int(r.n.Add(1))))
}

func TestCredentialsAreAskedAtEveryMint(t *testing.T) {
	var lengths []int64
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		lengths = append(lengths, r.ContentLength)
		_, _ = io.WriteString(w, good)
	})
	e.Credentials = new(rotating)
	for range 3 {
		if _, err := e.Fetch(t.Context(), partner); err != nil {
			t.Fatal(err)
		}
	}
	if len(lengths) != 3 || lengths[1] != lengths[0]+1 || lengths[2] != lengths[0]+2 {
		t.Errorf("lengths of the requests %v, want each one longer", lengths)
	}
}
