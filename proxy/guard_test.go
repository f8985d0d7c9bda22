package proxy

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/target"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// guardRow is one request, as it stands on the wire, and the type of the
// refusal; "" passes.
type guardRow struct{ name, request, want string }

func row(want, method, target string, fields ...string) guardRow {
	return guardRow{fmt.Sprintf("%s %.60s %q", method, target, fields), head(method, target, fields...) + "\r\n", want}
}

func browserRows() []guardRow {
	const no = "proxy_browser_refused"
	pass := func(fields ...string) guardRow { return row("", "GET", "/v1/payables", fields...) }
	get := func(fields ...string) guardRow { return row(no, "GET", "/v1/payables", fields...) }
	post := func(fields ...string) guardRow {
		return row(no, "POST", "/v1/payables/x/cancel", append(fields, "Content-Length: 0")...)
	}
	preflight := func(fields ...string) guardRow { return row(no, "OPTIONS", "/v1/payables", fields...) }
	return []guardRow{
		get("Origin: https://evil.example"), get("Origin: null"), get("Origin: "), get("Origin: http://localhost:3000"),
		get("Origin: https://localhost"), get("Origin: http://127.0.0.1"),
		get("Origin: http://localhost.evil.example"), get("Origin: http://localhost@evil.example"), get("Origin: localhost"),
		get("Origin: http://localhost/"), get("Origin: file://"), get("Origin: chrome-extension://abc"),
		get("Origin: http://localhost", "Origin: http://localhost"), get("Origin: http://localhost", "Origin: https://evil.example"),
		get("Origin: http://localhost, https://evil.example"),
		get("origin: https://evil.example"), get("ORIGIN: null"),
		get("Sec-Fetch-Site: cross-site"), get("Sec-Fetch-Site: same-origin"), get("Sec-Fetch-Site: same-site"), get("Sec-Fetch-Site: none"),
		get("Sec-Fetch-Site: "), get("sec-fetch-site: cross-site"),
		get("Sec-Fetch-Mode: no-cors"), get("Sec-Fetch-Mode: navigate"), get("Sec-Fetch-Mode: websocket"), get("Sec-Fetch-Mode: same-origin"),
		get("Sec-Fetch-Mode: "), get("Sec-Fetch-Mode: CORS"), get("Sec-Fetch-Mode: cors", "Sec-Fetch-Mode: cors"), get("Sec-Fetch-Mode: cors, cors"),
		get("Sec-Fetch-Dest: image"), get("Sec-Fetch-User: ?1"), get("Sec-Fetch-Storage-Access: none"),
		get("Sec-Fetch-Mode: cors", "Sec-Fetch-Site: cross-site"), get("Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"),
		get("Sec-Fetch-Mode: cors", "Origin: https://evil.example"),
		get("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"),
		post("Origin: null", "Content-Type: text/plain"), post("Origin: https://evil.example", "Content-Type: application/x-www-form-urlencoded"),
		post("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"),
		post("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1"),
		preflight("Origin: https://evil.example", "Access-Control-Request-Method: POST"),
		preflight("Origin: http://localhost:3000", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-monite-entity-id"),
		preflight("Origin: https://evil.example", "Access-Control-Request-Private-Network: true"),
		preflight("Access-Control-Request-Method: POST"), preflight("Access-Control-Request-Private-Network: true"),
		row(no, "HEAD", "/v1/payables", "Origin: https://evil.example"), row(no, "TRACE", "/v1/payables", "Origin: https://evil.example"),
		row(no, "GET", "/v1/auth/token", "Sec-Fetch-Site: cross-site"),

		get("Origin: http://localhost"), get("Origin: HTTP://LOCALHOST"),
		get("Referer: http://evil.example/"), get("Referer: http://localhost:3000/page"), get("Referer: https://localhost/"), get("Referer: x"),
		get("Referer: http://localhost@evil.example/"),
		get("Referer: http://localhost/", "Referer: http://evil.example/"), get("referer: http://evil.example:8080/v1/payables"),
		get("Upgrade-Insecure-Requests: 1"), get("upgrade-insecure-requests:"), get("Sec-GPC: 1"), get("Sec-CH-UA: x"),
		pass("Referer:"), pass("Referer: http://localhost/v1/x"), pass("Referer: http://LOCALHOST/"), pass("Referrer: http://evil.example/"),
		pass(), pass("Sec-Fetch-Mode: cors"), pass("sec-fetch-mode: cors"), pass("User-Agent: Mozilla/5.0"), pass("Accept: text/html"),
		pass("Sec-Purpose: x"),
	}
}

func refusalRows() []guardRow {
	rows := browserRows()
	for _, method := range []string{"OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "Post", "PURGE", "QUERY", "X-Y$", "LOCK", "COPY", "LINK",
		"MKCOL"} {
		rows = append(rows, row("proxy_method_refused", method, "/v1/payables"))
	}
	rows = append(rows, row("proxy_method_refused", "OPTIONS", "*"), row("proxy_method_refused", "CONNECT", "evil.example:443"))
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		rows = append(rows, row("", method, "/v1/payables"))
	}
	for _, method := range []string{"POST", "PUT", "PATCH"} {
		rows = append(rows, row("", method, "/v1/payables", "Content-Length: 0"))
	}
	for _, target := range []string{"http://evil.example/v1/payables", "http://localhost/v1/payables", "https://api.monite.com/",
		"//evil.example/v1", "*", "/v1/./x", "/v1/../x", "/v1//x", `/v1\x`, "/v1/a;b", "/v1/%2e%2e/x", "/v1/a%2fb", "/v1/x#frag", "/v1/%c3%bc",
		"/v1/x/y/%ff"} {
		rows = append(rows, row("proxy_bad_request_target", "GET", target))
	}
	for _, target := range []string{"/v1/auth/token", "/v1/auth/revoke", "/v1/AUTH/Token", "/v1/%61uth/token", "/auth/token", "/v1/auth",
		"/v1/auth/token?x=1", "/v1/auth%20/token", "/v1/auth./token"} {
		rows = append(rows, row("proxy_route_refused", "POST", target, "Content-Length: 0"), row("proxy_route_refused", "GET", target))
	}
	long := strings.Repeat("a", maxTargetBytes)
	rows = append(rows, row("proxy_target_too_long", "GET", "/"+long), row("proxy_target_too_long", "GET", "/v1/x?"+long),
		row("", "GET", "/v1/"+long[:maxTargetBytes-4]), row("", "GET", "/v1/?"+long[:maxTargetBytes-5]))

	many := make([]string, maxHeaderFields+1)
	for i := range many {
		many[i] = fmt.Sprintf("X-F-%d: 1", i)
	}
	same := make([]string, maxHeaderFields+1)
	for i := range same {
		same[i] = "X-Same: 1"
	}
	rows = append(rows, row("proxy_header_too_large", "GET", "/v1/x", many...), row("", "GET", "/v1/x", many[:maxHeaderFields]...),
		row("proxy_header_too_large", "GET", "/v1/x", same...),
		row("proxy_header_too_large", "GET", "/v1/x", "X-Big: "+strings.Repeat("b", maxHeaderBytes)),
		row("", "GET", "/v1/x", "X-Big: "+strings.Repeat("b", maxHeaderBytes-100)))
	for _, value := range []string{"websocket", "WebSocket", "h2c, websocket", "websocket/13", "TLS/1.2 ,\tWEBSOCKET , h2c"} {
		rows = append(rows, row("proxy_upgrade_refused", "GET", "/v1/x", "Connection: Upgrade", "Upgrade: "+value),
			row("proxy_upgrade_refused", "GET", "/v1/x", "Upgrade: h2c", "Upgrade: "+value))
	}
	for _, value := range []string{"h2c", "", "TLS/1.0", "TLS/1.2, HTTP/2.0", "h2c,", "websockets", "x-websocket", "web\u017focket"} {
		rows = append(rows, row("", "GET", "/v1/x", "Connection: Upgrade", "Upgrade: "+value), row("", "GET", "/v1/x", "Upgrade: "+value))
	}
	rows = append(rows, row("", "GET", "/v1/x", "Connection: HTTP2-Settings", "HTTP2-Settings: AAMAAABk"))
	for _, value := range []string{"authorization", "x-monite-entity-id", "X-Monite-Version", "content-length", "host", "close, authorization",
		"keep-alive,x", "upgrade, authorization", "te;q=1", "close x", `"close"`, ",,cookie", "Transfer-Encoding", "\u212aeep-alive"} {
		rows = append(rows, row("proxy_bad_header", "GET", "/v1/x", "Connection: "+value),
			row("proxy_bad_header", "GET", "/v1/x", "Connection: ", "Connection: "+value),
			row("proxy_bad_header", "GET", "/v1/x", "Connection: keep-alive", "Connection: "+value))
	}
	for _, value := range []string{"close", "keep-alive", "Keep-Alive", "TE", "te, close", " close ,\tte", "", ",", "CLOSE,,keep-alive",
		"upgrade", "Keep-Alive, Upgrade", "Upgrade, HTTP2-Settings", "Trailer", "Proxy-Connection, keep-alive", "TE, Trailers"} {
		rows = append(rows, row("", "GET", "/v1/x", "Connection: "+value))
	}
	for _, value := range []string{"", "latest", "2024-5-25", "2024-05-25T00:00", "2024/05/25", "2024-05-25, 2024-01-31", "20240525",
		"2024-05-2x", "x024-05-25", "2024-05-255"} {
		rows = append(rows, row("proxy_bad_header", "GET", "/v1/x", "X-Monite-Version: "+value))
	}
	return append(rows, row("proxy_bad_header", "GET", "/v1/x", "X-Monite-Version: 2024-05-25", "x-monite-version: 2024-05-25"),
		row("", "GET", "/v1/x", "X-Monite-Version: 2024-01-31"),
		row("proxy_body_too_large", "POST", "/v1/x", "Content-Length: 1048577"),
		row("proxy_body_too_large", "POST", "/v1/x", "Content-Length: 9223372036854775807"))
}

// identityRows has a row for each way in which a header alone can be refused by
// package identity, whose table has all spellings.
func identityRows() (rows []guardRow) {
	for _, c := range []struct {
		want   string
		fields []string
	}{
		{"proxy_entity_not_allowed", []string{identity.HeaderEntity + ": " + userA}},
		{"proxy_entity_not_allowed", []string{identity.HeaderUser + ": " + userA, identity.HeaderEntity + ": " + userB}},
		{"proxy_entity_user_not_allowed", []string{identity.HeaderUser + ": " + userB}},
		{"proxy_entity_user_not_allowed", []string{identity.HeaderUser + ": " + userB, identity.HeaderEntity + ": " + entityA}},
		{"proxy_unknown_identity", []string{identity.HeaderName + ": billing"}},
		{"proxy_invalid_identity", []string{identity.HeaderEntity + ": x"}},
		{"proxy_invalid_identity", []string{identity.HeaderEntity + ":"}},
		{"proxy_invalid_identity", []string{identity.HeaderUser + ": " + userA + "," + userB}},
		{"proxy_invalid_identity", []string{"X_Monite_Entity_Id: " + entityA}},
		{"proxy_invalid_identity", []string{"x_monite_identity: a"}},
		{"proxy_duplicate_identity", []string{identity.HeaderEntity + ": " + entityA, identity.HeaderEntity + ": " + entityA}},
		{"proxy_duplicate_identity", []string{identity.HeaderUser + ": " + userA, identity.HeaderUser + ": " + userB}},
		{"proxy_duplicate_identity", []string{identity.HeaderEntity + ": " + entityA, "x_monite_entity_id: " + entityB}},
		{"proxy_duplicate_identity", []string{identity.HeaderName + ": a", identity.HeaderName + ": a"}},
	} {
		rows = append(rows, row(c.want, "GET", "/v1/payables", c.fields...))
	}
	return rows
}

func TestGuardRefusesAndPasses(t *testing.T) {
	g := testGuard()
	rows := refusalRows()
	if n := len(browserRows()); n < 50 {
		t.Fatalf("%d browser rows", n)
	}
	for _, c := range rows {
		in, err := http.ReadRequest(bufio.NewReader(strings.NewReader(c.request)))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		path, _, _ := strings.Cut(in.RequestURI, "?")
		got := ""
		if p := g.check(in, path); p != nil {
			got = p.kind
		}
		if got != c.want {
			t.Errorf("%s: check = %q, want %q", c.name, got, c.want)
		}
	}
	t.Logf("%d rows, %d of them browsers", len(rows), len(browserRows()))
}

func TestHeadMayBeAsLargeAsTheLimit(t *testing.T) {
	for over, want := range []bool{false, true} {
		value := strings.Repeat("b", maxHeaderBytes-len("A: \r\n")+over)
		if headTooLarge(http.Header{"A": {value}}) != want {
			t.Errorf("%d bytes beyond the limit: too large is %t", over, !want)
		}
	}
}

func TestAppTokenIsExactlyOneRightValue(t *testing.T) {
	const right = "s3cret-app-token"
	for _, c := range []struct {
		name  string
		want  secret.String
		given []string
		ok    bool
	}{
		{"none wanted, none given", secret.String{}, nil, true}, {"none wanted, one given", secret.String{}, []string{"x"}, true},
		{"right", secret.New(right), []string{right}, true},
		{"missing", secret.New(right), nil, false}, {"empty", secret.New(right), []string{""}, false},
		{"blank", secret.New(right), []string{" "}, false}, {"wrong", secret.New(right), []string{"x"}, false},
		{"prefix", secret.New(right), []string{right[:5]}, false}, {"longer", secret.New(right), []string{right + "x"}, false},
		{"other case", secret.New(right), []string{strings.ToUpper(right)}, false},
		{"twice", secret.New(right), []string{right, right}, false}, {"right and wrong", secret.New(right), []string{right, "x"}, false},
		{"wrong and right", secret.New(right), []string{"x", right}, false},
		{"list", secret.New(right), []string{right + ", " + right}, false}, {"Bearer", secret.New(right), []string{"Bearer " + right}, false},
		{"blanks around", secret.New(right), []string{" " + right + " "}, false},
		{"redacted", secret.New(right), []string{"[redacted]"}, false},
	} {
		g := &guard{appToken: func() secret.String { return c.want }}
		header := http.Header{}
		if c.given != nil {
			header["X-Monite-Proxy-Token"] = c.given
		}
		if got := g.appTokenRight(header); got != c.ok {
			t.Errorf("%s: %v, want %v", c.name, got, c.ok)
		}
	}
	if !(&guard{}).appTokenRight(nil) {
		t.Error("no function: refused")
	}
}

func TestReadOnlyLetsOnlyGetAndHeadPass(t *testing.T) {
	g := testGuard()
	g.readOnly = true
	for method, want := range map[string]*problem{
		"GET": nil, "HEAD": nil, "POST": &problemReadOnly, "PUT": &problemReadOnly, "PATCH": &problemReadOnly, "DELETE": &problemReadOnly,
		"OPTIONS": &problemMethod, "get": &problemMethod,
	} {
		in := &http.Request{Method: method, RequestURI: "/v1/x", Host: "localhost", Header: http.Header{}}
		if got := g.check(in, "/v1/x"); got != want {
			t.Errorf("%s: %v, want %v", method, got, want)
		}
	}
}

func testGuard() *guard {
	return &guard{
		hosts: target.Hosts{Names: map[string]bool{"monite-proxy": true, "monite-proxy.billing.svc.cluster.local": true},
			Bound: netip.MustParseAddr("10.1.2.3")}, maxBodyBytes: 1 << 20, inside: places{most: 10},
	}
}

// Next.js and Vite pass a browser's fields on. A right app token, which no page can
// know, shows that a server sends the request.
func TestRightAppTokenLiftsTheBrowserCheck(t *testing.T) {
	o := newEchoOrigin(t)
	r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) {
		c.AppToken = func() secret.String { return secret.New("right-app-token") }
	})
	fields := []string{"Origin: http://localhost:3000", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors",
		"Referer: http://localhost:3000/", "Upgrade-Insecure-Requests: 1"}
	for given, want := range map[string]int{"right-app-token": 200, "wrong": 403, "": 403} {
		_, body := r.gets(get("/v1/x", append(slices.Clone(fields), "X-Monite-Proxy-Token: "+given)...), want)
		if want == 403 && (!strings.Contains(body, "MONITE_APP_TOKEN") || !strings.Contains(body, "Sec-Fetch-*")) {
			t.Errorf("the hint does not say both ways out: %s", body)
		}
	}
	// Without a token that is wanted, none lifts it.
	newRig(t, o.URL).gets(get("/v1/x", append(fields, "X-Monite-Proxy-Token: right-app-token")...), 403)
}

func TestResponsesAreNoPagesOfThisOrigin(t *testing.T) {
	for _, row := range []struct {
		status     string
		own, wants []string
	}{
		{"200 OK", nil, []string{"sandbox"}},
		{"404 X", []string{"Content-Security-Policy: default-src 'self'"}, []string{"default-src 'self'", "sandbox"}},
		{"200 OK", []string{"Content-Security-Policy: sandbox allow-scripts", "Cross-Origin-Resource-Policy: cross-origin"},
			[]string{"sandbox allow-scripts", "sandbox"}},
	} {
		o := wiretest.Listen(t, nil,
			wiretest.Answering("HTTP/1.1 "+row.status+"\r\nContent-Type: text/html\r\n"+strings.Join(append(row.own, ""),
				"\r\n")+"Content-Length: 0\r\n\r\n"))
		for _, path := range []string{"/v1/x", "/other"} {
			response, _ := newRig(t, o.URL).do("GET", path, "")
			wants := row.wants
			if path == "/other" {
				wants = []string{"sandbox"}
			}
			if got := response.Header["Content-Security-Policy"]; !slices.Equal(got, wants) {
				t.Errorf("%s %q: %q, want %q", path, row.own, got, wants)
			}
			if got := response.Header["Cross-Origin-Resource-Policy"]; !slices.Equal(got, []string{"same-origin"}) {
				t.Errorf("%s %q: %q", path, row.own, got)
			}
		}
	}
}

// got, httpx, aiohttp and curl send a Host of their own making over a unix socket.
func TestHostIsNotLookedAtOnAUnixSocket(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	r := newRig(t, o.URL)
	for _, kind := range []string{"std", "strict"} {
		path := filepath.Join(t.TempDir(), "s")
		listener, err := net.Listen("unix", path)
		wiretest.Must(t, err)
		server := serverUnderTest(kind, r.handler, nil, nil)
		var done sync.WaitGroup
		done.Go(func() { _ = server.Serve(listener) })
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}
		for _, host := range []string{"unix", "dummy", "d", "%2Fvar%2Frun%2Fx.sock", "localhost", "evil.example:80"} {
			in, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://unix/v1/x", nil)
			in.Host = host
			response, err := transport.RoundTrip(in)
			wiretest.Must(t, err)
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("%s: Host %s: %d", kind, host, response.StatusCode)
			}
		}
		transport.CloseIdleConnections()
		_ = server.Close()
		done.Wait()
	}
}

func TestMethodsThatAreForwardedHaveTheirNamesInTheLog(t *testing.T) {
	for _, method := range methods {
		if got := methodLabel(method); got != method {
			t.Errorf("%s is called %s", method, got)
		}
	}
	if got := methodLabel("BREW"); got != "other" {
		t.Errorf("BREW is called %s", got)
	}
}
