package proxy

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/target/targettest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

func problemOf(t *testing.T, kind string) *problem {
	t.Helper()
	i := slices.IndexFunc(allProblems, func(p *problem) bool { return p.kind == kind })
	if i < 0 {
		t.Fatalf("no problem %q", kind)
	}
	return allProblems[i]
}

// wireRefusals are all rows that end in a refusal, as bytes.
func wireRefusals() []guardRow {
	rows := append(refusalRows(), identityRows()...)
	for _, host := range targettest.Hosts {
		// With these net/http itself answers 400, or they are trimmed.
		if !host.OK && !strings.ContainsAny(host.Host, " \t") {
			rows = append(rows, guardRow{"Host " + host.Host, "GET /v1/x HTTP/1.1\r\nHost: " + host.Host + "\r\n\r\n", "proxy_host_not_allowed"})
		}
	}
	for _, target := range targettest.AuthTargets() {
		rows = append(rows, row("auth", "POST", target, "Content-Length: 2", "Content-Type: application/json"))
	}
	return slices.DeleteFunc(rows, func(c guardRow) bool {
		_, value, found := strings.Cut(c.request, identity.HeaderEntity+": ")
		if !found {
			_, value, found = strings.Cut(c.request, identity.HeaderUser+": ")
		}
		value, _, _ = strings.Cut(value, "\r\n")
		return c.want == "" || found && strings.Trim(value, " \t") != value
	})
}

// Refused means: the right answer, the connection ended, nothing minted,
// nothing sent.
func TestRefusedRequestCostsNothing(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) { p.UntilCut() })
	r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) {
		c.AllowedHosts, c.Bound, c.MaxBodyBytes = []string{"monite-proxy"}, netip.MustParseAddr("10.1.2.3"), 1<<20
	})
	ours, stock := 0, 0
	for _, c := range wireRefusals() {
		a := r.dial()
		a.Say(c.request)
		if strings.Contains(c.request, "Content-Length: 2\r\n") {
			a.Say("{}")
		}
		method, _, _ := strings.Cut(c.request, " ")
		response, body, err := a.Response(method)
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case response.Header.Get("Proxy-Status") == "" && response.StatusCode == http.StatusBadRequest:
			stock++ // net/http refused it before us
		case c.want == "auth":
			if got := response.StatusCode; got != 400 && got != 403 || !strings.Contains(body, `"type":"proxy_`) {
				t.Errorf("%s: %d %s", c.name, got, body)
			}
			ours++
		default:
			if method == "HEAD" {
				checkOurHeader(t, response, problemOf(t, c.want), NotSent)
			} else {
				checkOurs(t, response, body, problemOf(t, c.want), NotSent, "")
			}
			if !response.Close {
				t.Errorf("%s: the connection goes on", c.name)
			}
			ours++
		}
		_ = a.Close()
		if t.Failed() {
			t.Fatalf("at %s: %.200q", c.name, c.request)
		}
	}
	asked, minted, _ := r.tokens.counts()
	if asked+minted != 0 || o.Accepted.Load() != 0 {
		t.Errorf("%d tokens asked for, %d minted, %d connections to upstream; want none", asked, minted, o.Accepted.Load())
	}
	if ours < 800 {
		t.Errorf("%d refusals of ours", ours)
	}
	t.Logf("%d refused by the proxy, %d by net/http", ours, stock)
}

func TestAcceptedRequestsReachUpstream(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) { c.MaxBodyBytes = 1 << 20 })
	n := 0
	for _, c := range refusalRows() {
		if c.want != "" {
			continue
		}
		n++
		a := r.dial()
		a.Say(c.request)
		method, _, _ := strings.Cut(c.request, " ")
		a.WantStatus(method, 200)
		_ = a.Close()
	}
	if got := o.Complete.Load(); int(got) != n || n < 20 {
		t.Errorf("%d of %d requests reached upstream", got, n)
	}
}

func TestReadOnlyAndAppTokenOverTheWire(t *testing.T) {
	seen := make(chan http.Header, 10)
	o := wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, _ string) string {
		seen <- in.Header
		return okEmpty
	}))
	r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) {
		c.ReadOnly, c.AppToken = true, func() secret.String { return secret.New("canary-token") }
	})
	for _, c := range []struct{ request, want string }{
		{get("/v1/x"), "proxy_app_token"}, {get("/v1/x", "X-Monite-Proxy-Token: "), "proxy_app_token"},
		{get("/v1/x", "X-Monite-Proxy-Token: wrong"), "proxy_app_token"},
		{get("/v1/x", "X-Monite-Proxy-Token: canary-token", "X-Monite-Proxy-Token: canary-token"), "proxy_app_token"},
		{get("/v1/x", "X_Monite_Proxy_Token: canary-token"), "proxy_app_token"}, {get("/v1/x", "Authorization: Bearer canary-token"), "proxy_app_token"},
		{post("/v1/x", "", "X-Monite-Proxy-Token: canary-token"), "proxy_read_only"},
		{head("DELETE", "/v1/x", "X-Monite-Proxy-Token: canary-token") + "\r\n", "proxy_read_only"},
		{post("/v1/auth/token", "", "X-Monite-Proxy-Token: canary-token"), "proxy_route_refused"},
	} {
		_, body, err := r.say(c.request)
		if err != nil || !strings.Contains(body, c.want) || strings.Contains(body, "canary") {
			t.Errorf("%q: %s, %v; want %s", c.request, body, err, c.want)
		}
	}
	if asked, _, _ := r.tokens.counts(); asked != 0 {
		t.Errorf("%d tokens were asked for", asked)
	}
	r.gets(get("/v1/x", "X-Monite-Proxy-Token:  canary-token\t"), 200)
	for name, values := range <-seen {
		if strings.Contains(strings.Join(values, ""), "canary") {
			t.Errorf("the app token reached upstream in %s", name)
		}
	}
	if strings.Contains(r.log.String(), "canary") {
		t.Error("the app token is in the log")
	}
}

// A router answers 404 and 405 by itself: the guard must have seen those too.
func TestGuardStandsOutsideTheRouter(t *testing.T) {
	r := newRig(t, wiretest.Listen(t, nil, wiretest.Answering(okEmpty)).URL)
	router := chi.NewRouter()
	router.Get("/v1/only", func(http.ResponseWriter, *http.Request) {})
	r.handler.router = http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		chi.RouteContext(in.Context()).RoutePath = in.URL.Path
		router.ServeHTTP(w, in)
	})
	for _, c := range []struct {
		request string
		status  int
	}{
		{get("/v1/only"), 200}, {get("/nowhere"), 404}, {post("/v1/only", ""), 405},
		{get("/nowhere", "Origin: https://evil.example"), 403}, {post("/v1/only", "", "Sec-Fetch-Site: cross-site"), 403},
		{"GET /nowhere HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421}, {"POST /v1/only HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n", 421},
		{get("/nowhere/../x"), 400}, {get("/auth/token"), 403},
	} {
		r.gets(c.request, c.status)
	}
}

// A good request at a bad time costs its app no new connection: the next one is
// served on the same.
func TestAboveMaxInFlightIsRefusedOnAConnectionThatGoesOn(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 10)
	o := wiretest.Listen(t, nil, wiretest.Responding(func(*http.Request, string) string {
		arrived <- struct{}{}
		<-release
		return okEmpty
	}))
	r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) { c.MaxInFlight = 2 })
	var all sync.WaitGroup
	for range 2 {
		a := r.dial()
		all.Go(func() {
			a.Say(get("/v1/x"))
			a.WantStatus("GET", 200)
		})
		<-arrived
	}
	if got := r.handler.InFlight(); got != 2 {
		t.Errorf("InFlight = %d, want 2", got)
	}
	third := r.dial()
	for _, request := range []string{get("/v1/x"), post("/v1/x", "{}"),
		head("POST", "/v1/x", "Transfer-Encoding: chunked") + "\r\n" + wiretest.Chunked("{}")} {
		third.Say(request)
		response, body := third.WantStatus("GET", http.StatusServiceUnavailable)
		checkOurs(t, response, body, &problemOverloaded, NotSent, "")
		if response.Close || response.Header.Get("Retry-After") != "1" || o.Accepted.Load() != 2 {
			t.Errorf("%q: the connection ends: %t, Retry-After = %q, %d connections", request, response.Close,
				response.Header.Get("Retry-After"), o.Accepted.Load())
		}
	}
	close(release)
	all.Wait()
	wiretest.Eventually(t, "no request in flight", func() bool { return r.handler.InFlight() == 0 })
	third.Say(get("/v1/x"))
	third.WantStatus("GET", 200)
}

// Traefik dropped HTTP2-Settings and sent Upgrade: h2c on: a tunnel past every rule.
func TestUpgradeToH2CEndsHere_CVE_2026_88008(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, _ string) string {
		for _, name := range []string{"Upgrade", "Http2-Settings", "Connection"} {
			if got := in.Header[name]; len(got) > 0 {
				t.Errorf("upstream gets %s: %q", name, got)
			}
		}
		return okEmpty
	}))
	r := newRig(t, o.URL)
	for _, tc := range []struct {
		name   string
		fields []string
		status int
	}{
		{"Apache HttpClient 5.4", []string{"Upgrade: TLS/1.2", "Connection: Upgrade"}, http.StatusOK},
		{"JDK HttpClient", []string{"Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAEAAEAAAAIAAAAB", "Upgrade: h2c"}, http.StatusOK},
		{"curl --http2", []string{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"}, http.StatusOK},
		{"nginx's usual snippet", []string{"Connection: upgrade"}, http.StatusOK},
		{"with keep-alive", []string{"Connection: keep-alive, Upgrade", "Upgrade: h2c, TLS/1.3"}, http.StatusOK},
		{"two fields", []string{"Connection: upgrade", "Connection: keep-alive", "Upgrade: h2c", "Upgrade: foo"}, http.StatusOK},
		{"an offer without its option", []string{"Upgrade: h2c"}, http.StatusOK},
		{"its settings alone", []string{"HTTP2-Settings: AAMAAABkAAQAAP__"}, http.StatusOK},
		{"an empty offer", []string{"Upgrade:"}, http.StatusOK},
		{"a websocket", []string{"Connection: Upgrade", "Upgrade: websocket"}, http.StatusNotImplemented},
		{"a websocket, in capitals", []string{"Connection: Upgrade", "Upgrade: WebSocket"}, http.StatusNotImplemented},
		{"a websocket among others", []string{"Connection: Upgrade", "Upgrade: h2c, websocket/13"}, http.StatusNotImplemented},
		{"a field to be removed", []string{"Connection: Upgrade, X-Monite-Entity-Id", "Upgrade: h2c"}, http.StatusBadRequest},
		{"a long s", []string{"Connection: http2-\u017fettings", "Upgrade: h2c"}, http.StatusBadRequest},
	} {
		for _, text := range []string{get("/v1/entities", tc.fields...), post("/v1/entities", "{}", tc.fields...)} {
			if response, body, err := r.say(text); err != nil || response.StatusCode != tc.status {
				t.Errorf("%s: %v %s %v, want %d", tc.name, response, body, err, tc.status)
			}
		}
	}
}
