package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// keeper is an upstream that accepts tokens by their number, and remembers what
// it was sent.
type keeper struct {
	*origin
	mu     sync.Mutex // guards seen
	seen   []string   // "token body"
	refuse func(token string) string
}

func newKeeper(t testing.TB, refuse func(token string) string) *keeper {
	k := &keeper{refuse: refuse}
	k.origin = listen(t, func(p *peer) {
		for {
			in, body, err := p.request()
			if err != nil {
				return
			}
			token := strings.TrimPrefix(strings.Join(in.Header["Authorization"], "|"), "Bearer ")
			k.mu.Lock()
			k.seen = append(k.seen, strings.TrimSpace(token+" "+body))
			k.mu.Unlock()
			if says := k.refuse(token); says != "" {
				p.say(says)
			} else {
				p.say(answer(200, "a/b", "done"))
			}
		}
	})
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
	"401": answer(401, "application/json", `{"error":{"message":"no"}}`), "400": answer(400, "application/json", expiredText), "403": answer(403, "application/json", expiredText),
	"401 chunked": "HTTP/1.1 401 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "401 and close": "HTTP/1.1 401 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
}

func TestReplayOnceAfterARefusedToken(t *testing.T) {
	for name, says := range refusals {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			for _, body := range []string{"", "{}", strings.Repeat("x", 64<<10)} {
				if body != "" && method == "GET" {
					continue
				}
				t.Run(fmt.Sprintf("%s %s %d", name, method, len(body)), func(t *testing.T) {
					k := newKeeper(t, refusing(says, firstToken))
					r := newRig(t, k.url)
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

func TestSecondRefusalPasses(t *testing.T) {
	for name, says := range refusals {
		k := newKeeper(t, func(string) string { return says })
		r := newRig(t, k.url)
		if response, body := r.do("POST", "/v1/x", "{}"); fmt.Sprint(response.StatusCode) != name[:3] || !strings.Contains(says, body) || response.Header.Get("Proxy-Status") != "" {
			t.Errorf("%s: answer = %d %q", name, response.StatusCode, body)
		}
		if got := k.requests(); len(got) != 2 {
			t.Errorf("%s: %d requests, want 2", name, len(got))
		}
	}
}

func TestPlainRefusalIsNotReplayed(t *testing.T) {
	for _, says := range []string{
		answer(400, "application/json", `{"error":{"message":"bad"}}`), answer(403, "application/json", `{"error":{"message":"no"}}`), answer(400, "text/plain", expiredText), answer(404, "application/json", expiredText),
		answer(500, "application/json", expiredText), answer(429, "application/json", expiredText), answer(409, "application/json", expiredText),
	} {
		k := newKeeper(t, func(string) string { return says })
		r := newRig(t, k.url)
		if _, body := r.do("POST", "/v1/x", "{}"); !strings.HasSuffix(says, body) {
			t.Errorf("body = %q, want the end of %q", body, says)
		}
		if _, minted, invalidated := r.tokens.counts(); len(k.requests()) != 1 || minted != 1 || invalidated != 0 {
			t.Errorf("%q: %d requests, %d minted, %d invalidated", says, len(k.requests()), minted, invalidated)
		}
	}
}

// A streamed body cannot be sent again; but the next request has a new token.
func TestStreamedBodyIsNotReplayed(t *testing.T) {
	k := newKeeper(t, refusing(refusals["401"], firstToken))
	r := newRig(t, k.url, func(c *Config, _ *upstream.Transport) { c.ReplayBodyBytes = 10 })
	a := r.dial()
	a.say(head("POST", "/v1/x", "Transfer-Encoding: chunked") + "\r\nb\r\nabcabcabcab\r\n0\r\n\r\n")
	if _, body := a.want("POST", 401); !strings.Contains(body, "no") {
		t.Errorf("body = %q", body)
	}
	if _, minted, invalidated := r.tokens.counts(); minted != 1 || invalidated != 1 {
		t.Errorf("minted %d, invalidated %d", minted, invalidated)
	}
	a.say(post("/v1/x", strings.Repeat("x", 11)))
	a.want("POST", 200)
	if got, want := k.requests(), []string{firstToken + " abcabcabcab", secondToken + " xxxxxxxxxxx"}; !slices.Equal(got, want) {
		t.Errorf("upstream saw %q, want %q", got, want)
	}
}

// A token that is not minted again because it is young: the 401 is no news.
func TestRefusalOfAYoungTokenPasses(t *testing.T) {
	for name, says := range refusals {
		k := newKeeper(t, func(string) string { return says })
		r := newRig(t, k.url)
		r.tokens.young = true
		if response, body := r.do("POST", "/v1/x", "{}"); fmt.Sprint(response.StatusCode) != name[:3] || !strings.Contains(says, body) {
			t.Errorf("%s: answer = %d %q", name, response.StatusCode, body)
		}
		if _, minted, _ := r.tokens.counts(); len(k.requests()) != 1 || minted != 1 || r.record().Replay != "" {
			t.Errorf("%s: %d requests, %d minted", name, len(k.requests()), minted)
		}
	}
}

// Trouble with the first token is said; with the second one upstream's own response
// passes (tokenwords_test.go).
func TestTokenTroubleIsSaid(t *testing.T) {
	for _, c := range []struct {
		err  error
		want *problem
	}{
		{&tokencache.Error{GrantType: tokencache.ClientCredentials, Reason: tokencache.Rejected}, &problemTokenRejected}, {&tokencache.Error{GrantType: tokencache.EntityUser, Reason: tokencache.Rejected}, &problemUserTokenRejected},
		{&tokencache.Error{Reason: tokencache.Unavailable, RetryAfter: 1}, &problemTokenUnavailable}, {tokencache.ErrClosed, &problemDraining}, {errors.New("canary"), &problemInternal},
	} {
		k := newKeeper(t, refusing(refusals["401"], firstToken))
		r := newRig(t, k.url)
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
	o := listen(t, func(p *peer) {
		if _, _, err := p.request(); err != nil {
			return
		}
		p.say(refusals["401"])
		_, _, _ = p.request()
	})
	r := newRig(t, o.url)
	response, body := r.do("POST", "/v1/x", "{}")
	checkOurs(t, response, body, &problemUpstreamBroken, Unknown, "")
	if o.complete.Load() != 2 {
		t.Errorf("%d requests", o.complete.Load())
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
		r := newRig(t, k.url)
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
		"good": {func(string) string { return "" }, func(*tokenBook) {}, 1}, "replayed": {refusing(refusals["401"], firstToken), func(*tokenBook) {}, 2}, "replayed, dialect": {refusing(refusals["400"], firstToken), func(*tokenBook) {}, 2}, "twice refused": {func(string) string { return refusals["401"] }, func(*tokenBook) {}, 2},
		"young": {func(string) string { return refusals["403"] }, func(b *tokenBook) { b.young = true }, 1}, "token trouble": {func(string) string { return refusals["401"] }, func(b *tokenBook) { b.fail = trouble }, 1}, "plain 400": {func(string) string { return answer(400, "application/json", "{}") }, func(*tokenBook) {}, 1},
		"cut": {func(string) string { return "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nabc" }, func(*tokenBook) {}, 1}, "cut refusal": {func(string) string {
			return "HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\nabc"
		}, func(*tokenBook) {}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(t, c.refuse)
			var counter *countingTrip
			r := newRig(t, k.url, func(c *Config, tr *upstream.Transport) {
				counter = &countingTrip{RoundTripper: tr}
				c.Upstream = counter
				if strings.HasPrefix(name, "cut") {
					shortTimeouts(c, tr)
				}
			})
			c.change(r.tokens)
			a := r.dial()
			a.say(post("/v1/x", "{}"))
			_, _, _ = a.answer("POST")
			_ = r.record()
			eventually(t, "every body closed", func() bool {
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

// newTestCall is a request without a server, an app and a policy, for the steps that
// send.
func newTestCall(tokens TokenSource, next http.RoundTripper) *call {
	h := &Handler{config: testConfig(), retry: newRetry(next)}
	h.config.Tokens = tokens
	in := &http.Request{Method: "GET", RequestURI: "/v1/x", Header: http.Header{}}
	return &call{Context: context.Background(), handler: h, log: &h.log, w: httptest.NewRecorder(), in: in, path: "/v1/x", identity: identity.Identity{Grant: partner}}
}

func testConfig() Config {
	return Config{Origin: &url.URL{Scheme: "https", Host: "api.monite.com"}, APIVersion: "2024-05-25"}
}
