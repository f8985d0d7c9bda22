package proxy

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
)

// forwarding tells of a field of the app whether upstream gets it.
var forwardedFields = []string{
	"Accept", "Accept-Language", "Cache-Control", "Content-Type", "Content-Encoding", "Content-Language", "Content-Md5", "Digest", "If-Match",
	"If-None-Match", "If-Modified-Since", "Range", "Referer", "User-Agent", "Via", "Pragma",
	"Idempotency-Key", "X-Idempotency-Key", "Traceparent", "Tracestate", "Baggage", "X-Custom", "X_custom", "X.Custom", "X-Custom-",
	"X-Monite-Sdk-Version", "X_Monit", "X-Monitee", "Authorizations", "Content_type", "Date", "Warning", "X-Correlation-Id", "Prefer",
}

var keptFields = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Expect",
	"Content-Length", "Host",
	"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "Cookie", "Cookie2", "Proxy", "X-Forwarded", "X-Original-Path",
	"X-Original-Proto", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix",
	"X-Forwarded-Uri", "X-Forwarded-User", "X-Forwarded-Client-Cert",
	"X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "Client-Ip", "X-Originating-Ip", "X-Remote-Ip", "X-Remote-Addr", "X-Host", "X-Original-Url", "X-Original-Uri", "X-Original-Host",
	"X-Original-Method", "X-Rewrite-Url", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
	"X-Organization-Id", "X-Envoy-Retry-On", "X-Envoy-Max-Retries", "X-Envoy-Upstream-Rq-Timeout-Ms", "X-Envoy-Hedge-On-Per-Try-Timeout",
	"X-Envoy-Original-Path", "X-Istio-Attributes", "L5d-Retry-Http", "L5d-Dst-Override", "Grpc-Timeout", "X-Request-Timeout", "X-Mirror",
	"X-Proxyuser-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4", "Fastly-Client-Ip", "X-Azure-Clientip", "X-Azure-Socketip",
	"Wl-Proxy-Client-Ip", "Upgrade-Insecure-Requests",
	"X-Monite-Proxy-Token", "X-Monite-Proxy-Anything", "Origin", "Sec-Fetch-Mode", "Access-Control-Request-Method", "Access-Control-Request-Headers",
	identity.HeaderEntity, identity.HeaderUser, identity.HeaderName, "X-Request-Id",
}

func twinsOf(name string) []string {
	lower := strings.ToLower(name)
	twins := []string{strings.ReplaceAll(lower, "-", "_"), strings.ToUpper(strings.ReplaceAll(name, "-", "_")), strings.Replace(name, "-", "_", 1)}
	return slices.DeleteFunc(twins, func(twin string) bool { return !strings.Contains(twin, "_") })
}

// rewritten returns what goes out for a request of the partner with an entity.
func rewritten(in *http.Request, entity string) *http.Request {
	c := newTestCall(nil, nil)
	c.in, c.identity.EntityID, c.record.RequestID = in, entity, "ours"
	c.path, _, _ = strings.Cut(in.RequestURI, "?")
	return c.rewrite()
}

func TestRewriteKeepsBackWhatIsNotTheAppsToSay(t *testing.T) {
	rows := 0
	check := func(name string, forwarded bool) {
		rows++
		in := &http.Request{Method: "GET", RequestURI: "/v1/x", Host: "localhost", Header: http.Header{}}
		in.Header.Add(name, "canary")
		out := rewritten(in, entityA)
		found := false
		for field, values := range out.Header {
			if slices.Contains(values, "canary") {
				found = true
				if field != http.CanonicalHeaderKey(name) {
					t.Errorf("%s: became %s", name, field)
				}
			}
		}
		if found != forwarded {
			t.Errorf("%s: reached upstream = %v, want %v", name, found, forwarded)
		}
		if got := out.Header["X-Request-Id"]; !slices.Equal(got, []string{"ours"}) {
			t.Errorf("%s: X-Request-Id = %q", name, got)
		}
		if got := out.Header[identity.HeaderEntity]; !slices.Equal(got, []string{entityA}) {
			t.Errorf("%s: entity header = %q", name, got)
		}
	}
	for _, name := range forwardedFields {
		check(name, true)
	}
	for _, name := range keptFields {
		check(name, false)
		for _, twin := range twinsOf(name) {
			check(twin, false)
		}
	}
	for _, twin := range []string{
		"X_Monite_Version", "X-Monite_Version", "x_monite-anything", "X_MONITE_PROXY_TOKEN",
		"Authorization-", "X_original_for", "X.Forwarded.For", "Remote_user", "X.Monite.Entity.Id", "X-Monite-Entity-Id-", "X~monite~version",
	} {
		check(twin, false)
	}
	t.Logf("%d rows", rows)
}

// Whatever came in, one entity header goes out, or none, and no credentials.
func TestRewriteSetsExactlyOneEntityHeader(t *testing.T) {
	for _, c := range []struct {
		entity string
		want   []string
	}{{entityB, []string{entityB}}, {"", nil}} {
		header := http.Header{identity.HeaderEntity: {entityA, "x"}, "Authorization": {"Bearer a", "Basic b"}, "Cookie": {"a=b"},
			"Proxy-Authorization": {"x"}, "Authorization_": {"keeps"}, "x-monite-entity-id": {entityA}}
		out := rewritten(&http.Request{Method: "GET", RequestURI: "/v1/x", Header: header}, c.entity)
		if got := out.Header[identity.HeaderEntity]; !slices.Equal(got, c.want) {
			t.Errorf("entity header = %q, want %q", got, c.want)
		}
		for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization"} {
			if len(out.Header[name]) > 0 {
				t.Errorf("%s survives", name)
			}
		}
		if len(header[identity.HeaderEntity]) != 2 {
			t.Error("the request that came in was changed")
		}
	}
}

func TestVersionIsAddedOnlyWhereTheAppSentNone(t *testing.T) {
	for given, want := range map[string]string{"": "2024-05-25", "2024-01-31": "2024-01-31"} {
		header := http.Header{}
		if given != "" {
			header.Set("x-monite-version", given)
		}
		out := rewritten(&http.Request{Method: "GET", RequestURI: "/v1/x", Header: header}, "")
		if got := out.Header["X-Monite-Version"]; !slices.Equal(got, []string{want}) {
			t.Errorf("given %q: version = %q, want %q", given, got, want)
		}
	}
}

// fidelityTargets reach upstream byte for byte.
var fidelityTargets = []string{
	"/v1/payables", "/v1/payables/", "/v1/payables?", "/v1/payables??", "/v1/payables?a=1;b=2&c=%zz&d=1", "/v1/payables?a=1&a=2&a=",
	"/v1/payables?%", "/v1/payables?&&&", "/v1/payables?=", "/v1/payables?a",
	"/v1/payables?created_at__gt=2024-01-01T00:00:00%2B01:00&sort=-x", "/v1/payables?a=//../..;/%2e%2e/%00", "/v1/payables?a={b}|^`\"<>\\",
	"/v1/payables?a=b%20c+d", "/v1/payables?x=/v1/auth/token", "/v1/payables/%7E%41?A=%c3%BC",
	"/v1/payables/a:b@c,d+e=f", "/v1/payables/x/Zuerich?q=Z%C3%BCrich", "/v1/payables/$&'()*!", "/v1/payables?a=%0d%0aX:y", "/v1/%70ayables",
	"/v1/payables?" + strings.Repeat("a=1&", 3000),
}

func TestRewriteLeavesThePathAndTheQueryAlone(t *testing.T) {
	for _, target := range fidelityTargets {
		out := rewritten(&http.Request{Method: "GET", RequestURI: target, Header: http.Header{}}, "")
		got := out.URL.Opaque
		if out.URL.ForceQuery || out.URL.RawQuery != "" {
			got += "?" + out.URL.RawQuery
		}
		if got != target || out.Host != "api.monite.com" || out.URL.Host != "api.monite.com" || out.URL.Scheme != "https" {
			t.Errorf("%s: target = %s, host %s", target, got, out.Host)
		}
	}
}

func TestVersionIsTheAppsOrTheIdentitysOrOurs(t *testing.T) {
	for _, row := range []struct {
		named      *identity.Named
		says, want string
	}{
		{nil, "", "2024-05-25"},
		{&identity.Named{}, "", "2024-05-25"},
		{&identity.Named{APIVersion: "2023-06-04"}, "", "2023-06-04"},
		{&identity.Named{APIVersion: "2023-06-04"}, "2024-01-31", "2024-01-31"},
	} {
		c := newTestCall(nil, nil)
		c.in, c.identity.Named = &http.Request{Method: "GET", RequestURI: "/v1/x", Header: http.Header{}}, row.named
		if row.says != "" {
			c.in.Header.Set("X-Monite-Version", row.says)
		}
		if got := c.rewrite().Header["X-Monite-Version"]; !slices.Equal(got, []string{row.want}) {
			t.Errorf("%+v, %q: version %q, want %q", row.named, row.says, got, row.want)
		}
	}
}

func TestAcceptEncodingIsNarrowedToWhatWeUnpack(t *testing.T) {
	for _, row := range []struct{ given, want string }{
		{"gzip", "gzip"}, {"gzip, deflate", "gzip, deflate"}, {"identity", "identity"}, {"", ""}, {"gzip;q=0.5, identity;q=0", "gzip;q=0.5, identity;q=0"},
		{"gzip, deflate, br", "gzip, deflate"}, {"br, gzip, deflate", "gzip, deflate"}, {"gzip, compress, deflate, br", "gzip, deflate"},
		{"gzip, deflate, br, zstd", "gzip, deflate"},
		{"br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip;q=0.8, deflate;q=0.1"}, {"*", "gzip, deflate"}, {"*;q=0.5", "gzip;q=0.5, deflate;q=0.5"},
		{"gzip;q=0, *", "gzip;q=0, deflate"},
		{"br", "identity"}, {"zstd, br", "identity"}, {"BR, GZip", "GZip"}, {"br;q=0, gzip", "gzip"}, {"br, gzip;q=0", "gzip;q=0, identity"},
		{"x-gzip, br", "x-gzip"},
		{"br, *;q=0", "br, *;q=0"}, {"br, identity;q=0", "br, identity;q=0"}, {"zstd, identity;q=0.0, br", "zstd, identity;q=0.0, br"},
		{"br, gzip, *;q=0", "gzip, *;q=0"},
		{"br, identity", "identity"}, {"dcb, dcz, gzip", "gzip"}, {" br , gzip ; q=1 ", "gzip ; q=1"}, {"made-up", "identity"},
	} {
		if got := narrowedCodings(row.given); got != row.want {
			t.Errorf("narrowedCodings(%q) = %q, want %q", row.given, got, row.want)
		}
	}
}

// What is sent upstream is what the app sent, less what we cannot unpack; and a token
// that is too old is recognised, whatever the app can unpack.
func TestOldTokenIsRecognisedWhateverTheAppCanUnpack(t *testing.T) {
	for _, row := range []struct{ given, want string }{
		{"gzip, deflate, br", "gzip, deflate"}, {"br", "identity"}, {"gzip", "gzip"}, {"gzip, compress, deflate, br", "gzip, deflate"},
		{"*", "gzip, deflate"},
	} {
		var got atomic.Pointer[http.Header]
		o := wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, _ string) string {
			got.Store(&in.Header)
			switch {
			case !strings.Contains(in.Header.Get("Authorization"), firstToken):
				return okEmpty
			case strings.Contains(in.Header.Get("Accept-Encoding"), "br"):
				return "HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\n\x0b\x01\x80"
			}
			return answer(400, "application/json", expiredText)
		}))
		r := newRig(t, o.URL)
		for range 2 {
			r.gets(get("/v1/x", "Accept-Encoding: "+row.given), http.StatusOK)
			if values := (*got.Load())["Accept-Encoding"]; len(values) != 1 || values[0] != row.want {
				t.Errorf("%q goes upstream as %q", row.given, values)
			}
		}
	}
}
