package proxy

import (
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// keeper is an upstream that accepts tokens by their number, and remembers what
// it was sent.
type keeper struct {
	*wiretest.Origin
	mu     sync.Mutex // guards seen
	seen   []string   // "token body"
	refuse func(token string) string
}

func newKeeper(t testing.TB, refuse func(token string) string) *keeper {
	k := &keeper{refuse: refuse}
	k.Origin = wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, body string) string {
		token := strings.TrimPrefix(strings.Join(in.Header["Authorization"], "|"), "Bearer ")
		k.mu.Lock()
		k.seen = append(k.seen, strings.TrimSpace(token+" "+body))
		k.mu.Unlock()
		return cmp.Or(k.refuse(token), answer(200, "a/b", "done"))
	}))
	return k
}

func (k *keeper) requests() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.seen)
}

const firstToken, secondToken = "tok-client_credentials--1", "tok-client_credentials--2"

func refusing(says string, tokens ...string) func(string) string {
	return func(token string) string {
		if slices.Contains(tokens, token) {
			return says
		}
		return ""
	}
}

var refusals = map[string]string{
	"401": answer(401, "application/json", `{"error":{"message":"no"}}`), "400": answer(400, "application/json", expiredText),
	"403":           answer(403, "application/json", expiredText),
	"401 chunked":   "HTTP/1.1 401 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"401 and close": "HTTP/1.1 401 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
}

func TestReplayOnceAfterARefusedToken(t *testing.T) {
	t.Parallel()
	for name, says := range refusals {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			for _, body := range []string{"", "{}", strings.Repeat("x", 64<<10)} {
				if body != "" && method == "GET" {
					continue
				}
				t.Run(fmt.Sprintf("%s %s %d", name, method, len(body)), func(t *testing.T) {
					k := newKeeper(t, refusing(says, firstToken))
					r := newRig(t, k.URL)
					response, text := r.do(method, "/v1/x", body)
					if response.StatusCode != 200 || text != "done" {
						t.Errorf("answer = %d %q", response.StatusCode, text)
					}
					want := []string{strings.TrimSpace(firstToken + " " + body), strings.TrimSpace(secondToken + " " + body)}
					if got := k.requests(); !slices.Equal(got, want) {
						t.Errorf("upstream saw %.200q, want %.200q", got, want)
					}
					if asked, minted, invalidated := r.tokens.counts(); asked != 2 || minted != 2 || invalidated != 1 {
						t.Errorf("asked %d, minted %d, invalidated %d", asked, minted, invalidated)
					}
					if record := r.record(); record.Replay == "" || record.Status != 200 || record.Retried {
						t.Errorf("record = %+v", record)
					}
				})
			}
		}
	}
}

// A second refusal passes; and so does the first one of a token that is not minted
// again because it is young.
func TestRefusalPassesWhereNoOtherTokenHelps(t *testing.T) {
	for name, says := range refusals {
		for _, young := range []bool{false, true} {
			k := newKeeper(t, func(string) string { return says })
			r := newRig(t, k.URL)
			r.tokens.young = young
			if response, body := r.do("POST", "/v1/x", "{}"); fmt.Sprint(response.StatusCode) != name[:3] || !strings.Contains(says, body) ||
				response.Header.Get("Proxy-Status") != "" {
				t.Errorf("%s: answer = %d %q", name, response.StatusCode, body)
			}
			want := map[bool]int{false: 2, true: 1}[young]
			if _, minted, _ := r.tokens.counts(); len(k.requests()) != want || minted != want || (r.record().Replay == "") != young {
				t.Errorf("%s, young %t: %d requests, %d minted, want %d", name, young, len(k.requests()), minted, want)
			}
		}
	}
}

func TestPlainRefusalIsNotReplayed(t *testing.T) {
	for _, says := range []string{
		answer(400, "application/json", `{"error":{"message":"bad"}}`), answer(403, "application/json", `{"error":{"message":"no"}}`),
		answer(400, "text/plain", expiredText), answer(404, "application/json", expiredText),
		answer(500, "application/json", expiredText), answer(429, "application/json", expiredText), answer(409, "application/json", expiredText),
	} {
		k := newKeeper(t, func(string) string { return says })
		r := newRig(t, k.URL)
		if _, body := r.do("POST", "/v1/x", "{}"); !strings.HasSuffix(says, body) {
			t.Errorf("body = %q, want the end of %q", body, says)
		}
		if _, minted, invalidated := r.tokens.counts(); len(k.requests()) != 1 || minted != 1 || invalidated != 0 {
			t.Errorf("%q: %d requests, %d minted, %d invalidated", says, len(k.requests()), minted, invalidated)
		}
	}
}

// An error may be a gateway's, which has not looked at the token.
func TestTokenCountsAsAcceptedWithARequestThatSucceeded(t *testing.T) {
	for _, tt := range []struct {
		says string
		want int
	}{
		{answer(200, "a/b", "done"), 1},
		{answer(201, "a/b", "done"), 1},
		{answer(400, "a/b", "bad"), 0},
		{answer(404, "a/b", "none"), 0},
		{answer(502, "a/b", "gateway"), 0},
		{answer(401, "a/b", "no"), 0},
	} {
		var accepted []time.Time
		k := newKeeper(t, func(string) string { return tt.says })
		began := time.Now()
		r := newRig(t, k.URL, func(c *Config, _ *upstream.Transport) {
			c.OnAccepted = func(_ tokencache.Grant, sent time.Time) { accepted = append(accepted, sent) }
		})
		r.do("GET", "/v1/x", "")
		if len(accepted) != tt.want {
			t.Errorf("%.20q: accepted %d times, want %d", tt.says, len(accepted), tt.want)
		}
		if len(accepted) > 0 && (accepted[0].Before(began) || accepted[0].After(time.Now())) {
			t.Errorf("accepted at %v, want after %v", accepted[0], began)
		}
	}
}

// A streamed body cannot be sent again; but the next request has a new token.
func TestStreamedBodyIsNotReplayed(t *testing.T) {
	k := newKeeper(t, refusing(refusals["401"], firstToken))
	r := newRig(t, k.URL, func(c *Config, _ *upstream.Transport) { c.ReplayBodyBytes = 10 })
	a := r.dial()
	a.Say(head("POST", "/v1/x", "Transfer-Encoding: chunked") + "\r\nb\r\nabcabcabcab\r\n0\r\n\r\n")
	if _, body := a.WantStatus("POST", 401); !strings.Contains(body, "no") {
		t.Errorf("body = %q", body)
	}
	if _, minted, invalidated := r.tokens.counts(); minted != 1 || invalidated != 1 {
		t.Errorf("minted %d, invalidated %d", minted, invalidated)
	}
	a.Say(post("/v1/x", strings.Repeat("x", 11)))
	a.WantStatus("POST", 200)
	if got, want := k.requests(), []string{firstToken + " abcabcabcab", secondToken + " xxxxxxxxxxx"}; !slices.Equal(got, want) {
		t.Errorf("upstream saw %q, want %q", got, want)
	}
}

// Trouble with the first token is said; with the second one upstream's own response
// passes (tokenwords_test.go).
func TestTokenTroubleIsSaid(t *testing.T) {
	for _, c := range []struct {
		err  error
		want *problem
	}{
		{&tokencache.Error{GrantType: tokencache.ClientCredentials, Reason: tokencache.Rejected}, &problemTokenRejected},
		{&tokencache.Error{GrantType: tokencache.EntityUser, Reason: tokencache.Rejected}, &problemUserTokenRejected},
		{&tokencache.Error{Reason: tokencache.Unavailable, RetryAfter: 1}, &problemTokenUnavailable}, {tokencache.ErrClosed, &problemDraining},
		{errors.New("canary"), &problemInternal},
	} {
		k := newKeeper(t, refusing(refusals["401"], firstToken))
		r := newRig(t, k.URL)
		r.tokens.fail = func(int) error { return c.err }
		response, body := r.do("POST", "/v1/x", "{}")
		checkOurs(t, response, body, c.want, NotSent, "")
		if got := len(k.requests()); got != 0 {
			t.Errorf("%d requests", got)
		}
	}
}

// The second attempt breaks: upstream may have acted on it.
func TestBrokenReplayIsUnknown(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, _, err := p.Request(); err != nil {
			return
		}
		p.Say(refusals["401"])
		_, _, _ = p.Request()
	})
	r := newRig(t, o.URL)
	response, body := r.do("POST", "/v1/x", "{}")
	checkOurs(t, response, body, &problemUpstreamBroken, Unknown, "")
	if o.Complete.Load() != 2 {
		t.Errorf("%d requests", o.Complete.Load())
	}
}

// A user whose token is refused, by upstream or by the token endpoint, never
// acts as the partner.
func TestEntityUserNeverFallsBackToThePartner(t *testing.T) {
	for name, change := range map[string]func(*tokenBook){
		"401 for ever": func(*tokenBook) {},
		"no token": func(b *tokenBook) {
			b.fail = func(int) error {
				return &tokencache.Error{GrantType: tokencache.EntityUser, Reason: tokencache.Rejected}
			}
		},
		"no second token": func(b *tokenBook) {
			b.fail = func(call int) error {
				if call == 2 {
					return &tokencache.Error{GrantType: tokencache.EntityUser, Reason: tokencache.Rejected}
				}
				return nil
			}
		},
	} {
		k := newKeeper(t, func(string) string { return refusals["401"] })
		r := newRig(t, k.URL)
		change(r.tokens)
		for _, method := range []string{"GET", "POST"} {
			r.do(method, "/v1/x", "", identity.HeaderUser, userA)
		}
		for _, grant := range r.tokens.asked {
			if grant != asUserA {
				t.Errorf("%s: asked for %v", name, grant)
			}
		}
		for _, token := range k.requests() {
			if !strings.HasPrefix(token, "tok-entity_user-"+userA) {
				t.Errorf("%s: sent %s", name, token)
			}
		}
	}
}

// countingTrip counts the bodies of answers that were given and closed.
type countingTrip struct {
	http.RoundTripper
	mu            sync.Mutex // guards below
	given, closed int
}

func (c *countingTrip) RoundTrip(out *http.Request) (*http.Response, error) {
	response, err := c.RoundTripper.RoundTrip(out)
	if err == nil {
		c.mu.Lock()
		c.given++
		c.mu.Unlock()
		response.Body = &closeOnce{response.Body, c, false}
	}
	return response, err
}

type closeOnce struct {
	io.ReadCloser
	c      *countingTrip
	closed bool
}

func (b *closeOnce) Close() error {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.c.closed++
	}
	return b.ReadCloser.Close()
}

func TestBodiesOfAnswersAreClosedOnEveryPath(t *testing.T) {
	trouble := func(call int) error {
		if call == 2 {
			return tokencache.ErrClosed
		}
		return nil
	}
	for name, c := range map[string]struct {
		refuse func(string) string
		change func(*tokenBook)
		given  int
	}{
		"good":              {func(string) string { return "" }, func(*tokenBook) {}, 1},
		"replayed":          {refusing(refusals["401"], firstToken), func(*tokenBook) {}, 2},
		"replayed, dialect": {refusing(refusals["400"], firstToken), func(*tokenBook) {}, 2},
		"twice refused":     {func(string) string { return refusals["401"] }, func(*tokenBook) {}, 2},
		"young":             {func(string) string { return refusals["403"] }, func(b *tokenBook) { b.young = true }, 1},
		"token trouble":     {func(string) string { return refusals["401"] }, func(b *tokenBook) { b.fail = trouble }, 1},
		"plain 400":         {func(string) string { return answer(400, "application/json", "{}") }, func(*tokenBook) {}, 1},
		"cut":               {func(string) string { return "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nabc" }, func(*tokenBook) {}, 1},
		"cut refusal": {func(string) string {
			return "HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\nabc"
		}, func(*tokenBook) {}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(t, c.refuse)
			var counter *countingTrip
			r := newRig(t, k.URL, func(c *Config, tr *upstream.Transport) {
				counter = &countingTrip{RoundTripper: tr}
				c.Upstream = counter
				if strings.HasPrefix(name, "cut") {
					shortTimeouts(c, tr)
				}
			})
			c.change(r.tokens)
			_, _, _ = r.say(post("/v1/x", "{}"))
			_ = r.record()
			wiretest.Eventually(t, "every body closed", func() bool {
				counter.mu.Lock()
				defer counter.mu.Unlock()
				return counter.given == c.given && counter.closed == c.given
			})
		})
	}
}

// slowTokens gives a token at once, and another one a while after that was refused.
type slowTokens struct{ refused bool }

func (s *slowTokens) Token(context.Context, tokencache.Grant) (secret.String, error) {
	if !s.refused {
		return secret.New("first"), nil
	}
	time.Sleep(900 * time.Millisecond)
	return secret.New("second"), nil
}
func (s *slowTokens) Invalidate(tokencache.Grant, secret.String) { s.refused = true }

// Else a slow replay has nowhere to have been slow.
func TestTokenWaitHasTheWaitForTheTokenOfTheReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCall(&slowTokens{}, tripFunc(func(out *http.Request) (*http.Response, error) {
			status := http.StatusOK
			if strings.HasSuffix(out.Header.Get("Authorization"), "first") {
				status = http.StatusUnauthorized
			}
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}, nil
		}))
		record := &c.record
		out, _ := http.NewRequestWithContext(t.Context(), "GET", "http://upstream/v1/x", nil)
		response, err := c.send(out)
		if err != nil || response.StatusCode != 200 || record.Replay != "401" {
			t.Fatalf("replay: %v, %+v", err, record)
		}
		if record.TokenWait != 900*time.Millisecond {
			t.Errorf("token wait = %v, want 900ms", record.TokenWait)
		}
	})
}

// leavingTokens gives one token; its app leaves while the next one is minted.
type leavingTokens struct {
	leave func()
	asked int
}

func (l *leavingTokens) Token(ctx context.Context, _ tokencache.Grant) (secret.String, error) {
	if l.asked++; l.asked == 1 {
		return secret.New("first"), nil
	}
	l.leave()
	return secret.String{}, ctx.Err()
}
func (*leavingTokens) Invalidate(tokencache.Grant, secret.String) {}

// noticedBody knows that it was closed.
type noticedBody struct {
	io.Reader
	closed bool
}

func (n *noticedBody) Close() error { n.closed = true; return nil }

// Nobody is there for upstream's refusal, and upstream has not acted.
func TestAppThatLeavesWhileItsSecondTokenIsMinted(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	body := &noticedBody{Reader: strings.NewReader("no")}
	c := newTestCall(&leavingTokens{leave: leave}, tripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: body}, nil
	}))
	c.Context = ctx
	out, _ := http.NewRequestWithContext(ctx, "POST", "http://upstream/v1/x", nil)
	response, err := c.send(out)
	if response != nil || !errors.Is(err, context.Canceled) || !c.rejected || !body.closed {
		t.Errorf("send = %v, %v; rejected %t, body closed %t", response, err, c.rejected, body.closed)
	}
}

// newTestCall is a request without a server, an app and a policy, for the steps that
// send.
func newTestCall(tokens TokenSource, next http.RoundTripper) *call {
	h := &Handler{config: testConfig(), retry: newRetry(next)}
	h.config.Tokens = tokens
	in := &http.Request{Method: "GET", RequestURI: "/v1/x", Header: http.Header{}}
	return &call{Context: context.Background(), handler: h, log: &h.log, w: httptest.NewRecorder(), in: in, path: "/v1/x",
		identity: identity.Identity{Grant: partner}}
}

func testConfig() Config {
	return Config{Origin: &url.URL{Scheme: "https", Host: "api.monite.com"}, APIVersion: "2024-05-25"}
}

// The token endpoint is reached by an upstream.Transport too. How that broke
// says nothing of the app's request, which was never sent.
func TestBrokenTokenEndpointIsNoBrokenUpstream(t *testing.T) {
	t.Parallel()
	for _, broken := range []upstream.Error{
		{Op: upstream.OpRead, Outcome: upstream.Unknown, Err: syscall.ECONNRESET},
		{Op: upstream.OpRead, Outcome: upstream.Unknown, Timeout: true, Err: errors.New("slow")},
		{Op: upstream.OpConnLimit, Outcome: upstream.NotSent, Err: errors.New("busy")},
		{Op: upstream.OpDial, Outcome: upstream.NotSent, Err: syscall.ECONNREFUSED},
	} {
		noToken := &tokencache.Error{
			GrantType: tokencache.ClientCredentials, Reason: tokencache.Unavailable, RetryAfter: 2 * time.Second,
			Cause: &tokencache.FetchError{Reason: tokencache.Unavailable, Err: &broken},
		}
		f := new(call).classify(noToken)
		if f.problem != &problemTokenUnavailable || f.outcome != NotSent || f.retryAfter != 2*time.Second {
			t.Errorf("%v: %s, outcome %s, retry after %v", noToken, f.kind, f.outcome, f.retryAfter)
		}
	}
}

func packed(text string, pack func(io.Writer) io.WriteCloser) string {
	var buf bytes.Buffer
	w := pack(&buf)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return buf.String()
}

func gzipped(text string) string {
	return packed(text, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

const expiredText = `{"error":{"message":"The token has been expired."}}`

var rejectedRows = []struct {
	name        string
	status      int
	contentType string
	encoding    string
	body        string
	noLength    bool
	want        string
}{
	{name: "401", status: 401, body: "x", want: "401"}, {name: "401 without body", status: 401, want: "401"},
	{name: "401 HTML", status: 401, contentType: "text/html", body: "<p>", want: "401"},
	{name: "400 expired", status: 400, contentType: "application/json", body: expiredText, want: "expired"},
	{name: "403 expired", status: 403, contentType: "application/json", body: expiredText, want: "expired"},
	{name: "upper case", status: 400, contentType: "application/json",
		body: strings.ToUpper(`{"x":1}`)[:0] + `{"error":{"message":"TOKEN EXPIRED"}}`, want: "expired"},
	{name: "mixed case", status: 403, contentType: "application/json", body: `{"error":{"message":"Token Has Expired"}}`, want: "expired"},
	{name: "charset", status: 400, contentType: "application/json; charset=utf-8", body: expiredText, want: "expired"},
	{name: "problem+json", status: 400, contentType: "application/problem+json", body: expiredText, want: "expired"},
	{name: "no length", status: 400, contentType: "application/json", body: expiredText, noLength: true, want: "expired"},
	{name: "gzip", status: 400, contentType: "application/json", encoding: "gzip", body: gzipped(expiredText), want: "expired"},
	{name: "GZIP, no length", status: 403, contentType: "application/json", encoding: "GZIP", body: gzipped(expiredText), noLength: true,
		want: "expired"},
	{name: "x-gzip", status: 400, contentType: "application/json", encoding: "x-gzip", body: gzipped(expiredText), want: "expired"},
	{name: "identity", status: 400, contentType: "application/json", encoding: "identity", body: expiredText, want: "expired"},
	{name: "deflate", status: 400, contentType: "application/json", encoding: "deflate", want: "expired",
		body: packed(expiredText, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })},
	{name: "bare deflate", status: 400, contentType: "application/json", encoding: "Deflate", want: "expired",
		body: packed(expiredText, func(w io.Writer) io.WriteCloser { bare, _ := flate.NewWriter(w, 9); return bare })},
	{name: "plain 400", status: 400, contentType: "application/json", body: `{"error":{"message":"Bad Request"}}`},
	{name: "plain 403", status: 403, contentType: "application/json", body: `{"error":{"message":"Forbidden"}}`},
	{name: "404 expired", status: 404, contentType: "application/json", body: expiredText},
	{name: "409 expired", status: 409, contentType: "application/json", body: expiredText},
	{name: "422 expired", status: 422, contentType: "application/json", body: expiredText},
	{name: "200 expired", status: 200, contentType: "application/json", body: expiredText},
	{name: "500 expired", status: 500, contentType: "application/json", body: expiredText},
	{name: "not JSON by type", status: 400, contentType: "text/plain", body: expiredText}, {name: "no type", status: 400, body: expiredText},
	{name: "not JSON by text", status: 400, contentType: "application/json", body: "expired"},
	{name: "JSON cut", status: 400, contentType: "application/json", body: expiredText[:40]},
	{name: "elsewhere in the body", status: 400, contentType: "application/json",
		body: `{"error":{"message":"no","type":"expired"},"message":"expired"}`},
	{name: "message no string", status: 400, contentType: "application/json", body: `{"error":{"message":["expired"]}}`},
	{name: "error a string", status: 400, contentType: "application/json", body: `{"error":"expired"}`},
	{name: "array", status: 400, contentType: "application/json", body: `["expired"]`},
	{name: "empty", status: 400, contentType: "application/json"}, {name: "null", status: 400, contentType: "application/json", body: "null"},
	{name: "huge", status: 400, contentType: "application/json", body: expiredText + strings.Repeat(" ", maxPeek)},
	{name: "huge, no length", status: 400, contentType: "application/json", body: expiredText + strings.Repeat(" ", maxPeek), noLength: true},
	{name: "largest", status: 400, contentType: "application/json", body: expiredText + strings.Repeat(" ", maxPeek-len(expiredText)),
		want: "expired"}, {name: "largest, no length", status: 400, contentType: "application/json",
		body: expiredText + strings.Repeat(" ", maxPeek-len(expiredText)), noLength: true, want: "expired"},
	{name: "gzip bomb", status: 400, contentType: "application/json", encoding: "gzip",
		body: gzipped(strings.Repeat(" ", 10<<20) + expiredText)},
	{name: "gzip that is none", status: 400, contentType: "application/json", encoding: "gzip", body: expiredText},
	{name: "gzip cut", status: 400, contentType: "application/json", encoding: "gzip", body: gzipped(expiredText)[:30]},
	{name: "br", status: 400, contentType: "application/json", encoding: "br", body: "\x0b\x02\x80"},
}

// Whatever is found, the app gets the body whole, and it is closed once.
func TestRejectedKnowsARefusedToken(t *testing.T) {
	for _, c := range rejectedRows {
		closes := 0
		response := &http.Response{StatusCode: c.status, Header: http.Header{}, ContentLength: int64(len(c.body)),
			Body: &countingBody{Reader: iotest.OneByteReader(strings.NewReader(c.body)), closes: &closes}}
		if len(c.body) > 1000 {
			response.Body = &countingBody{Reader: strings.NewReader(c.body), closes: &closes}
		}
		if c.noLength {
			response.ContentLength = -1
		}
		if c.contentType != "" {
			response.Header.Set("Content-Type", c.contentType)
		}
		if c.encoding != "" {
			response.Header.Set("Content-Encoding", c.encoding)
		}
		if got := rejected(response); got != c.want {
			t.Errorf("%s: rejected = %q, want %q", c.name, got, c.want)
		}
		body, err := io.ReadAll(response.Body)
		if string(body) != c.body || err != nil {
			t.Errorf("%s: %d bytes are left, %v, want %d", c.name, len(body), err, len(c.body))
		}
		if _ = response.Body.Close(); closes != 1 {
			t.Errorf("%s: closed %d times", c.name, closes)
		}
	}
	t.Logf("%d rows", len(rejectedRows))
}

type countingBody struct {
	io.Reader
	closes *int
}

func (b *countingBody) Close() error { *b.closes++; return nil }

// A body that breaks while it is looked at breaks for the app too.
func TestRejectedPutsTheErrorBack(t *testing.T) {
	broken := errors.New("broken")
	response := &http.Response{StatusCode: 400, ContentLength: -1, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(io.MultiReader(strings.NewReader(expiredText), iotest.ErrReader(broken)))}
	if got := rejected(response); got != "" {
		t.Errorf("rejected = %q", got)
	}
	if body, err := io.ReadAll(response.Body); string(body) != expiredText || !errors.Is(err, broken) {
		t.Errorf("body = %q, %v", body, err)
	}
}

// What is looked into is unpacked up to a limit, whatever it would become.
func TestPackedBombIsUnpackedUpToALimit(t *testing.T) {
	var member, packed bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&member, gzip.BestSpeed)
	_, _ = zip.Write(make([]byte, 1<<20))
	_ = zip.Close()
	for packed.Len()+member.Len() <= maxPeek { // members follow each other, RFC 1952 section 2.2
		packed.Write(member.Bytes())
	}
	if packed.Len() > maxPeek {
		t.Fatalf("the bomb is %d bytes: too large to be looked into", packed.Len())
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 5 {
		response := &http.Response{
			StatusCode: 400, ContentLength: int64(packed.Len()), Body: io.NopCloser(bytes.NewReader(packed.Bytes())),
			Header: http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}},
		}
		if got := rejected(response); got != "" {
			t.Errorf("rejected = %q", got)
		}
		if body, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(body, packed.Bytes()) {
			t.Errorf("the answer came out as %d bytes, %v", len(body), err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 5; each > 2<<20 {
		t.Errorf("%d KiB for one answer of %d KiB", each>>10, packed.Len()>>10)
	}
}
