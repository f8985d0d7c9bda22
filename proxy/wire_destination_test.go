package proxy

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// targetParts are what destinations are smuggled in with.
var (
	targetParts = []string{
		"/", "/", "/", "//", "v1", "payables", "auth", "token", "http://", "https://", "HTTP:", "evil.example", "localhost", "upstream.test", "@",
		":", "80", "?", "#", "\\", "/..", "/.", "%2f", "%2e%2e", "%00", "%0d%0a", "%", ";", "[::1]", "user:pw@", "*",
		"\t", "x", "~", "a=b", "&", "url=http://evil.example", "169.254.169.254", "%252f", "\xff", "é", "|", "{", "}",
	}
	targetMethods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PRI"}
	targetHosts   = []string{"localhost", "127.0.0.1:8080", "localhost:80", "evil.example", "upstream.test", "127.0.0.1@evil.example",
		"localhost.evil.example", "[::1]:8080", "", "0.0.0.0"}
	targetFields = []string{
		"X-Forwarded-Host: evil.example", "X-Host: evil.example", "Forwarded: host=evil.example", "X-Original-URL: http://evil.example/",
		"X-Rewrite-URL: //evil.example/", "X-Original-Host: evil.example", "X-Forwarded-Server: evil.example",
		"X-HTTP-Method-Override: DELETE", "X_Forwarded_Host: evil.example", "X-Forwarded-Proto: gopher", "X-Forwarded-Port: 1",
		"X-Forwarded-Prefix: //evil.example", "Referer: http://evil.example/", "Destination: http://evil.example/x", "Via: evil.example",
		"Connection: close",
	}
)

func generatedRequest(random *rand.Rand) string {
	var target strings.Builder
	if random.IntN(4) > 0 {
		target.WriteString("/v1/")
	}
	for range random.IntN(8) {
		target.WriteString(targetParts[random.IntN(len(targetParts))])
	}
	text := targetMethods[random.IntN(len(targetMethods))] + " " + target.String() + " HTTP/1.1\r\nHost: " +
		targetHosts[random.IntN(len(targetHosts))*random.IntN(2)] + "\r\n"
	for range random.IntN(3) {
		text += targetFields[random.IntN(len(targetFields))] + "\r\n"
	}
	return text + "\r\n"
}

// answeringConn is upstream in memory: it keeps what it was sent, and says 200.
type answeringConn struct{ *wiretest.Script }

func (c answeringConn) Write(p []byte) (int, error) {
	if c.Left() > 0 {
		return 0, net.ErrClosed
	}
	c.Say([]byte(okEmpty))
	return c.Script.Write(p)
}

// Whatever an app asks for, one address is dialled, and one Host is named there.
// GUARD_TARGETS=n for more than the usual 10,000.
func TestDestinationComesFromTheConfigurationAlone(t *testing.T) {
	targets := wiretest.Number(t, "GUARD_TARGETS", wiretest.Sized(10_000, 30_000))
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	origin := &url.URL{Scheme: "http", Host: "upstream.test"}
	dialled := map[string]int{}
	var last *wiretest.Script
	h := New(Config{
		Origin: origin, Tokens: &tokenBook{}, APIVersion: "2024-05-25", Policy: policies["pinned"], MaxInFlight: 10, MaxBodyBytes: 1 << 20,
		Log: zerolog.Nop(),
		Upstream: &upstream.Transport{Origin: origin, IdleTimeout: time.Nanosecond, Dial: func(_ context.Context, network, addr string) (net.Conn, error) {
			dialled[network+" "+addr]++
			last = wiretest.NewScript(nil)
			return answeringConn{last}, nil
		}},
	})
	parsed, passed := 0, 0
	for range targets {
		text := generatedRequest(random)
		in, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			continue
		}
		parsed++
		last = nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, in)
		if last == nil {
			if w.Code < 400 {
				t.Fatalf("seed %d: %q: %d without upstream", seed, text, w.Code)
			}
			continue
		}
		passed++
		want := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: upstream.test\r\n", in.Method, in.RequestURI)
		if got := last.Written(); !strings.HasPrefix(got, want) || strings.Count(got, "\r\n\r\n") != 1 ||
			strings.Contains(strings.ToLower(got[len(want):]), "\r\nhost") || strings.Contains(got, "evil.example\r\n") &&
			!strings.Contains(got, "Via: evil.example\r\n") {
			t.Fatalf("seed %d: %q reached upstream as %q", seed, text, got)
		}
	}
	if len(dialled) != 1 || dialled["tcp upstream.test:80"] != passed {
		t.Errorf("seed %d: dialled %v", seed, dialled)
	}
	if passed < targets/100 || parsed-passed < targets/10 {
		t.Errorf("%d pass of %d: the generator is lopsided", passed, targets)
	}
	t.Logf("seed %d: %d targets, %d parsed, %d forwarded, dialled %v", seed, targets, parsed, passed, dialled)
}
