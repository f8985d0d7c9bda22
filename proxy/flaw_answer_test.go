package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// Flaws of answers: those that end early, lead elsewhere, tell too much, or have
// a request sent twice.

// ReverseProxy crashed the server, or left it reading, when an answer broke off.
func TestBrokenAnswerAbortsAndTheServerLives_CVE_2021_36221(t *testing.T) {
	for _, length := range []string{"Content-Length: 100", "Transfer-Encoding: chunked"} {
		o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
			if in, _, err := p.Request(); err == nil && in.URL.Path == "/v1/whole" {
				p.Say(okEmpty)
			} else {
				p.Say("HTTP/1.1 200 OK\r\n" + length + "\r\n\r\n5\r\nabcde\r\n")
				p.Cut(false)
			}
		})
		r := newRig(t, o.URL)
		for range 20 {
			if response, body, err := r.say(post("/v1/x", strings.Repeat("x", 100<<10))); err == nil {
				t.Fatalf("%s: a broken answer ends well: %d %q", length, response.StatusCode, body)
			}
			if record := r.record(); !record.Aborted {
				t.Errorf("record = %+v", record)
			}
		}
		if response, _ := r.do("GET", "/v1/whole", ""); response.StatusCode != 200 {
			t.Errorf("afterwards: %d", response.StatusCode)
		}
		if strings.Contains(r.log.String(), "panic") {
			t.Errorf("log: %s", r.log)
		}
	}
}

// Go's client, on a chain of redirects, sent Authorization to a host to which it
// had held it back before.
func TestRedirectsAreNotFollowed_CVE_2024_45336(t *testing.T) {
	evil := newWitness(t)
	o := wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, _ string) string {
		return "HTTP/1.1 " + in.URL.Query().Get("s") + " X\r\nLocation: http://" + evil.URL.Host + "/a\r\nContent-Length: 0\r\n\r\n"
	}))
	r := newRig(t, o.URL)
	for _, status := range []string{"301", "302", "303", "307", "308"} {
		for _, method := range []string{"GET", "POST"} {
			response, _ := r.do(method, "/v1/x?s="+status, "")
			if fmt.Sprint(response.StatusCode) != status || response.Header.Get("Location") != "http://"+evil.URL.Host+"/a" {
				t.Errorf("%s %s: %d to %q", method, status, response.StatusCode, response.Header.Get("Location"))
			}
		}
	}
	if n := len(evil.all()); n != 0 || evil.Accepted.Load() != 0 {
		t.Errorf("the redirect's host got %d requests", n)
	}
	if got := o.Heads.Load(); got != 10 {
		t.Errorf("upstream got %d requests, want 10", got)
	}
}

// The cookie jar sent cookies to a host that only ends in the right name.
func TestLocationOfASimilarHostIsAnotherHost_CVE_2023_45289(t *testing.T) {
	answers := map[string]string{}
	o := upstreamSays(t, answers)
	r := newRig(t, o.URL)
	for i, c := range []struct{ at, want string }{
		{"http://evil" + o.URL.Host + "/x", "http://evil" + o.URL.Host + "/x"},
		{"http://evil." + o.URL.Host + "/x", "http://evil." + o.URL.Host + "/x"},
		{"http://" + o.URL.Host + "@evil.example/x", "http://" + o.URL.Host + "@evil.example/x"},
		{"http://" + o.URL.Host + "/x", "/x"}, {"https://" + o.URL.Host + "?a=b", "/?a=b"},
	} {
		path := fmt.Sprintf("/v1/%d", i)
		answers[path] = "HTTP/1.1 302 X\r\nLocation: " + c.at + "\r\nContent-Length: 0\r\n\r\n"
		if response, _ := r.do("GET", path, ""); response.Header.Get("Location") != c.want {
			t.Errorf("Location %s became %q, want %q", c.at, response.Header.Get("Location"), c.want)
		}
	}
}

// Pomerium redirected to "//host" that stood in a path.
func TestLocationMadeAPathStaysHere_CVE_2021_29651(t *testing.T) {
	answers := map[string]string{}
	o := upstreamSays(t, answers)
	r := newRig(t, o.URL)
	for i, rest := range []string{"//evil.example/", "///evil.example", `/\evil.example`, `\/evil.example/`, `\\evil.example`} {
		path := fmt.Sprintf("/v1/%d", i)
		answers[path] = "HTTP/1.1 302 X\r\nLocation: http://" + o.URL.Host + rest + "\r\nContent-Length: 0\r\n\r\n"
		response, _ := r.gets(get(path), 302)
		// As a browser reads it, which takes "\" for "/".
		at := strings.ReplaceAll(response.Header.Get("Location"), `\`, "/")
		if strings.HasPrefix(at, "//") || !strings.HasPrefix(at, "/") && !strings.HasPrefix(at, "http://"+o.URL.Host+"/") {
			t.Errorf("Location %s became %q", rest, response.Header.Get("Location"))
		}
	}
}

// Caddy did not clean the header of an answer 101, and passed it on.
func TestSwitchingProtocolsIsNoAnswer_CVE_2026_55458(t *testing.T) {
	for _, fields := range []string{"Upgrade: websocket\r\nConnection: Upgrade\r\nSet-Cookie: canary=1\r\n", "X-Canary: canary\r\n", ""} {
		o := wiretest.Listen(t, nil, wiretest.Hanging("HTTP/1.1 101 Switching Protocols\r\n"+fields+"\r\n"+answer(200, "a/b", "canary")))
		r := newRig(t, o.URL)
		response, body := r.do("POST", "/v1/x", "{}")
		checkOurs(t, response, body, &problemUpstreamBroken, Unknown, "")
		if len(response.Header["Set-Cookie"])+len(response.Header["X-Canary"]) > 0 {
			t.Errorf("header = %v", response.Header)
		}
	}
}

// net/textproto put what it could not parse into its errors, and they went to
// logs and terminals.
func TestWhatCannotBeParsedIsNotQuoted_CVE_2026_42507(t *testing.T) {
	for _, says := range []string{"HTTP/1.1 200 OK\r\ncanary\x1b[31m without colon\r\n\r\n", "HTTP/1.1 canary OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: canary\x00\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n", "canary\x1b]0;x\x07\r\n\r\n"} {
		o := wiretest.Listen(t, nil, wiretest.Ending(says))
		r := newRig(t, o.URL)
		response, body := r.do("POST", "/v1/x", "{}")
		checkOurs(t, response, body, &problemUpstreamBroken, Unknown, "")
		record := r.record()
		if text := fmt.Sprint(r.log, body, response.Header, record.Err); strings.Contains(text, "canary") || strings.Contains(text, "\x1b") {
			t.Errorf("%q is quoted in %s", says, text)
		}
	}
}

// net/http/cgi called an answer without a type HTML.
func TestTypeOfAnAnswerIsNotGuessed_CVE_2020_24553(t *testing.T) {
	answers := map[string]string{}
	r := newRig(t, upstreamSays(t, answers).URL)
	for i, body := range []string{"<html><script>alert(1)</script>", "GIF89a", "%PDF-1.7", ""} {
		path := fmt.Sprintf("/v1/%d", i)
		answers[path] = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if response, _ := r.do("GET", path, ""); response.Header["Content-Type"] != nil {
			t.Errorf("%q is called %q", body, response.Header["Content-Type"])
		}
	}
}

// Kubernetes' client wrote bearer tokens to the log at high verbosity.
func TestTokenIsNotInTheLog_CVE_2019_11250(t *testing.T) {
	k := newKeeper(t, refusing(refusals["401"], firstToken))
	r := newRig(t, k.URL) // it logs at trace level
	r.do("POST", "/v1/x", "{}", "Authorization", "Bearer canary-1", "Cookie", "canary-2")
	_ = r.record()
	r.gets(get("/v1//x", "Authorization: Bearer canary-3"), 400)
	_ = r.record()
	if log := r.log.String(); strings.Contains(log, "tok-") || strings.Contains(log, "canary") || !strings.Contains(log, `"replay":"401"`) {
		t.Errorf("log: %s", log)
	}
}

// Pomerium's user page showed the tokens it held.
func TestTokenIsInNoAnswer_CVE_2024_39315(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, _ string) string {
		token := strings.TrimPrefix(in.Header.Get("Authorization"), "Bearer ")
		if in.URL.Path == "/v1/echo" {
			return "HTTP/1.1 500 X\r\nX-Request-Id: " + token + "\r\nContent-Length: 0\r\n\r\n"
		}
		return "HTTP/1.1 200 OK\r\n" + token + "\r\n\r\n" // no head: an error of ours
	}))
	r := newRig(t, o.URL)
	for _, path := range []string{"/v1/echo", "/v1/broken"} {
		response, body := r.do("POST", path, "{}")
		_ = r.record()
		if text := fmt.Sprint(response.Header, body, r.log); strings.Contains(text, "tok-") {
			t.Errorf("%s: the token is in %s", path, text)
		}
	}
}

// aws-sigv4-proxy logs the body of an answer that failed. Not a published flaw:
// what this proxy must not do.
func TestFailedAnswerIsNotLogged_aws_sigv4_proxy(t *testing.T) {
	answers := map[string]string{}
	r := newRig(t, upstreamSays(t, answers).URL)
	for _, status := range []int{400, 401, 403, 404, 422, 429, 500, 503} {
		path := fmt.Sprintf("/v1/%d", status)
		answers[path] = fmt.Sprintf("HTTP/1.1 %d X\r\nX-Detail: canary\r\nContent-Type: application/json\r\nContent-Length: 43\r\n\r\n%-43s",
			status, `{"error":{"message":"iban DE02canary"}}`)
		if response, body := r.do("POST", path, "{}"); response.StatusCode != status || !strings.Contains(body, "canary") {
			t.Errorf("%s: %d %s", path, response.StatusCode, body)
		}
		_ = r.record()
	}
	if strings.Contains(r.log.String(), "canary") {
		t.Errorf("log: %s", r.log)
	}
}

// closingAfterOne is an upstream that executes, and closes without an answer, from the
// second request of a connection on.
func closingAfterOne(t *testing.T) *wiretest.Origin {
	return wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, _, err := p.Request(); err != nil {
			return
		}
		p.Say(okEmpty)
		_, _, _ = p.Request()
	})
}

// Go's transport sends a request again, any number of times, if upstream breaks
// in the right way.
func TestBrokenUpstreamGetsNoStorm_golang_go_52459(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) { _, _, _ = p.Request() })
	r := newRig(t, o.URL)
	for method, most := range map[string]int64{"GET": 2, "HEAD": 2, "POST": 1, "DELETE": 1, "PUT": 1, "PATCH": 1} {
		before := o.Complete.Load()
		r.do(method, "/v1/x", "")
		if n := o.Complete.Load() - before; n > most || n < 1 {
			t.Errorf("%s was executed %d times, want at most %d", method, n, most)
		}
	}
}

// Go's transport takes Idempotency-Key, empty too, for leave to send a request
// twice: upstream knows nothing of such keys.
func TestIdempotencyKeyIsNoLeaveToSendTwice_golang_go_19943(t *testing.T) {
	for _, field := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		for _, value := range []string{"key", ""} {
			for _, method := range []string{"POST", "DELETE", "PATCH"} {
				o := closingAfterOne(t)
				r := newRig(t, o.URL)
				r.do(method, "/v1/x", "")
				response, _ := r.do(method, "/v1/x", "", field, value)
				if o.Complete.Load() != 2 || response.StatusCode != http.StatusBadGateway || response.Header.Get("X-Monite-Proxy-Outcome") != string(Unknown) {
					t.Errorf("%s with %s %q: executed %d times, %d %s", method, field, value, o.Complete.Load()-1, response.StatusCode,
						response.Header.Get("X-Monite-Proxy-Outcome"))
				}
			}
		}
	}
}
