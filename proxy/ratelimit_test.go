package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func monite(status int, fields ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return r
}

func TestRequestsArePacedAndRefusedAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(20, nil)
		began := time.Now()
		var refused, last atomic.Int64 // last in nanoseconds after began
		for range 60 {                 // at once: two go, twenty wait up to a second, the others are refused
			go func() {
				err := p.wait(t.Context())
				if failed, ok := errors.AsType[*failed](err); ok {
					refused.Add(1)
					if failed.problem != &problemRateLimited || failed.outcome != NotSent || failed.retryAfter <= time.Second {
						t.Errorf("refused with %+v", failed)
					}
					return
				}
				last.Store(int64(time.Since(began)))
			}()
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		if refused.Load() != 38 || last.Load() != int64(time.Second) {
			t.Errorf("%d of 60 are refused, the last goes after %v, want 38 and 1s", refused.Load(), time.Duration(last.Load()))
		}
	})
}

func TestNoLimitIsNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(0, nil)
		var told time.Duration
		p.onLimited = func(d time.Duration) { told = d }
		p.heard(monite(429, "Retry-After", "30", "RateLimit-Remaining", "0"))
		if told != 30*time.Second {
			t.Errorf("told that Monite wants nothing for %v, want 30s", told)
		}
		for range 1000 {
			wiretest.Must(t, p.wait(t.Context()))
		}
		if left := p.remaining.Load(); left != 0 {
			t.Errorf("%d left, want what Monite said", left)
		}
		if n := testing.AllocsPerRun(100, func() { _ = p.wait(t.Context()) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func TestMonitesCountSlowsDown(t *testing.T) {
	tests := []struct {
		name   string
		said   *http.Response
		second time.Duration // pause before the next request
		// limited is the time for which Monite wants nothing
		limited time.Duration
	}{
		{"plenty is left", monite(200, "RateLimit-Remaining", "29", "RateLimit-Reset", "1"), 50 * time.Millisecond, 0},
		{"five are left for a second", monite(200, "RateLimit-Remaining", "5", "RateLimit-Reset", "1"), 200 * time.Millisecond, 0},
		{"none is left", monite(200, "RateLimit-Remaining", "0", "RateLimit-Reset", "1"), time.Second, time.Second},
		{"429", monite(429, "Retry-After", "1"), time.Second, time.Second},
		{"429 that says nothing", monite(429), time.Second, time.Second},
		{"nonsense", monite(200, "RateLimit-Remaining", "-1", "RateLimit-Reset", "x"), 50 * time.Millisecond, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPacer(20, nil)
				for range 2 { // the burst
					wiretest.Must(t, p.wait(t.Context()))
				}
				var told time.Duration
				p.onLimited = func(d time.Duration) { told = d }
				p.heard(tc.said)
				if told != tc.limited {
					t.Errorf("told that Monite wants nothing for %v, want %v", told, tc.limited)
				}
				began := time.Now()
				_ = p.wait(t.Context())
				if took := time.Since(began); took < tc.second-time.Millisecond || took > tc.second+time.Millisecond {
					t.Errorf("the next waited %v, want %v", took, tc.second)
				}
				// It is forgotten when the window is over.
				time.Sleep(2 * time.Second)
				began = time.Now()
				for range 11 {
					_ = p.wait(t.Context())
				}
				if took := time.Since(began); took < 440*time.Millisecond || took > 460*time.Millisecond {
					t.Errorf("11 in the next window took %v, want 450ms", took)
				}
			})
		})
	}
}

func TestSharedPaceThatFailsLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said, err := 700*time.Millisecond, error(nil)
		p := newPacer(1000, func(context.Context) (time.Duration, error) { return said, err })
		began := time.Now()
		if err := p.wait(t.Context()); err != nil || time.Since(began) != said {
			t.Errorf("%v after %v, want the others' pause", err, time.Since(began))
		}
		said = 2 * time.Second
		if err := p.wait(t.Context()); err == nil {
			t.Error("it is sent although all replicas together may not")
		}
		err = errors.New("down")
		began = time.Now()
		if err := p.wait(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("%v after %v, want it to go at once", err, time.Since(began))
		}
	})
}
