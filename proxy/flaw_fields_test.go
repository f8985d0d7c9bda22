package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// Flaws of header fields: those that a caller has removed, those that survive,
// those that are read twice.

// httputil.ReverseProxy looked at the first Connection field only: with an empty
// one in front, the next had any field removed.
func TestConnectionAfterAnEmptyOneRemovesNothing_CVE_2021_33197(t *testing.T) {
	newScene(t).refused("proxy_bad_header",
		get("/v1/x", "Connection: ", "Connection: x-monite-entity-id"),
		get("/v1/x", "Connection:", "Connection: ", "Connection: authorization"),
		get("/v1/x", "Connection: close", "Connection: x-monite-version"))
}

// ReverseProxy removed what Connection names after Director had set it.
func TestConnectionCannotNameWhatIsSetHere_golang_go_50580(t *testing.T) {
	s := newScene(t)
	for _, name := range []string{"Authorization", identity.HeaderEntity, "X-Monite-Version", "X-Request-Id", "Host", "Content-Length"} {
		s.refused("proxy_bad_header", get("/v1/x", "Connection: "+name))
	}
	s.lacks(s.passes(get("/v1/x", "Connection: te, keep-alive", "TE: trailers")), "Connection", "Te")
}

// Traefik removed its own X-Forwarded fields where Connection named them.
func TestConnectionNamesNoIdentity_CVE_2021_32813(t *testing.T) {
	newScene(t).refused("proxy_bad_header",
		get("/v1/x", "Connection: keep-alive, X-Monite-Entity-Id", identity.HeaderEntity+": "+entityB),
		get("/v1/x", "Connection: X-Monite-Entity-User-Id", identity.HeaderUser+": "+userA))
}

// Traefik's fix of that could be got round by other spellings of the option.
func TestConnectionIsReadInEverySpelling_CVE_2024_45410(t *testing.T) {
	s := newScene(t)
	for _, option := range []string{"x-forwarded-host", "X-MONITE-ENTITY-ID", "\tAuthorization\t", "close,\tauthorization", ",,,authorization",
		"authorization;q=1", `"authorization"`} {
		s.refused("proxy_bad_header", get("/v1/x", "connection: "+option), get("/v1/x", "CONNECTION: te", "connection: "+option))
	}
}

// net/http ran out of stack in a very long Connection field.
func TestHugeConnectionFieldIsAnswered_CVE_2021_31525(t *testing.T) {
	newScene(t).refused("proxy_bad_header", get("/v1/x", "Connection: "+strings.Repeat("a,", 30_000)))
}

// httpoxy: a CGI-like upstream takes Proxy for the variable HTTP_PROXY.
func TestProxyFieldStaysHere_CVE_2016_5386(t *testing.T) {
	s := newScene(t)
	s.lacks(s.passes(get("/v1/x", "Proxy: http://canary.example:1/", "proxy: canary")), "Proxy")
}

// ReverseProxy added to X-Forwarded-For although it was told not to.
func TestNoForwardedForIsSent_CVE_2022_32148(t *testing.T) {
	s := newScene(t)
	s.lacks(s.passes(get("/v1/x", "X-Forwarded-For: canary", "X-Forwarded-For: 127.0.0.1")), "X-Forwarded-For", "Forwarded")
	s.lacks(s.passes(get("/v1/x")), "X-Forwarded-For", "Forwarded")
}

// Traefik passed X-Forwarded-Prefix on, and upstreams built redirects of it.
func TestForwardedPrefixStaysHere_CVE_2024_52003(t *testing.T) {
	s := newScene(t)
	s.lacks(s.passes(get("/v1/x", "X-Forwarded-Prefix: //canary.example", "X-Forwarded-Host: canary.example", "X-Forwarded-Proto: canary")),
		"X-Forwarded-Prefix", "X-Forwarded-Host", "X-Forwarded-Proto")
}

// Envoy let callers from outside set the fields by which it talks to itself.
func TestOriginalPathOfEnvoyStaysHere_CVE_2024_45806(t *testing.T) {
	s := newScene(t)
	s.lacks(s.passes(get("/v1/x", "X-Envoy-Original-Path: /canary")), "X-Envoy-Original-Path")
}

// oauth2-proxy decided by X-Forwarded-Uri which path a request had, and did
// so again in CVE-2026-76835.
func TestPathIsThatOfTheRequestLine_CVE_2026_40575(t *testing.T) {
	s := newScene(t)
	fields := []string{"X-Forwarded-Uri: /v1/canary", "X-Original-Url: /v1/canary", "X-Original-Uri: /v1/canary", "X-Rewrite-Url: /v1/canary"}
	s.refused("proxy_route_refused", post("/v1/auth/token", "{}", fields...), post("/v1/auth/revoke", "{}", fields...))
	seen := s.passes(get("/v1/payables", fields...))
	if seen.RequestURI != "/v1/payables" {
		t.Errorf("target = %s", seen.RequestURI)
	}
	s.lacks(seen, "X-Forwarded-Uri", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url")
}

// oauth2-proxy dropped X-Forwarded-User and let X_Forwarded_User through, which
// a CGI-like upstream takes for the same.
func TestUnderscoredTwinsStayHere_CVE_2025_64484(t *testing.T) {
	s := newScene(t)
	for _, name := range []string{"X-Forwarded-User", "Authorization", "Cookie", "X-Real-Ip", "X-Http-Method-Override", "Remote-User",
		"X-Monite-Proxy-Token"} {
		for _, twin := range append(twinsOf(name), strings.ReplaceAll(name, "-", "."), name+"_", strings.ToUpper(name)+"_") {
			s.lacks(s.passes(get("/v1/x", twin+": canary")))
		}
	}
}

// Traefik set X-Auth-User and let X_Auth_User of the caller stand beside it.
func TestUnderscoredEntityIsRefused_CVE_2026_54763(t *testing.T) {
	newScene(t).refused("proxy_invalid_identity",
		get("/v1/x", "X_Monite_Entity_Id: "+entityB), get("/v1/x", "X-Monite_Entity-Id: "+entityB), get("/v1/x", "x_monite_entity_user_id: "+userB),
		get("/v1/x", "X.Monite.Entity.Id: "+entityB))
}

// Caddy deleted an identity field only if it had another to put there.
func TestIdentityIsDeletedEvenIfNoneIsSet_CVE_2026_30851(t *testing.T) {
	s := newScene(t)
	s.lacks(s.passes(get("/v1/x", identity.HeaderUser+": "+userA, "Authorization: Bearer canary", "Authorization: canary",
		"Proxy-Authenticate: canary")), identity.HeaderUser)
	// No entity at all is configured: what the app says of one is refused, and an
	// entity header is never made out of it.
	none := newScene(t, func(c *Config, _ *upstream.Transport) { c.Policy = policies["partner"] })
	none.refused("proxy_entity_not_allowed", get("/v1/x", identity.HeaderEntity+": "+entityA))
}

// Envoy asked for authorisation by the last of several equal fields, and sent
// all of them.
func TestRepeatedEntityIsRefused_CVE_2021_32777(t *testing.T) {
	stranger := "99999999-eeee-4eee-8eee-999999999999"
	newScene(t).refused("proxy_duplicate_identity",
		get("/v1/x", identity.HeaderEntity+": "+entityA, identity.HeaderEntity+": "+stranger),
		get("/v1/x", identity.HeaderEntity+": "+stranger, identity.HeaderEntity+": "+entityA),
		get("/v1/x", identity.HeaderUser+": "+userA, identity.HeaderUser+": "+userB),
		get("/v1/x", identity.HeaderEntity+": "+entityA, "x-monite-entity-id: "+entityA))
}

// Envoy matched the first of several equal fields and not the rest.
func TestRepeatedVersionIsRefused_CVE_2020_25017(t *testing.T) {
	newScene(t).refused("proxy_bad_header",
		get("/v1/x", "X-Monite-Version: 2024-05-25", "X-Monite-Version: 2023-01-01"),
		get("/v1/x", "X-Monite-Version: 2024-05-25", "x-monite-version: canary"))
}

// net/http built a cookie of every empty pair in Cookie, at a hundred times its
// size.
func TestCookiesStayHere_CVE_2025_58186(t *testing.T) {
	s := newScene(t)
	s.lacks(s.passes(get("/v1/x", "Cookie: canary=1; "+strings.Repeat("a=;", 20_000))), "Cookie")
	s.lacks(s.passes(get("/v1/x", "Cookie2: canary", "Cookie: a=canary", "cookie: b=canary")), "Cookie", "Cookie2")
}

// chi's RealIP believed these from anybody: GO-2026-5774, 5775 and 5777.
func TestAddressOfTheCallerIsNotBelieved_GO_2026_5774(t *testing.T) {
	s := newScene(t)
	names := []string{"X-Real-Ip", "True-Client-Ip", "X-Forwarded-For", "X-Client-Ip", "X-Cluster-Client-Ip", "Client-Ip", "Cf-Connecting-Ip", "Forwarded"}
	var fields []string
	for _, name := range names {
		fields = append(fields, name+": 203.0.113.66")
	}
	s.lacks(s.passes(get("/v1/x", fields...)), names...)
	_ = s.record()
	if strings.Contains(s.log.String(), "203.0.113.66") {
		t.Errorf("the log believes it: %s", s.log)
	}
}

// ReverseProxy sent the trailers that were announced; Traefik cleaned the header
// and not the trailers.
func TestTrailersEndHere_CVE_2026_88004(t *testing.T) {
	s := newScene(t)
	s.lacks(s.passes(get("/v1/x", "Trailer: canary")), "Trailer") // announced, and none can come
	seen := s.passes(head("POST", "/v1/x", "Transfer-Encoding: chunked", "Trailer: Authorization, X-Monite-Entity-Id") +
		"\r\n3\r\nabc\r\n0\r\nAuthorization: Bearer canary\r\nX-Monite-Entity-Id: " + entityB + "\r\n\r\n")
	s.lacks(seen, "Trailer")
	if len(seen.Trailer) > 0 || seen.body != "abc" || seen.Header.Get(identity.HeaderEntity) != entityA {
		t.Errorf("trailer %v, body %q, entity %q", seen.Trailer, seen.body, seen.Header.Get(identity.HeaderEntity))
	}
}

// net/textproto needed far more memory for many small fields than they are long.
func TestThousandsOfFieldsAreRefused_CVE_2023_24534(t *testing.T) {
	var fields []string
	for i := range 5_000 {
		fields = append(fields, fmt.Sprintf("a%d:", i))
	}
	newScene(t).refused("proxy_header_too_large", get("/v1/x", fields...))
}

// Go's client sent Proxy-Authorization to whatever host a redirect named.
func TestProxyAuthorizationStaysHere_CVE_2025_4673(t *testing.T) {
	s := newScene(t)
	s.lacks(s.passes(get("/v1/x", "Proxy-Authorization: Basic canary")), "Proxy-Authorization")
}

// oauth2-proxy let pass whoever called himself a health check.
func TestUserAgentOpensNothing_CVE_2026_34457(t *testing.T) {
	s := newScene(t, func(c *Config, _ *upstream.Transport) {
		c.AppToken = func() secret.String { return secret.New("right") }
	})
	for _, agent := range []string{"GoogleHC/1.0", "kube-probe/1.34", "ELB-HealthChecker/2.0", "Prometheus/3.0", "monite-proxy"} {
		s.refused("proxy_app_token", get("/v1/payables", "User-Agent: "+agent), get("/livez", "User-Agent: "+agent))
		s.refused("proxy_host_not_allowed", "GET /v1/x HTTP/1.1\r\nHost: evil.example\r\nUser-Agent: "+agent+"\r\n\r\n")
	}
}
