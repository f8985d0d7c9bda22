package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// An app may close its sending side and still wait for the answer. It must
// never be told 200 when the proxy gave the request up.
func TestHalfClosedAppIsNeverToldSuccess(t *testing.T) {
	arrived := make(chan struct{})
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, _, err := p.Request(); err == nil {
			close(arrived)
			p.UntilCut()
		}
	})
	r := newRig(t, o.URL)
	a := r.dial()
	a.Say(post("/v1/payables", `{"a":1}`))
	<-arrived
	_ = a.Conn.(*net.TCPConn).CloseWrite()
	if response, body, err := a.Response("POST"); err == nil {
		t.Fatalf("answer = %d %q, want none", response.StatusCode, body)
	}
	if record := r.record(); record.Status != statusClientGone || record.Outcome != Unknown {
		t.Errorf("record = %d %s, want %d %s", record.Status, record.Outcome, statusClientGone, Unknown)
	}
}

// The app's body was good; it is upstream that broke.
func TestUpstreamThatBreaksAfterAStreamedBodyIsToBlame(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) { _, _, _ = p.Request() })
	r := newRig(t, o.URL)
	response, body := r.gets(head("POST", "/v1/payables", "Transfer-Encoding: chunked")+"\r\n3\r\nabc\r\n0\r\n\r\n", http.StatusBadGateway)
	if !strings.Contains(body, "proxy_upstream_broken") || response.Header.Get("X-Monite-Proxy-Outcome") != string(Unknown) {
		t.Errorf("answer = %s %s, want proxy_upstream_broken, unknown", response.Header.Get("X-Monite-Proxy-Outcome"), body)
	}
}

// An app that gets an early answer and stays silent must not keep a goroutine
// and a connection.
func TestEarlyAnswerEndsTheConnectionOfAStalledUpload(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		o := wiretest.Listen(t, nil, wiretest.Early(answer(422, "text/plain", "no")))
		r := newRig(t, o.URL, streaming)
		a := r.dial()
		_ = a.SetDeadline(time.Now().Add(readOnIdle + 2*time.Second))
		if i%2 == 0 {
			a.Say(head("POST", "/v1/payables", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n")
		} else {
			a.Say(head("POST", "/v1/payables", "Content-Length: 100000") + "\r\n" + strings.Repeat("x", 70_000))
		}
		if response, _ := a.WantStatus("POST", 422); !response.Close {
			t.Error("the answer does not say that the connection ends")
		}
		a.Closed()
	}
}

// The parser of trailers quotes what it cannot parse.
func TestBrokenTrailerIsNotQuotedInTheLog(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) { _, _, _ = p.Request() })
	r := newRig(t, o.URL)
	broken := "3\r\nabc\r\n0\r\ncanary-bearer-text\r\n\r\n"
	_, body := r.gets(head("POST", "/v1/payables", "Transfer-Encoding: chunked")+"\r\n"+broken, http.StatusBadRequest)
	_ = r.record()
	if strings.Contains(r.log.String()+body, "canary") {
		t.Errorf("the log quotes the app: %s", r.log)
	}
}

// The head of a streamed answer is news of its own.
func TestHeadReachesTheAppBeforeTheFirstByteOfTheBody(t *testing.T) {
	seen := make(chan struct{})
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, _, err := p.Request(); err != nil {
			return
		}
		p.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		<-seen
		p.Say("2\r\nhi\r\n0\r\n\r\n")
	})
	r := newRig(t, o.URL)
	a := r.dial()
	_ = a.SetDeadline(time.Now().Add(2 * time.Second))
	a.Say(get("/v1/payables"))
	response, err := http.ReadResponse(a.Reader, nil)
	close(seen)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); string(body) != "hi" || err != nil {
		t.Errorf("body = %q, %v", body, err)
	}
}

// After an answer of ours to half an upload the connection is of no use; the
// app must be told.
func TestOwnAnswerToAnUnfinishedUploadEndsTheConnection(t *testing.T) {
	t.Parallel()
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, err := p.Head(); err == nil {
			p.Cut(true)
		}
	})
	r := newRig(t, o.URL, streaming)
	a := r.dial()
	a.Say(head("POST", "/v1/payables", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n")
	if response, _ := a.WantStatus("POST", http.StatusBadGateway); !response.Close {
		t.Error("the answer does not say that the connection ends")
	}
	a.Closed()
}

// To an HTTP/1.0 app an answer of unknown length ends with its connection: a
// plain end would make a part look like the whole.
func TestCutAnswerIsAResetToAnHTTP10App(t *testing.T) {
	for name, framing := range map[string]string{"chunked": "Transfer-Encoding: chunked\r\n\r\n6\r\n[1,2,3\r\n",
		"length": "Content-Length: 99\r\n\r\n[1,2,3"} {
		t.Run(name, func(t *testing.T) {
			o := wiretest.Listen(t, nil, wiretest.Ending("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"+framing))
			if _, body, err := newRig(t, o.URL).say("GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n"); err == nil {
				t.Errorf("the app takes %q for the whole answer", body)
			}
		})
	}
}

func TestWholeAnswerReachesAnHTTP10App(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n[1,2,3\r\n1\r\n]\r\n0\r\n\r\n"))
	if _, body, err := newRig(t, o.URL).say("GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n"); err != nil || body != "[1,2,3]" {
		t.Errorf("answer = %q, %v", body, err)
	}
}

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
	for i, value := range []any{canary, errors.New(canary), &customError{canary}, fmt.Errorf("x: %w", errors.New(canary)),
		struct{ Token string }{canary}, []byte(canary), map[string]string{canary: canary}, 42, error(nil)} {
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
	if _, body, err := r.say(get("/v1/x")); err == nil {
		t.Errorf("a clean answer %q", body)
	}
	if _ = r.record(); strings.Contains(r.log.String(), "canary") || strings.Count(r.log.String(), `"message":"request"`) != 1 {
		t.Errorf("log = %s", r.log)
	}
}

func TestAbortIsPassedOnAndIsNoFault(t *testing.T) {
	for _, value := range []any{http.ErrAbortHandler, fmt.Errorf("wrapped: %w", http.ErrAbortHandler)} {
		r := newRig(t, wiretest.Listen(t, nil, wiretest.Answering(okEmpty)).URL,
			func(c *Config, _ *upstream.Transport) { c.Tokens = panickingTokens{value} })
		if response, body, err := r.say(get("/v1/x")); err == nil {
			t.Errorf("a clean answer %d %q", response.StatusCode, body)
		}
		if _ = r.record(); strings.Contains(r.log.String(), "panic") || strings.Count(r.log.String(), `"message":"request"`) != 1 {
			t.Errorf("log = %s", r.log)
		}
	}
}

func TestNewPanicsWithoutWhatItNeeds(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	for _, config := range []Config{{}, {Origin: o.URL, Tokens: &tokenBook{}}, {Origin: o.URL, Upstream: http.DefaultTransport},
		{Tokens: &tokenBook{}, Upstream: http.DefaultTransport}} {
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
