package admin

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

const userID = "aaaaaaaa-0000-4000-8000-000000000001"

// fakeTokens is a cache of which the test says what is in it.
type fakeTokens struct {
	all       []tokencache.Status
	warmed    bool
	refreshed int
}

func (f *fakeTokens) Status() []tokencache.Status { return f.all }
func (f *fakeTokens) Warmed() bool                { return f.warmed }
func (f *fakeTokens) Refresh()                    { f.refreshed++ }

// newTestHandler returns a handler that is ready, and what it was made of.
func newTestHandler(change func(*Config)) (*Handler, *fakeTokens, *Health) {
	tokens := &fakeTokens{warmed: true, all: []tokencache.Status{
		{Grant: tokencache.Grant{Type: tokencache.ClientCredentials}, State: "fresh", Warm: true, Mints: 2, Left: time.Minute},
		{Grant: tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: userID}, State: "stale", Mints: 1, Left: 30 * time.Second,
			LastFailure: &tokencache.FetchError{Reason: tokencache.Throttled, Status: 429}, RetryIn: 2 * time.Second},
	}}
	health := &Health{Tokens: tokens}
	health.Listening.Store(true)
	config := Config{
		Sources: testSources(tokens), Health: health, Metrics: NewMetrics(),
		History: NewHistory(), StatusPage: true, Upstream: "https://api.sandbox.monite.com",
		Default:      tokencache.Grant{Type: tokencache.ClientCredentials},
		AllowedHosts: []string{"monite-proxy"}, Started: time.Now(),
		Listeners: func() map[string][]string { return map[string][]string{"data": {"127.0.0.1:8080", "[::1]:8080"}} },
	}
	if change != nil {
		change(&config)
	}
	return New(config), tokens, health
}

func ask(h http.Handler, method, path, host string, pairs ...string) (int, string) {
	in := httptest.NewRequest(method, "http://localhost"+path, nil)
	in.Host = host
	for i := 0; i < len(pairs); i += 2 {
		in.Header.Add(pairs[i], pairs[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(body)
}

func TestHostIsCheckedOnEveryPath(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8081": 200, "127.0.0.1:8081": 200, "[::1]:8081": 200,
		"10.1.2.3:8081": 200, "[fd00::1]:8081": 200, // kubelet and Prometheus come by address
		"monite-proxy:8081": 200, "MONITE-PROXY": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.nip.io": 421, "": 421, "a@localhost": 421,
		"monite-proxy.evil.example": 421, "localhost:port": 421,
	} {
		for _, path := range []string{"/livez", "/metrics", "/status", "/version"} {
			if got, _ := ask(h, "GET", path, host); got != want {
				t.Errorf("GET %s with Host %q = %d, want %d", path, host, got, want)
			}
		}
	}
	if got, _ := ask(h, "GET", "/nowhere", "evil.example"); got != 421 {
		t.Errorf("an unknown path got past the Host check: %d", got)
	}
}

// No web page reaches a unix socket, and its clients send a Host of their own making.
func TestHostIsNotLookedAtOnAUnixSocket(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	server := httptest.NewUnstartedServer(h)
	socket := filepath.Join(t.TempDir(), "admin")
	on, err := net.Listen("unix", socket)
	wiretest.Must(t, err)
	_ = server.Listener.Close()
	server.Listener = on
	server.Start()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	for _, host := range []string{"localhost", "unix", "monite-proxy-admin", "a.b:99"} {
		in, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/readyz", nil)
		wiretest.Must(t, err)
		response, err := client.Do(in)
		wiretest.Must(t, err)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("Host %q: %d, want 200", host, response.StatusCode)
		}
	}
}

func TestPagesOfOtherOriginsSeeAndStartNothing(t *testing.T) {
	h, tokens, _ := newTestHandler(func(c *Config) { c.Quit = func() { t.Error("quit by a page") } })
	for _, pairs := range [][]string{
		{"Origin", "http://evil.example"}, {"Origin", "null"}, {"Origin", "http://localhost:9999"},
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		{"Origin", "http://localhost", "Origin", "http://evil.example"},
	} {
		for _, call := range [][2]string{{"GET", "/status"}, {"POST", "/tokens/refresh"}, {"POST", "/quitquitquit"}} {
			if got, _ := ask(h, call[0], call[1], "localhost", pairs...); got != 403 {
				t.Errorf("%s %s with %v = %d, want 403", call[0], call[1], pairs, got)
			}
		}
	}
	if got, _ := ask(h, "POST", "/tokens/refresh", "localhost", "Origin", "http://localhost", "Sec-Fetch-Site", "same-origin"); got != 202 {
		t.Errorf("own origin = %d, want 202", got)
	}
	if tokens.refreshed != 1 {
		t.Errorf("refreshes = %d, want 1", tokens.refreshed)
	}
}

func TestQuitEndpointIsOffByDefault(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	if got, body := ask(h, "POST", "/quitquitquit", "localhost"); got != 403 || !strings.Contains(body, "MONITE_QUIT_ENDPOINT") {
		t.Errorf("POST /quitquitquit = %d %q", got, body)
	}
	quits := 0
	h, _, _ = newTestHandler(func(c *Config) { c.Quit = func() { quits++ } })
	if got, _ := ask(h, "GET", "/quitquitquit", "localhost"); got != 405 || quits != 0 {
		t.Errorf("GET /quitquitquit = %d, quits %d", got, quits)
	}
	if got, _ := ask(h, "POST", "/quitquitquit", "localhost"); got != 202 || quits != 1 {
		t.Errorf("POST /quitquitquit = %d, quits %d", got, quits)
	}
}

func TestReadinessSaysWhyNot(t *testing.T) {
	unavailable := func(err error) *tokencache.FetchError {
		return &tokencache.FetchError{Reason: tokencache.Unavailable, Err: fmt.Errorf("upstream: dial (not_sent): %w", err)}
	}
	reasons := map[*tokencache.FetchError]string{
		nil: "waiting for the first token",
		{Reason: tokencache.Rejected,
			Status: 401}: "refused the client id and secret (status 401): check MONITE_CLIENT_ID, MONITE_CLIENT_SECRET and MONITE_ENVIRONMENT\n",
		{Reason: tokencache.Throttled}:                                   "429",
		{Reason: tokencache.Malformed}:                                   "is not a token",
		{Reason: tokencache.Unavailable, Status: 503}:                    "Monite itself is in trouble: the token endpoint responds with status 503",
		{Reason: tokencache.Unavailable, Status: 404}:                    "status 404: check MONITE_API_URL",
		{Reason: tokencache.TimedOut, Err: context.DeadlineExceeded}:     "nothing came in time",
		unavailable(&net.DNSError{Name: "x", IsNotFound: true}):          "its name does not exist in DNS",
		unavailable(&net.DNSError{Name: "x", IsTimeout: true}):           "no name server responds",
		unavailable(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}): "the connection is refused",
		unavailable(&net.OpError{Op: "dial", Err: syscall.EACCES}):       "MONITE_CONFINE",
		unavailable(x509.UnknownAuthorityError{}):                        "its certificate is not accepted",
		unavailable(errors.New("canary of a chain")):                     "the log has the cause\n",
	}
	for failure, want := range reasons {
		h, tokens, _ := newTestHandler(nil)
		tokens.warmed, tokens.all[0].LastFailure = false, failure
		code, body := ask(h, "GET", "/readyz", "localhost")
		if code != 503 || !strings.Contains(body, want) {
			t.Errorf("readyz after %v = %d %q, want 503 and %q", failure, code, body, want)
		}
		if strings.Contains(body, "not_sent") || strings.Contains(body, "canary") {
			t.Errorf("readyz shows a chain of errors: %q", body)
		}
		if code, _ := ask(h, "GET", "/livez", "localhost"); code != 200 {
			t.Errorf("livez = %d: liveness must not depend on the token endpoint", code)
		}
	}
}

func TestDrainingIsNotReadyButStartedAndAlive(t *testing.T) {
	h, _, health := newTestHandler(nil)
	health.Draining.Store(true)
	for path, want := range map[string]int{"/readyz": 503, "/startupz": 200, "/livez": 200} {
		if got, _ := ask(h, "GET", path, "localhost"); got != want {
			t.Errorf("%s = %d, want %d", path, got, want)
		}
	}
}

func TestNotReadyBeforeTheListenerIsOpen(t *testing.T) {
	h, _, health := newTestHandler(nil)
	health.Listening.Store(false)
	for _, path := range []string{"/readyz", "/startupz"} {
		if got, body := ask(h, "GET", path+"?verbose", "localhost"); got != 503 || !strings.Contains(body, "[-] listener") {
			t.Errorf("%s = %d %q", path, got, body)
		}
	}
}

func TestStatusNamesUsersByHashOnly(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	code, body := ask(h, "GET", "/status", "localhost")
	var got Status
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 {
		t.Fatalf("status = %d, %v", code, err)
	}
	if strings.Contains(body, userID) {
		t.Error("the status holds the id of an entity user")
	}
	if len(got.Identities) != 2 || !got.Identities[0].Default || got.Identities[0].UserHash != "" {
		t.Fatalf("identities = %+v", got.Identities)
	}
	user := got.Identities[1]
	if len(user.UserHash) != 12 || user.Default || user.State != "stale" || user.Left != 30 ||
		user.LastError == nil || user.LastError.Reason != "throttled" || user.LastError.RetryIn != 2 {
		t.Errorf("user identity = %+v", user)
	}
	if !got.Ready || got.InFlight != 3 || got.Environment != "sandbox" {
		t.Errorf("status = %+v", got)
	}
}

// A hundred thousand users are no reason for an answer that nobody can read.
func TestStatusListsTheThousandThatMatter(t *testing.T) {
	h, tokens, _ := newTestHandler(nil)
	tokens.all[0].Idle, tokens.all[1].Idle = time.Hour, time.Hour // the default; one in trouble
	for i := range 100_000 {
		tokens.all = append(tokens.all,
			tokencache.Status{Grant: tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: fmt.Sprint("user", i)}, State: "fresh",
				Idle: time.Duration(100_000-i) * time.Millisecond})
	}
	_, body := ask(h, "GET", "/status", "localhost")
	var got Status
	wiretest.Must(t, json.Unmarshal([]byte(body), &got))
	if len(got.Identities) != 1000 || len(body) > 1<<20 || !strings.Contains(body, `"identities_total": 100002,`) ||
		!strings.Contains(body, `"identities_truncated": true,`) {
		t.Errorf("%d identities of %d, truncated: %t, in %d bytes", len(got.Identities), got.IdentitiesTotal, got.IdentitiesTruncated, len(body))
	}
	listed := map[string]bool{}
	for _, one := range got.Identities {
		listed[one.UserHash] = true
	}
	for id, want := range map[string]bool{"": true, userID: true, "user99999": true, "user99002": true, "user99001": false, "user0": false} {
		if listed[ids.Hash(id)] != want {
			t.Errorf("%q is listed: %t", id, !want)
		}
	}
	if _, page := ask(h, "GET", "/", "localhost"); !strings.Contains(page, "60 of 100002:") ||
		!strings.Contains(page, "1000 of them as JSON") || !strings.Contains(page, "<dd>100002</dd>") {
		t.Error("the page does not say how many there are")
	}
}

func TestMetricsHaveTheirContractNames(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	metrics := h.config.Metrics
	metrics.ObserveRequest(&proxy.Record{Method: "GET", Route: "/v1/payables", Status: 200, Origin: proxy.OriginUpstream,
		GrantType: "client_credentials", Sent: true, Replay: "401", Retried: true, Aborted: true, Audited: "proxy_read_only"})
	metrics.ObserveRequest(&proxy.Record{Method: "POST", Route: "other", Status: 403, Origin: proxy.OriginProxy,
		ErrorType: "proxy_route_refused", Outcome: proxy.NotSent})
	metrics.ObserveMint(tokencache.Mint{Grant: tokencache.Grant{Type: tokencache.EntityUser}, Err: &tokencache.FetchError{Reason: tokencache.Rejected}})
	metrics.ObserveSecretReload(true)
	metrics.ObserveIdentityReload(false)
	_, body := ask(h, "GET", "/metrics", "localhost")
	for _, want := range []string{
		`monite_proxy_requests_total{code="200",method="GET",origin="upstream",route="/v1/payables"} 1`,
		`monite_proxy_requests_total{code="403",method="POST",origin="proxy",route="other"} 1`,
		`monite_proxy_request_duration_seconds_count{method="GET",route="/v1/payables"} 1`,
		`monite_proxy_upstream_duration_seconds_count{method="GET",route="/v1/payables"} 1`,
		`monite_proxy_in_flight_requests 3`,
		`monite_proxy_replays_total{reason="401"} 1`,
		`monite_proxy_refusals_total{type="proxy_route_refused"} 1`,
		`monite_proxy_outcomes_total{outcome="not_sent"} 1`,
		`monite_proxy_mints_total{grant_type="entity_user",result="rejected"} 1`,
		`monite_proxy_mint_duration_seconds_count 1`,
		`monite_proxy_token_seconds_left{grant_type="client_credentials"} 60`,
		`monite_proxy_token_seconds_left{grant_type="entity_user"} 30`,
		`monite_proxy_cached_grants 2`,
		`monite_proxy_token_wait_seconds_count 1`,
		`monite_proxy_build_info{commit="c1",go_version="go1",version="v1"} 1`,
		`monite_proxy_secret_reloads_total{result="ok"} 1`,
		`monite_proxy_identity_reloads_total{result="failed"} 1`,
		`monite_proxy_identity_reloads_total{result="ok"} 0`,
		`monite_proxy_audited_refusals_total{type="proxy_read_only"} 1`,
		`monite_proxy_environment_info{environment="sandbox"} 1`,
		`monite_proxy_named_identities 0`,
		`monite_proxy_credential_rotation_pending 0`,
		`monite_proxy_log_lines_dropped_total 0`,
		`monite_proxy_audit_lines_dropped_total 0`,
		`monite_proxy_refused_peers_total 0`,
		`monite_proxy_trace_spans_dropped_total 0`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(body, userID) {
		t.Error("an id is in the metrics")
	}
}

// A loop that asks for a refresh would use up the mints of all replicas.
func TestRefreshIsFollowedOnceInHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, tokens, _ := newTestHandler(nil)
		post := func() *httptest.ResponseRecorder {
			in := httptest.NewRequest("POST", "http://localhost/tokens/refresh", nil)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, in)
			return w
		}
		if w := post(); w.Code != http.StatusAccepted {
			t.Errorf("first = %d, want 202", w.Code)
		}
		time.Sleep(refreshPause / 3)
		for range 100 {
			if w := post(); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "20" {
				t.Fatalf("too early = %d, Retry-After %q, want 429 and 20", w.Code, w.Header().Get("Retry-After"))
			}
		}
		time.Sleep(2 * refreshPause / 3)
		if w := post(); w.Code != http.StatusAccepted || tokens.refreshed != 2 {
			t.Errorf("after the pause = %d, %d refreshes, want 202 and 2", w.Code, tokens.refreshed)
		}
	})
}

func TestStatusShowsEveryAddressOfALocalhostListener(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	_, body := ask(h, "GET", "/status", "localhost")
	var got Status
	if err := json.Unmarshal([]byte(body), &got); err != nil || strings.Join(got.Listeners["data"], " ") != "127.0.0.1:8080 [::1]:8080" {
		t.Errorf("listeners = %v, %v", got.Listeners, err)
	}
}
