package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

var spanOrigin = &url.URL{Scheme: "http", Host: "upstream.invalid"}

// diary is a Tracer that writes down what it is told.
type diary struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) Begin(s SpanStart) Span {
	d.note("begin %s parent %q", s.Method, s.Traceparent)
	return d
}

func (d *diary) IDs() (trace, span string, sampled bool) { return "the-trace", "the-span", true }
func (d *diary) Waited(_, _ time.Time, failed bool)      { d.note("waited, failed %v", failed) }
func (d *diary) End(r *Record)                           { d.note("end %d %q", r.Status, r.ErrorName()) }
func (d *diary) Attempt(method string, n int) AttemptSpan {
	d.note("attempt %s %d", method, n)
	return diaryAttempt{d, n}
}

type diaryAttempt struct {
	*diary
	n int
}

func (a diaryAttempt) Context() (traceparent, tracestate string) {
	return fmt.Sprint("ours-", a.n), ""
}

func (a diaryAttempt) End(status int, errorType string) {
	a.note("attempt ended %d %q", status, errorType)
}

// slow is a TokenSource that takes its time.
type slow struct{ TokenSource }

func (s slow) Token(ctx context.Context, grant tokencache.Grant) (secret.String, error) {
	time.Sleep(2 * minWait)
	return s.TokenSource.Token(ctx, grant)
}

func TestTraceTellsOfWaitsAndAttempts(t *testing.T) {
	for name, tc := range map[string]struct {
		slow bool
		want string
	}{
		"a token that is there": {false,
			`begin POST parent ["app"]; attempt POST 0; attempt ended 401 ""; attempt POST 1; attempt ended 200 ""; end 200 ""`},
		"a token to wait for": {true,
			`begin POST parent ["app"]; waited, failed false; attempt POST 0; attempt ended 401 ""; ` +
				`waited, failed false; attempt POST 1; attempt ended 200 ""; end 200 ""`},
	} {
		var sent []string
		d := &diary{}
		next := tripFunc(func(out *http.Request) (*http.Response, error) {
			sent = append(sent, fmt.Sprint(out.Header["Traceparent"], out.Header["Tracestate"]))
			status := http.StatusOK
			if len(sent) == 1 {
				status = http.StatusUnauthorized
			}
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, ContentLength: 0}, nil
		})
		r := newRig(t, spanOrigin, func(c *Config, _ *upstream.Transport) {
			c.Tracer, c.Upstream = d, next
			if tc.slow {
				c.Tokens = slow{c.Tokens}
			}
		})
		r.do("POST", "/v1/payables", "{}", "Traceparent", "app", "Tracestate", "theirs")
		if record := r.record(); record.TraceID != "the-trace" || !record.Sampled {
			t.Errorf("%s: record %+v", name, record)
		}
		if got := strings.Join(d.lines, "; "); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
		if got := strings.Join(sent, " "); got != "[ours-0] [] [ours-1] []" {
			t.Errorf("%s: upstream got %s", name, got)
		}
		if !strings.Contains(r.log.String(), `"trace_id":"the-trace","span_id":"the-span"`) {
			t.Errorf("%s: the line names no span", name)
		}
	}
}

func TestRefusedHeadHasASpan(t *testing.T) {
	d := &diary{}
	r := newRig(t, spanOrigin, func(c *Config, _ *upstream.Transport) { c.Tracer = d })
	r.do("GET", "/v1//x", "")
	r.record()
	if got := strings.Join(d.lines, "; "); !strings.Contains(got, `end 400 "proxy_bad_request_target"`) {
		t.Errorf("told: %s", got)
	}
}
