package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

var aboutTheToken = []string{
	"The token has been expired.", "The token has expired", "Token expired", "token is expired", "TOKEN HAS EXPIRED.", "Access token expired",
	"Your access token has expired. Please log in again.",
	"The access token expired at 2024-05-25T10:00:00Z", "Expired token", "Invalid or expired token", "expired_token", "token_expired",
	"JWT expired", "Signature has expired", "Signature has expired.",
	"Unauthorized: token expired", "Authentication failed: the bearer token has expired", "The provided token is expired",
	"Token has been expired or revoked.", "Token expired 5 minutes ago", "The token is invalid or expired",
	"Token has expired, please get a new one", "The authorization token has already expired.",
}

var aboutSomethingElse = []string{
	"", "expired", "The financing offer has expired.", "The payment link has expired", "The invitation token has expired",
	"The onboarding link token has expired.", "The token of the invitation has expired", "Your card has expired. Ask for a new token.",
	"Quote expired: token amount exceeded", "The payment token has expired", "Token for the payment link has expired",
	"The offer expired and the token is fine", "This token-based offer has expired", "The session for this offer expired", "unexpired token",
	"The token is wrong.",
	"Expired card token", "The expired offer has no token", "Token expired for this payment link", "The mandate token expired",
	"Validity period expired", "The quote has expired; its token is gone",
}

func TestOnlyWordsAboutTheTokenSayThatItHasExpired(t *testing.T) {
	for _, message := range aboutTheToken {
		if !saysTokenExpired(message) {
			t.Errorf("%q is about something else", message)
		}
	}
	for _, message := range aboutSomethingElse {
		if saysTokenExpired(message) {
			t.Errorf("%q is about the token", message)
		}
	}
}

// Upstream dealt with the write: it is sent once, and nobody mints.
func TestExpiryOfSomethingElsePassesOnce(t *testing.T) {
	t.Parallel()
	for _, message := range aboutSomethingElse {
		for _, method := range []string{"GET", "POST"} {
			says := answer(400, "application/json", fmt.Sprintf(`{"error":{"message":%q}}`, message))
			k := newKeeper(t, func(string) string { return says })
			r := newRig(t, k.URL)
			for range 3 {
				if response, body := r.do(method, "/v1/x", ""); response.StatusCode != 400 || !strings.HasSuffix(says, body) {
					t.Errorf("%s %q: %d %s", method, message, response.StatusCode, body)
				}
			}
			if _, minted, invalidated := r.tokens.counts(); len(k.requests()) != 3 || minted != 1 || invalidated != 0 {
				t.Errorf("%s %q: %d requests, %d minted, %d invalidated", method, message, len(k.requests()), minted, invalidated)
			}
		}
	}
}

// No replay can be had: no token, or no connection for it. The app gets what upstream
// said, to the byte, and not a word about our tokens.
func TestUpstreamsRefusalPassesWhereNoReplayCanBeHad(t *testing.T) {
	t.Parallel()
	for name, says := range refusals {
		for _, trouble := range []string{"no token", "no connection"} {
			for _, method := range []string{"GET", "POST"} {
				k := newKeeper(t, func(string) string { return says })
				second := 0
				r := newRig(t, k.URL, func(c *Config, u *upstream.Transport) {
					c.Upstream = tripFunc(func(out *http.Request) (*http.Response, error) {
						if second++; second == 2 {
							return nil, &upstream.Error{Op: upstream.OpDial, Outcome: upstream.NotSent, Err: syscall.ECONNREFUSED}
						}
						return u.RoundTrip(out)
					})
				})
				r.tokens.fail = func(call int) error {
					if call == 2 && trouble == "no token" {
						return &tokencache.Error{Reason: tokencache.Unavailable, RetryAfter: time.Second}
					}
					return nil
				}
				response, body := r.do(method, "/v1/x", "")
				if fmt.Sprint(response.StatusCode) != name[:3] || !strings.Contains(says, body) || response.Header.Get("X-Monite-Proxy-Outcome") != "" {
					t.Errorf("%s, %s, %s: %d %s %v", name, trouble, method, response.StatusCode, body, response.Header)
				}
			}
		}
	}
}

// A response that trickles is not waited for: it passes, and the rest with it.
func TestSlowRefusalPasses(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403} {
		done := make(chan struct{})
		o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
			if _, _, err := p.Request(); err != nil {
				return
			}
			p.Say(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(expiredText), expiredText[:5]))
			<-done
			p.Say(expiredText[5:])
		})
		r := newRig(t, o.URL)
		r.tokens.young = true // no replay of the 401
		a := r.dial()
		a.Say(post("/v1/x", "{}"))
		began := time.Now()
		response, err := http.ReadResponse(a.Reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); response.StatusCode != status || took > wiretest.Patience/2 {
			t.Errorf("%d after %v", response.StatusCode, took)
		}
		close(done)
		if text, err := io.ReadAll(response.Body); err != nil || string(text) != expiredText {
			t.Errorf("%d: body %q %v", status, text, err)
		}
	}
}
