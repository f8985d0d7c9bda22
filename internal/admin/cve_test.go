package admin

import (
	"strings"
	"testing"
)

// Published flaws of local admin interfaces: a test per flaw, as in
// proxy/cve_*_test.go.

// Caddy's admin API took configurations from any web page.
func TestPagesStartNothingHere_CVE_2026_27589(t *testing.T) {
	quits := 0
	h, tokens, _ := newTestHandler(func(c *Config) { c.Quit = func() { quits++ } })
	for _, path := range []string{"/tokens/refresh", "/quitquitquit"} {
		for _, pairs := range [][]string{
			{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain"}, {"Origin", "null"},
			{"Sec-Fetch-Site", "same-site"}, {"Origin", "http://localhost:3000"}, {"Origin", "http://localhost", "Origin", "https://evil.example"},
		} {
			if got, _ := ask(h, "POST", path, "localhost:8081", pairs...); got != 403 {
				t.Errorf("POST %s with %v = %d, want 403", path, pairs, got)
			}
		}
		if got, _ := ask(h, "GET", path, "localhost"); got != 405 {
			t.Errorf("GET %s = %d: an <img> could do it", path, got)
		}
	}
	if tokens.refreshed != 0 || quits != 0 {
		t.Errorf("%d refreshes, %d quits", tokens.refreshed, quits)
	}
}

// Ollama's local API did not look at Host: a page under a rebound name read and
// changed what it liked.
func TestReboundNamesSeeNothingHere_CVE_2024_28224(t *testing.T) {
	h, tokens, _ := newTestHandler(nil)
	for _, host := range []string{"evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "monite-proxy.evil.example", "evil.localhost"} {
		for _, call := range [][2]string{{"GET", "/status"}, {"GET", "/metrics"}, {"GET", "/livez"}, {"GET", "/readyz?verbose"},
			{"GET", "/version"}, {"POST", "/tokens/refresh"}, {"GET", "/"}} {
			if got, body := ask(h, call[0], call[1], host); got != 421 || strings.Contains(body, "monite_proxy_") {
				t.Errorf("%s %s with Host %s = %d", call[0], call[1], host, got)
			}
		}
	}
	if tokens.refreshed != 0 {
		t.Errorf("%d refreshes", tokens.refreshed)
	}
}

// Pomerium left net/http/pprof reachable: heap dumps hold tokens.
func TestProfilerIsNotHere_CVE_2022_24797(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "/debug/requests",
		"/debug/pprof/goroutine?debug=2"} {
		for _, method := range []string{"GET", "POST"} {
			if got, _ := ask(h, method, path, "localhost"); got != 404 {
				t.Errorf("%s %s = %d, want 404", method, path, got)
			}
		}
	}
}

// Pomerium's user page showed what identifies a user, tokens included.
func TestUsersAreNotNamedHere_CVE_2024_39315(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	for _, path := range []string{"/status", "/metrics", "/readyz?verbose", "/startupz?verbose", "/livez?verbose", "/version", "/"} {
		if _, body := ask(h, "GET", path, "localhost"); strings.Contains(body, userID) || strings.Contains(body, userID[:8]) {
			t.Errorf("%s names an entity user: %s", path, body)
		}
	}
}
