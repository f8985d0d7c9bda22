package proxy

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Upstream reads the whole request and cuts; the second attempt finds nobody.
// That the second was not sent is no news of the first.
func TestRetryThatIsNotSentLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD"} {
		t.Run(method, func(t *testing.T) {
			o := listen(t, func(p *peer) { _, _, _ = p.request() })
			var dials atomic.Int64
			r := newRig(t, o.url, func(_ *Config, tr *upstream.Transport) {
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
			if dials.Load() != 2 || o.requests.Load() != 1 {
				t.Errorf("dials = %d, requests = %d", dials.Load(), o.requests.Load())
			}
		})
	}
}

// The first attempt may have been executed, the second is refused for its token, and
// there is no other token: nothing says "rejected".
func TestRetryThatIsRejectedPassesAsUpstreamSaidIt(t *testing.T) {
	t.Parallel()
	o := listen(t, func(p *peer) {
		if _, _, err := p.request(); err == nil && p.o.requests.Load() > 1 {
			p.say(answer(401, "application/json", `{"error":{}}`))
		}
	})
	r := newRig(t, o.url)
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
	if o.requests.Load() != 2 {
		t.Errorf("requests = %d, want 2", o.requests.Load())
	}
}

// Broken, retried, refused, replayed, broken: a GET reaches upstream three
// times at the most, because a request has one retry, its replay included.
func TestReplayIsNotRetriedAfterARetry(t *testing.T) {
	t.Parallel()
	o := listen(t, func(p *peer) {
		for {
			if _, _, err := p.request(); err != nil || p.o.requests.Load() != 2 {
				return
			}
			p.say(answer(401, "application/json", `{"error":{}}`))
		}
	})
	r := newRig(t, o.url)
	response, body := r.do("GET", "/v1/x", "")
	checkOurs(t, response, body, &problemUpstreamBroken, Unknown, "")
	if got := o.requests.Load(); got != 3 {
		t.Errorf("requests = %d, want 3", got)
	}
}
