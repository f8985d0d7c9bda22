package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// Flaws of paths and queries: two readers of one target who read it otherwise.

// ReverseProxy sent on query pairs that it could not parse, and that nobody had
// looked at. Here the query decides nothing, and arrives as it is.
func TestQueryIsForwardedByteForByte_CVE_2022_2880(t *testing.T) {
	s := newScene(t)
	for _, query := range []string{"a=1;b=2&c=%zz&d=1", "a=1;x-monite-entity-id=" + entityB, "%", "a=%2", "a;b;c", "&&a=1&=&", "a=b?c=d"} {
		if seen := s.passes(get("/v1/payables?" + query)); seen.RequestURI != "/v1/payables?"+query {
			t.Errorf("%q became %q", query, seen.RequestURI)
		}
	}
}

// ReverseProxy dropped nothing and saw nothing of a query with more than 10,000
// parameters.
func TestQueryOfManyParametersPassesWholeOrNotAtAll_CVE_2026_39825(t *testing.T) {
	s := newScene(t)
	s.refused("proxy_target_too_long", get("/v1/payables?"+strings.Repeat("a&", 10_001)), get("/v1/payables?"+strings.Repeat("a=1&", 10_001)))
	target := "/v1/payables?" + strings.Repeat("a&", 8_000) + "z=1"
	if seen := s.passes(get(target)); seen.RequestURI != target {
		t.Errorf("%d bytes became %d", len(target), len(seen.RequestURI))
	}
}

// Traefik took what follows a "#" for a part of the path.
func TestFragmentIsRefused_CVE_2023_47106(t *testing.T) {
	newScene(t).refused("proxy_bad_request_target", get("/v1/payables#/../auth/token"), get("/#"), get("/v1/payables?a=1#b"), get("/v1/x#"))
}

// Envoy did not resolve dots, and its rules were got round by them.
func TestDotSegmentsAreRefused_CVE_2019_9901(t *testing.T) {
	newScene(t).refused("proxy_bad_request_target", get("/v1/payables/../entities"), get("/v1/payables/.."), get("/v1/./payables"),
		get("/v1/x/..+/y"), get("/../v1/x"))
}

// Traefik matched paths before their dots were resolved.
func TestEncodedDotSegmentsAreRefused_CVE_2025_32431(t *testing.T) {
	newScene(t).refused("proxy_bad_request_target", get("/v1/payables/%2e%2e/entities"), get("/v1/payables/%2E./entities"),
		get("/v1/payables/.%2e/entities"), get("/v1/%2e/payables"))
}

// Envoy's rules did not see through %2F and %5C.
func TestEncodedSlashesAreRefused_CVE_2021_29492(t *testing.T) {
	newScene(t).refused("proxy_bad_request_target", get("/v1%2fpayables"), get("/v1/x%2Fy"), get("/v1/x%5cy"), get("/v1/x/..%5C..%5Cy"))
}

// Envoy cut a path at "#", other servers do not.
func TestEncodedFragmentIsRefused_CVE_2021_32779(t *testing.T) {
	newScene(t).refused("proxy_bad_request_target", get("/v1/payables%23/entities"), get("/v1/%23"))
}

// oauth2-proxy matched its open routes against a path with its fragment.
func TestFragmentHidesNoRefusedRoute_GHSA_pxq7_h93f_9jrg(t *testing.T) {
	s := newScene(t)
	s.refused("proxy_bad_request_target", post("/v1/auth/token#/v1/payables", "{}"), post("/v1/auth/token%23/v1/payables", "{}"),
		post("/v1/payables#/../auth/token", "{}"))
	// The path that is only like it is refused for what it is.
	s.refused("proxy_route_refused", post("/v1/auth/token", "{}"))
}

// Traefik routed by the path as it came, and others decoded these characters.
func TestEncodedDelimitersAreRefused_CVE_2025_66490(t *testing.T) {
	s := newScene(t)
	for _, c := range []string{"%2f", "%5c", "%00", "%3b", "%3f", "%23", "%25", "%2e"} {
		s.refused("proxy_bad_request_target", get("/v1/a"+c+"b"), get("/v1/x/y/a"+strings.ToUpper(c)+"b"))
	}
}

// Apache httpd decoded a path, checked it, and decoded it again.
func TestDoublyEncodedPathIsRefused_CVE_2021_42013(t *testing.T) {
	newScene(t).refused("proxy_bad_request_target", get("/v1/payables/%252e%252e/entities"), get("/v1/x/y/%25%32%65%25%32%65/z"), get("/v1/a%252fb"))
}

// A front that ignores path parameters and a server that cuts them: "/..;/".
func TestPathParametersAreRefused_CVE_2020_5902(t *testing.T) {
	newScene(t).refused("proxy_bad_request_target", get("/v1/payables/..;/entities"), get("/v1/payables;x=1"), get("/v1;/payables"),
		get("/v1/x/..;a=b/y"))
}

// Istio compared paths with "//" as they were, its upstreams merged them.
func TestEmptySegmentsAreRefused_CVE_2021_31920(t *testing.T) {
	newScene(t).refused("proxy_bad_request_target", get("//v1/payables"), get("/v1//payables"), get("/v1/payables//"), get("//"), get("///"))
}

// chi's RedirectSlashes sent callers to the host that a path names.
func TestDoubleSlashIsNoRedirect_GO_2025_3770(t *testing.T) {
	s := newScene(t)
	s.refused("proxy_bad_request_target", get("//evil.example/"), get("//evil.example/%2e%2e/"))
	if response, _ := s.gets(get("/v1/payables/"), 200); response.Header.Get("Location") != "" {
		t.Errorf("Location = %q", response.Header.Get("Location"))
	}
}

// And by a backslash, after that was mended.
func TestBackslashIsNoRedirect_GO_2026_4316(t *testing.T) {
	newScene(t).refused("proxy_bad_request_target", get(`/\evil.example/`), get(`/\/evil.example/`), get(`/v1\payables/`))
}

// Envoy sent on request lines with bytes that no request line may hold.
func TestBytesBeyondASCIIInTheTargetAreRefused_CVE_2023_27491(t *testing.T) {
	newScene(t).refused("proxy_bad_request_target", get("/v1/\x80"), get("/v1/x?\xff"), get("/v1/\xc3\xbc"), get("/v1/x?a=\xc2\x85"),
		get("/\xe2\x80\xae"))
}

// Go's client wrote a line break in a URL into the head of the request.
func TestLineBreaksInThePathAreRefused_CVE_2019_9741(t *testing.T) {
	s := newScene(t)
	s.refused("proxy_bad_request_target", get("/v1/x%0d%0aX-Evil:%201"), get("/v1/x%0A"), get("/v1/x/y/%00"), get("/v1/x/y/z%7f"))
	// In a query they stay what they are: six bytes.
	if seen := s.passes(get("/v1/x?a=%0d%0aX-Evil:canary")); seen.RequestURI != "/v1/x?a=%0d%0aX-Evil:canary" || seen.Header["X-Evil"] != nil {
		t.Errorf("%s, %v", seen.RequestURI, seen.Header)
	}
}

// Caddy's path matcher forgot to fold the case of an escaped path.
func TestCaseIsFoldedInEscapedPaths_CVE_2026_27587(t *testing.T) {
	newScene(t).refused("proxy_route_refused", post("/v1/AUTH/token", ""), post("/v1/%41%55%54%48/token", ""), post("/V1/Auth/Token", ""),
		post("/v1/a%55th/revoke", ""))
}

// oauth2-proxy matched its open routes against path and query together.
func TestQueryOpensAndClosesNothing_GHSA_7rh7_c77v_6434(t *testing.T) {
	s := newScene(t)
	s.refused("proxy_route_refused", post("/v1/auth/token?x=/v1/payables", "{}"), post("/v1/auth/token?/v1/payables", "{}"), get("/auth?"))
	for _, target := range []string{"/v1/payables?x=/v1/auth/token", "/v1/payables?/v1/auth/token", "/v1/payables?a=//../..;"} {
		if seen := s.passes(get(target)); seen.RequestURI != target {
			t.Errorf("%s became %s", target, seen.RequestURI)
		}
	}
}

// Pomerium served its profiler and metrics beside what it forwards.
func TestNothingOfOurOwnIsServedToApps_CVE_2022_24797(t *testing.T) {
	s := newScene(t)
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/livez", "/readyz", "/status", "/version",
		"/quitquitquit", "/tokens/refresh"} {
		s.refused("proxy_route_refused", post(path, ""), get(path))
	}
}

// client_golang counted by method, and anybody could make up methods.
func TestMadeUpMethodsAndPathsAreOneLabel_CVE_2022_21698(t *testing.T) {
	s := newScene(t)
	for i := range 20 {
		s.gets(head(fmt.Sprintf("CANARY%d", i), fmt.Sprintf("/v1/canary%d", i))+"\r\n", http.StatusMethodNotAllowed)
		if record := s.record(); record.Method != "other" || record.Route != "other" {
			t.Fatalf("record = %+v", record)
		}
	}
	if strings.Contains(s.log.String(), "CANARY") || strings.Contains(s.log.String(), "canary") {
		t.Errorf("the log names them: %s", s.log)
	}
}

// Caddy's list of hosts forgot to fold case once it had more than a hundred.
func TestManyAllowedHostsFoldCase_CVE_2026_27588(t *testing.T) {
	s := newScene(t, func(c *Config, _ *upstream.Transport) {
		for i := range 500 {
			c.AllowedHosts = append(c.AllowedHosts, fmt.Sprintf("app-%d.internal", i))
		}
	})
	s.refused("proxy_host_not_allowed", "GET /v1/x HTTP/1.1\r\nHost: app-500.internal\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: xapp-1.internal\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: app-1.internal.evil.example\r\n\r\n")
	for _, host := range []string{"app-0.internal", "App-250.Internal", "APP-499.INTERNAL:8080"} {
		_ = s.passes("GET /v1/x HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	}
}
