package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

type panickingTokens struct{ value any }

func (p panickingTokens) Token(context.Context, tokencache.Grant) (secret.String, error) {
	panic(p.value)
}
func (panickingTokens) Invalidate(tokencache.Grant, secret.String) {}

// tripFunc makes a RoundTripper of a function.
type tripFunc func(*http.Request) (*http.Response, error)

func (f tripFunc) RoundTrip(out *http.Request) (*http.Response, error) { return f(out) }

type customError struct{ text string }

func (e *customError) Error() string { return e.text }

func TestPanicIs500OnceAndItsValueIsNeverSeen(t *testing.T) {
	const canary = "canary-panic-value"
	for i, value := range []any{canary, errors.New(canary), &customError{canary}, fmt.Errorf("x: %w", errors.New(canary)), struct{ Token string }{canary}, []byte(canary), map[string]string{canary: canary}, 42, error(nil)} {
		for _, where := range []string{"tokens", "upstream"} {
			outcome := NotSent
			r := newRig(t, wiretest.Listen(t, nil, wiretest.Answering(okEmpty)).URL, func(c *Config, _ *upstream.Transport) {
				if where == "tokens" {
					c.Tokens = panickingTokens{value}
					return
				}
				outcome = Unknown
				c.Upstream = tripFunc(func(*http.Request) (*http.Response, error) { panic(value) })
			})
			response, body := r.do("POST", "/v1/x?q=canary-query", "canary-body", "X-Request-Id", "id-1", "X-H", "canary-header")
			checkOurs(t, response, body, &problemInternal, outcome, "id-1")
			if record := r.record(); record.Status != 500 || record.ErrorType != "proxy_internal_error" {
				t.Errorf("%d: record = %+v", i, record)
			}
			log := r.log.String()
			if strings.Contains(log+body, "canary") {
				t.Errorf("%d %s: a canary is out: %s", i, where, log)
			}
			if !strings.Contains(log, `"message":"panic in the handler"`) || strings.Count(log, `"message":"request"`) != 1 {
				t.Errorf("%d %s: log = %s", i, where, log)
			}
			if response, _ := r.do("GET", "/v1//x", ""); response.StatusCode != 400 {
				t.Errorf("afterwards: %d", response.StatusCode)
			}
			if got := r.handler.InFlight(); got != 0 {
				t.Errorf("InFlight = %d", got)
			}
		}
	}
}

// brokenBody panics when it is read.
type brokenBody struct{ value any }

func (b brokenBody) Read([]byte) (int, error) { panic(b.value) }
func (b brokenBody) Close() error             { return nil }

// Once the head is out, only the end of the connection can say that something
// went wrong.
func TestPanicInTheMiddleOfAnAnswerCutsIt(t *testing.T) {
	r := newRig(t, wiretest.Listen(t, nil, wiretest.Answering(okEmpty)).URL, func(c *Config, _ *upstream.Transport) {
		c.Upstream = tripFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: brokenBody{"canary"}}, nil
		})
	})
	a := r.dial()
	a.Say(get("/v1/x"))
	if _, body, err := a.Response("GET"); err == nil {
		t.Errorf("a clean answer %q", body)
	}
	if _ = r.record(); strings.Contains(r.log.String(), "canary") || strings.Count(r.log.String(), `"message":"request"`) != 1 {
		t.Errorf("log = %s", r.log)
	}
}

func TestAbortIsPassedOnAndIsNoFault(t *testing.T) {
	for _, value := range []any{http.ErrAbortHandler, fmt.Errorf("wrapped: %w", http.ErrAbortHandler)} {
		r := newRig(t, wiretest.Listen(t, nil, wiretest.Answering(okEmpty)).URL, func(c *Config, _ *upstream.Transport) { c.Tokens = panickingTokens{value} })
		a := r.dial()
		a.Say(get("/v1/x"))
		if response, body, err := a.Response("GET"); err == nil {
			t.Errorf("a clean answer %d %q", response.StatusCode, body)
		}
		if _ = r.record(); strings.Contains(r.log.String(), "panic") || strings.Count(r.log.String(), `"message":"request"`) != 1 {
			t.Errorf("log = %s", r.log)
		}
	}
}

func TestNewPanicsWithoutWhatItNeeds(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	for _, config := range []Config{{}, {Origin: o.URL, Tokens: &tokenBook{}}, {Origin: o.URL, Upstream: http.DefaultTransport}, {Tokens: &tokenBook{}, Upstream: http.DefaultTransport}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%+v) does not panic", config)
				}
			}()
			New(config)
		}()
	}
}
