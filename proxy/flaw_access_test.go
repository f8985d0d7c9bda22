package proxy

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/target/targettest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// Flaws of who may call, and of where a request goes.

// Caddy's local API took requests that a web page makes without a preflight.
func TestPagesCannotCallWithoutAPreflight_CVE_2026_27589(t *testing.T) {
	newScene(t).refused("proxy_browser_refused",
		post("/v1/payables/x/cancel", "", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"),
		post("/v1/payables/x/cancel", "a=b", "Origin: null", "Content-Type: application/x-www-form-urlencoded"),
		post("/v1/payables/x/cancel", `{"a":1}`, "Origin: http://localhost:3000", "Content-Type: text/plain"),
		// An <img>, and a link: no Origin, and still a page's.
		get("/v1/payables", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"),
		get("/v1/payables", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1"))
}

// net/http's CrossOriginProtection let more pass than its exempt patterns said,
// where the router redirects. Here no route is exempt.
func TestNoRouteIsOpenToPages_CVE_2025_47910(t *testing.T) {
	s := newScene(t)
	paths := []string{"/", "//", "/v1/../x", "/v1//payables", "/v1/payables/", "/favicon.ico", "/v1/auth/token"}
	for _, path := range append(paths, targettest.LegitimatePaths()...) {
		s.refused("proxy_browser_refused", post(path, "", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"),
			get(path, "Sec-Fetch-Site: cross-site"))
	}
}

// An MCP server on localhost did not look at Host: a page whose name was made to
// resolve to 127.0.0.1 is of its own origin, and its GET has no Origin.
func TestReboundNamesAreRefused_CVE_2026_11624(t *testing.T) {
	s := newScene(t)
	for _, host := range []string{"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.nip.io", "evil.localhost",
		"127.0.0.1.evil.example"} {
		s.refused("proxy_host_not_allowed", "GET /v1/payables HTTP/1.1\r\nHost: "+host+"\r\n\r\n",
			"POST /v1/payables HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 0\r\n\r\n")
	}
	_ = s.passes(get("/v1/payables"))
}

// 0.0.0.0 reaches a local service from a page where 127.0.0.1 is kept from it.
func TestUnspecifiedAddressIsNoName_CVE_2024_28224(t *testing.T) {
	newScene(t).refusesHosts("0.0.0.0", "0.0.0.0:8080", "[::]", "0", "0x7f.1", "2130706433", "127.1")
}

// net/url took "evil.example[::1]" for the host ::1.
func TestTextBeforeAnIPv6HostIsRefused_CVE_2026_25679(t *testing.T) {
	s := newScene(t)
	s.refusesHosts("evil.example[::1]", "evil.example[::1]:80", "localhost[::1]", "x[::1]")
	_ = s.passes("GET /v1/x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n")
}

// net/url took anything in brackets for a host.
func TestBracketsHoldIPv6Only_CVE_2025_47912(t *testing.T) {
	newScene(t).refusesHosts("[127.0.0.1]", "[localhost]", "[127.0.0.1]:8080", "[evil.example]", "[]", "[::1")
}

// The rules of NO_PROXY matched what stands in an IPv6 zone.
func TestZoneInHostIsRefused_CVE_2025_22870(t *testing.T) {
	newScene(t).refusesHosts("[::1%25lo]", "[::1%lo]:80", "[::1%25.localhost]", "[fe80::1%25localhost]")
}

// Go's client put Host into the request without a look at it.
func TestHostOfTheAppNeverReachesUpstream_CVE_2023_29406(t *testing.T) {
	s := newScene(t, func(c *Config, _ *upstream.Transport) { c.AllowedHosts = []string{"monite-proxy"} })
	for _, host := range []string{"localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]", "monite-proxy"} {
		seen := s.passes("GET /v1/x HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		if seen.Host != s.witness.URL.Host {
			t.Errorf("Host %s: upstream saw %s", host, seen.Host)
		}
	}
	other := newScene(t)
	other.refusesHosts("localhost:80:80", "localhost,evil.example")
	for _, host := range []string{"localhost/x", "localhost?x", "localhost#", "localhost\\", "user@localhost"} {
		other.stockRefused("GET /v1/x HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	}
}

// aws-sigv4-proxy signs for, and sends to, the host that the caller names. Not a
// published flaw: what this proxy must not do.
func TestCallerChoosesNoDestination_aws_sigv4_proxy(t *testing.T) {
	var mu sync.Mutex
	dialled := map[string]bool{}
	s := newScene(t, func(c *Config, u *upstream.Transport) {
		c.AllowedHosts, c.Bound = []string{"evil.example"}, netip.MustParseAddr("10.1.2.3")
		u.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			mu.Lock()
			dialled[addr] = true
			mu.Unlock()
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	})
	s.gets("GET http://evil.example/v1/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400)
	for _, request := range []string{
		"GET /v1/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: 10.1.2.3\r\nX-Forwarded-Host: evil.example\r\nX-Host: evil.example\r\n\r\n",
		get("/v1/x@evil.example/y"), get("/v1/x?url=http://evil.example/"),
	} {
		if seen := s.passes(request); seen.Host != s.witness.URL.Host {
			t.Errorf("%q: upstream saw Host %s", request, seen.Host)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(dialled) != 1 || !dialled[s.witness.URL.Host] {
		t.Errorf("dialled %v", dialled)
	}
}
