package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// The app's request carries no Authorization, so that a cache between it and
// the proxy does not know that the answer is somebody's (RFC 9111 section 3.5).
func TestAnswerIsNotForCachesUnlessUpstreamSaysSo(t *testing.T) {
	says := map[string]string{
		"/v1/silent":   okEmpty,
		"/v1/own":      "HTTP/1.1 200 OK\r\nCache-Control: max-age=5\r\nX-Content-Type-Options: sniff\r\nContent-Length: 0\r\n\r\n",
		"/v1/twice":    "HTTP/1.1 200 OK\r\nCache-Control: private\r\ncache-control: max-age=5\r\nContent-Length: 0\r\n\r\n",
		"/v1/empty":    "HTTP/1.1 200 OK\r\nCache-Control:\r\nContent-Length: 0\r\n\r\n",
		"/v1/error":    answer(404, "application/json", "{}"),
		"/v1/modified": "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n",
		"/v1/hop":      "HTTP/1.1 200 OK\r\nConnection: cache-control\r\nCache-Control: public, max-age=99\r\nContent-Length: 0\r\n\r\n",
	}
	r := newRig(t, upstreamSays(t, says).url)
	for path, want := range map[string]struct{ cache, sniff []string }{
		"/v1/silent": {[]string{"no-store"}, []string{"nosniff"}}, "/v1/error": {[]string{"no-store"}, []string{"nosniff"}}, "/v1/hop": {[]string{"no-store"}, []string{"nosniff"}},
		"/v1/own": {[]string{"max-age=5"}, []string{"sniff"}}, "/v1/twice": {[]string{"private", "max-age=5"}, []string{"nosniff"}}, "/v1/empty": {[]string{""}, []string{"nosniff"}},
		// It would change the answer that the app has stored.
		"/v1/modified": {nil, nil},
	} {
		response, _ := r.do("GET", path, "")
		if got := response.Header["Cache-Control"]; !slices.Equal(got, want.cache) {
			t.Errorf("%s: Cache-Control = %q, want %q", path, got, want.cache)
		}
		if got := response.Header["X-Content-Type-Options"]; !slices.Equal(got, want.sniff) {
			t.Errorf("%s: X-Content-Type-Options = %q, want %q", path, got, want.sniff)
		}
	}
}

// Upstream says all at once what it must not say to the app, also in the
// interim answers and trailers around it, in odd spellings and twice.
func TestHostileFieldsOfTheAnswerStayHere(t *testing.T) {
	names := []string{
		"Set-Cookie", "Set-Cookie2", "Alt-Svc", "Strict-Transport-Security", "Public-Key-Pins", "Public-Key-Pins-Report-Only", "Clear-Site-Data", "NEL", "Report-To", "Reporting-Endpoints", "Refresh",
		"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods", "Access-Control-Allow-Private-Network", "Access-Control-Expose-Headers",
		"Proxy-Status", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Connection", "Proxy-Support", "Proxy-Anything",
		"X-Monite-Proxy-Outcome", "X-Monite-Proxy-Upstream-Request-Id", "X-Monite-Proxy-Token", "Keep-Alive", "Upgrade", "Trailer", "TE",
	}
	var fields strings.Builder
	for _, name := range names {
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			fmt.Fprintf(&fields, "%s: canary\r\n", spelling)
		}
	}
	for name, says := range map[string]string{
		"plain": "HTTP/1.1 200 OK\r\n" + fields.String() + "Content-Length: 2\r\n\r\nok", "error": "HTTP/1.1 500 X\r\n" + fields.String() + "Content-Length: 2\r\n\r\nok",
		"interim": "HTTP/1.1 103 X\r\n" + fields.String() + "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + strings.NewReplacer("Trailer: canary\r\n", "", "trailer: canary\r\n", "", "TRAILER: canary\r\n", "").Replace(fields.String()) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, listen(t, answering(says)).url)
			response, body := r.do("GET", "/v1/x", "")
			if body != "ok" || response.StatusCode != 200 && response.StatusCode != 500 {
				t.Errorf("answer = %d %q", response.StatusCode, body)
			}
			for field, values := range response.Header {
				if strings.Contains(strings.Join(values, ""), "canary") {
					t.Errorf("%s: %q reaches the app", field, values)
				}
			}
			if len(response.Trailer) > 0 {
				t.Errorf("trailers %v", response.Trailer)
			}
		})
	}
	t.Logf("%d names, 3 spellings, 4 places", len(names))
}

// Upstream, or what stands in front of it, echoes what it got: the app learns
// the answer and not the token.
func TestEchoedTokenIsNotInAFieldOfTheAnswer(t *testing.T) {
	o := listen(t, func(p *peer) {
		for {
			in, _, err := p.request()
			if err != nil {
				return
			}
			token := strings.TrimPrefix(in.Header.Get("Authorization"), "Bearer ")
			status := "HTTP/1.1 200 OK\r\n"
			if strings.HasSuffix(in.URL.Path, "/error") {
				status = "HTTP/1.1 502 Bad Gateway\r\n"
			}
			p.say(status + "X-Echo-Authorization: Bearer " + token + "\r\nX-Echo: a\r\nX-Echo: b" + token + "c\r\nLink: </x?token=" + token + ">\r\nX-Fine: yes\r\nContent-Length: 0\r\n\r\n")
		}
	})
	r := newRig(t, o.url)
	for _, path := range []string{"/v1/x", "/v1/error"} {
		response, _ := r.do("GET", path, "")
		for name, values := range response.Header {
			if strings.Contains(strings.Join(values, ""), "tok-") {
				t.Errorf("%s: %q holds the token", name, values)
			}
		}
		if response.Header.Get("X-Fine") != "yes" {
			t.Error("a field without the token is gone")
		}
	}
}

// A redirect of any kind is passed on, and nobody goes there.
func TestRedirectIsNeverDialled(t *testing.T) {
	evil := listen(t, func(p *peer) { p.untilCut() })
	locations := []string{"http://EVIL/x", "//EVIL/x", "http://user:pw@EVIL/x", "http://EVIL", "https://EVIL/", `http:\\EVIL\x`, "http://EVIL/v1/auth/token"}
	o := listen(t, func(p *peer) {
		for {
			in, _, err := p.request()
			if err != nil {
				return
			}
			at := locations[in.URL.Query().Get("l")[0]-'0']
			p.say("HTTP/1.1 " + in.URL.Query().Get("s") + " X\r\nLocation: " + strings.ReplaceAll(at, "EVIL", evil.url.Host) + "\r\nRefresh: 0; url=http://" + evil.url.Host + "\r\nContent-Length: 0\r\n\r\n")
		}
	})
	r := newRig(t, o.url, func(c *Config, u *upstream.Transport) { u.MaxConns = 1 })
	n := 0
	for _, status := range []int{300, 301, 302, 303, 305, 306, 307, 308} {
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
			for i := range locations {
				response, _ := r.do(method, fmt.Sprintf("/v1/x?s=%d&l=%d", status, i), "")
				if response.StatusCode != status || response.Header.Get("Location") == "" {
					t.Errorf("%s %d %s: answer = %d, Location %q", method, status, locations[i], response.StatusCode, response.Header.Get("Location"))
				}
				n++
			}
		}
	}
	if evil.accepted.Load() != 0 || int(o.requests.Load()) != n {
		t.Errorf("%d connections to the redirects' target, %d requests for %d redirects", evil.accepted.Load(), o.requests.Load(), n)
	}
	t.Logf("%d redirects", n)
}
