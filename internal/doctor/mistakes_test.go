package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/confine"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache/redisstore"
)

func init() { maps.Copy(patients, morePatients) }

// lookupFails is what Go's resolver says where no name server is of use.
func lookupFails(kind string) func(*examination) {
	return func(e *examination) {
		e.lookup = func(_ context.Context, host string) ([]string, error) {
			return nil, &net.DNSError{Name: host, IsNotFound: kind == "not found", IsTimeout: kind == "timeout", IsTemporary: true}
		}
	}
}

// acts are the variables of an entity user and its entity.
func acts(user, entity string, more ...string) map[string]string {
	return set(append([]string{"MONITE_ENTITY_USER_ID", user, "MONITE_ENTITY_ID", entity}, more...)...)
}

// onPath answers one path.
func onPath(path string, status int, contentType, body string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path && r.Header.Get("Authorization") != "" {
				w.Header().Set("Content-Type", contentType)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

const (
	baker, bakery     = monitetest.DemoEntityUserID, monitetest.DemoEntityID
	studioUser, suite = monitetest.DemoStudioUserID, monitetest.DemoStudioID
)

func slowly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		<-time.After(20 * time.Millisecond)
		next.ServeHTTP(w, in)
	})
}

// proxyThat makes every forward proxy say one thing to all, and stay.
func proxyThat(says string) func(*examination) {
	return func(e *examination) {
		e.lookup = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
		e.dial = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				_, _ = theirs.Read(make([]byte, 4096))
				_, _ = io.WriteString(theirs, says)
			}()
			return ours, nil
		}
	}
}

func identities(text string) map[string]string { return set("MONITE_IDENTITIES_FILE", text) }

var morePatients = map[string]patient{
	// Good set-ups: no problem may be found.
	"healthy, user and entity by one variable each, and the sidecar runs": {environment: acts(baker, bakery), running: &runningSidecar{}},
	"healthy, the sidecar runs":             {running: &runningSidecar{}},
	"healthy, the sidecar took a free port": {running: &runningSidecar{settings: set("MONITE_LISTEN_ADDR", "127.0.0.1:0")}},
	"healthy, partner for one entity":       {environment: set("MONITE_ENTITY_ID", bakery), running: &runningSidecar{}},
	"healthy, apps name any entity":         {environment: set("MONITE_ALLOWED_ENTITY_IDS", "*", "MONITE_ALLOWED_ENTITY_USER_IDS", "*")},
	"healthy, user whose entity apps name":  {environment: set("MONITE_ENTITY_USER_ID", baker, "MONITE_ALLOWED_ENTITY_IDS", bakery)},
	"healthy, users of two entities": {environment: acts(baker, bakery, "MONITE_ALLOWED_ENTITY_USER_IDS", studioUser,
		"MONITE_ALLOWED_ENTITY_IDS", suite)},
	"healthy, partner beside a user": {environment: acts(baker, bakery, "MONITE_GRANT_TYPE", "client_credentials")},
	"healthy, named identities": {environment: identities("identities:\n" +
		"  - {name: bakery, grant_type: entity_user, entity_user_id: " + baker + ", entity_id: " + bakery + ", path_prefix: /as/bakery}\n" +
		"  - {name: studio, grant_type: entity_user, entity_user_id: " + studioUser + ", entity_id: " + suite + ", path_prefix: /as/studio}\n" +
		"  - {name: partner, grant_type: client_credentials, path_prefix: /as/partner}\n")},
	"healthy, two name servers":           {dns: []string{"fine", "fine"}},
	"healthy, a query was lost":           {dns: []string{"loses the first of each"}},
	"healthy, no EDNS0 by choice":         {environment: set("GODEBUG", "netedns0=0"), dns: []string{"no EDNS0"}},
	"healthy, a later name server silent": {dns: []string{"fine", "silent"}},
	"healthy, a certificate for a name of the host": {environment: set("MONITE_TLS_CERT_FILE", "elsewhere", "MONITE_TLS_KEY_FILE", "elsewhere",
		"MONITE_ALLOWED_HOSTS", "www.elsewhere.example")},
	"healthy, any certificate on a unix socket": {environment: set("MONITE_TLS_CERT_FILE", "elsewhere", "MONITE_TLS_KEY_FILE", "elsewhere",
		"MONITE_LISTEN_ADDR", "unix:/tmp/monite-proxy-none.sock")},
	"healthy, app token and read only": {environment: set("MONITE_APP_TOKEN", "0123456789abcdef", "MONITE_READ_ONLY", "true"),
		running: &runningSidecar{}},
	"healthy, a user with a narrow role": {environment: acts(monitetest.DemoViewerUserID, bakery),
		wrap: onPath("/v1/payables", 403, "application/json", `{}`)},
	"healthy, a proxy for apps that spare localhost": {environment: set("HTTP_PROXY", "http://proxy:3128", "NO_PROXY", "localhost,127.0.0.1,::1")},

	// Pairs of entity and user.
	"entity user without an entity": {environment: set("MONITE_ENTITY_USER_ID", baker),
		want: "entity user", says: []string{"its requests carry no entity", "set MONITE_ENTITY_ID to that entity", "/v1/entity_users/my_entity"}},
	"entity of another user": {environment: acts(baker, suite),
		want: "entity user", says: []string{"is sent with the entity", "set MONITE_ENTITY_ID to the entity of the user", "hash "}},
	"allowed user of an entity that apps may not name": {environment: acts(baker, bakery, "MONITE_ALLOWED_ENTITY_USER_IDS", studioUser),
		want: "entity user", says: []string{"add the entity of the user to MONITE_ALLOWED_ENTITY_IDS"}},
	"allowed user, and no entity at all": {environment: set("MONITE_ALLOWED_ENTITY_USER_IDS", baker),
		want: "entity user", says: []string{"its requests carry no entity", "set MONITE_ALLOWED_ENTITY_IDS"}},
	"allowed entity of another partner": {environment: acts(baker, bakery, "MONITE_ALLOWED_ENTITY_IDS", unknownUser),
		want: "entity", says: []string{"not one of this partner", "MONITE_ALLOWED_ENTITY_IDS"}},
	"identity with the entity of another": {environment: identities("identities: [{name: bakery, grant_type: entity_user, entity_user_id: " +
		baker + ", entity_id: " + suite + ", path_prefix: /as/bakery}]"),
		want: "entity user", says: []string{"identity bakery", "entity_id in the identities file"}},
	"identity without an entity": {environment: identities("identities: [{name: bakery, grant_type: entity_user, entity_user_id: " + baker +
		", path_prefix: /as/bakery}]"),
		want: "entity user", says: []string{"identity bakery", "carry no entity", "entity_id in the identities file"}},
	"identity with a deleted user": {environment: identities("identities: [{name: ghost, grant_type: entity_user, entity_user_id: " +
		unknownUser + ", entity_id: " + bakery + ", path_prefix: /as/ghost}]"),
		want: "entity user", says: []string{"identity ghost", "entity_user_id in the identities file"}},
	"user id is an entity's": {environment: acts(bakery, bakery),
		want: "entity user", says: []string{"the entity user is unknown", "MONITE_ENTITY_USER_ID"}},
	"entity id is a user's": {environment: acts(baker, baker),
		want: "entity", says: []string{"not one of this partner"}},
	"user is throttled": {environment: acts(baker, bakery), faults: []monitetest.Fault{{Path: "/v1/entity_users/my_role", Status: 429, Body: `{}`}},
		want: "entity user", says: []string{"429", "30 requests in a second"}},
	"my_entity fails": {environment: acts(baker, bakery), faults: []monitetest.Fault{{Path: "/v1/entity_users/my_entity", Status: 503, Body: `{}`}},
		want: "entity user", says: []string{"Monite itself is in trouble"}},
	"the call of an app is refused for its form": {environment: acts(baker, bakery), wrap: onPath("/v1/payables", 422, "application/json", `{}`),
		want: "call", says: []string{"status 422", "MONITE_ENTITY_ID and MONITE_API_VERSION"}},
	"the call of an app fails at Monite": {environment: acts(baker, bakery), wrap: onPath("/v1/payables", 502, "text/html", "<h1>Bad gateway</h1>"),
		want: "call", says: []string{"status 502", "Monite itself"}},
	"the call of an app meets a login page": {environment: set("MONITE_ENTITY_ID", bakery), wrap: onPath("/v1/payables", 302, "text/html", ""),
		want: "call", says: []string{"redirect"}},
	"too many requests": {wrap: onPath("/v1/entities", 429, "application/json", `{}`),
		want: "api version", says: []string{"429", "other programs call with the same credentials"}},

	// Name servers.
	"first name server is dead": {dns: []string{"silent", "fine"}, want: "name server",
		says: []string{"does not respond; it is number 1", "waits 5 s"}},
	"first two name servers are dead": {dns: []string{"silent", "silent", "fine"}, want: "name server", problems: 2,
		says: []string{"number 1", "number 2"}},
	"no name server responds": {dns: []string{"silent", "silent"}, change: lookupFails("timeout"),
		want: "dns", says: []string{"no name server responds (127.0.0.1, 127.0.0.1)", "port 53"}},
	"name server without EDNS0": {dns: []string{"no EDNS0"}, change: lookupFails("other"), want: "dns",
		says: []string{"FORMERR", "GODEBUG=netedns0=0"}},
	"name server that drops EDNS0": {dns: []string{"drops EDNS0"}, change: lookupFails("timeout"), want: "dns",
		says: []string{"does not respond to queries with EDNS0", "GODEBUG=netedns0=0"}},
	"name server that does not implement EDNS0": {dns: []string{"EDNS0 is NOTIMP"}, change: lookupFails("other"), want: "dns",
		says: []string{"with NOTIMP", "GODEBUG=netedns0=0"}},
	"first name server drops EDNS0": {dns: []string{"drops EDNS0", "fine"}, want: "name server",
		says: []string{"does not respond to queries with EDNS0", "waits 5 s", "GODEBUG=netedns0=0"}},
	"nobody knows the name": {dns: []string{"NXDOMAIN", "NXDOMAIN"}, change: lookupFails("not found"), want: "dns",
		says: []string{"does not exist in DNS", "MONITE_API_URL"}},
	"first knows less": {dns: []string{"NXDOMAIN", "fine"}, want: "name server",
		says: []string{"does not exist, and another name server knows it"}},
	"name server refuses": {dns: []string{"REFUSED"}, change: lookupFails("other"), want: "dns", says: []string{"responds with REFUSED"}},
	"name server fails":   {dns: []string{"SERVFAIL"}, change: lookupFails("other"), want: "dns", says: []string{"responds with SERVFAIL"}},
	"name server is gone": {dns: []string{"gone"}, change: lookupFails("other"), want: "dns",
		says: []string{"no name server can be reached", "nothing listens there"}},
	"name without an address":    {dns: []string{"empty"}, change: lookupFails("not found"), want: "dns", says: []string{"exists, but has no address"}},
	"name server talks nonsense": {dns: []string{"garbage"}, change: lookupFails("timeout"), want: "dns", says: []string{"its response is not DNS"}},

	// What stands in between.
	"WAF refuses with a web page": {wrap: answerWith(403, "text/html", "<h1>Request blocked</h1>"),
		want: "api", says: []string{"a web page (status 403)", "firewall"}},
	"WAF refuses in plain text": {wrap: answerWith(403, "text/plain", "blocked"), want: "api",
		says: []string{"status 403 that is not in the form of the API", "WAF"}},
	"WAF at the token endpoint": {wrap: onToken(answerWith(403, "text/html", "<h1>blocked</h1>")),
		want: "credentials", says: []string{"a web page (status 403)"}},
	"another site": {wrap: answerWith(404, "text/plain", "nothing here"), want: "api",
		says: []string{"status 404 that is not in the form of the API", "MONITE_API_URL"}},
	"gateway error page": {wrap: answerWith(502, "text/html", "<h1>Bad gateway</h1>"),
		want: "api", says: []string{"status 502", "Monite itself"}},
	"token endpoint throttles for long": {faults: []monitetest.Fault{{Path: "token", Status: 429, Header: map[string]string{"Retry-After": "120"}}},
		want: "credentials", says: []string{"2m0s"}},
	"clock a day behind": {wrap: withDate(24 * time.Hour), want: "clock", says: []string{"behind upstream", "NTP"}},
	"forward proxy that nobody runs": {environment: set("HTTPS_PROXY", "http://user:canary@127.0.0.1:1", "MONITE_PROXY_FROM_ENV", "true"),
		change: func(e *examination) {
			e.lookup = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
			e.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
		}, want: "tcp", says: []string{"127.0.0.1:1: refused", "through the forward proxy at 127.0.0.1:1"}},

	"forward proxy wants a password": {environment: set("HTTPS_PROXY", "http://127.0.0.1:1", "MONITE_PROXY_FROM_ENV", "true"),
		change: proxyThat("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"),
		want:   "api", says: []string{"responded to CONNECT with status 407", "it wants a user and password"}},
	"http:// on a TLS port": {environment: set("MONITE_API_URL", "http://"+testHost, "MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true"),
		want: "api", says: []string{"the port speaks TLS", "let MONITE_API_URL begin with https://"}},
	"client certificate wanted without a word": {tls: &tls.Config{ClientAuth: tls.RequestClientCert},
		faults: []monitetest.Fault{{Effect: monitetest.EffectRST}}, want: "api",
		says: []string{"closed the connection after the TLS handshake", "MONITE_UPSTREAM_CERT_FILE"}},
	"client certificate of another authority": {tls: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()},
		environment: set("MONITE_UPSTREAM_CERT_FILE", "made", "MONITE_UPSTREAM_KEY_FILE", "made"), want: "api",
		says: []string{"does not accept that of MONITE_UPSTREAM_CERT_FILE"}},

	"certificate of the listener has ended": {environment: set("MONITE_TLS_CERT_FILE", "ended", "MONITE_TLS_KEY_FILE", "ended"),
		want: "configuration", says: []string{"MONITE_TLS_CERT_FILE: apps refuse this certificate: it ended on", "renew the certificate"}},

	// Places, where no sidecar runs.
	"folder of the socket is missing": {environment: set("MONITE_LISTEN_ADDR", "unix:/nonexistent/app.sock"),
		want: "places", says: []string{"MONITE_LISTEN_ADDR", "would not start here"}},
	"another program has the port of an identity": {environment: identities("identities: [{name: a, grant_type: client_credentials, listen_addr: TAKEN}]"),
		want: "places", says: []string{"listen_addr of a", "another program listens on"}},
	"another program has the vend port": {environment: acts(baker, bakery, "MONITE_VEND_ADDR", "TAKEN"),
		want: "places", says: []string{"MONITE_VEND_ADDR: another program listens on"}},

	"confinement is required on a kernel without Landlock": {environment: set("MONITE_CONFINE", "require"),
		change: func(e *examination) {
			e.confined = func() (confine.InForce, error) { return confine.InForce{}, confine.ErrUnsupported }
		}, want: "places", says: []string{"cannot be confined here", "MONITE_CONFINE=auto"}},
	"confinement is required on an old kernel": {environment: set("MONITE_CONFINE", "require"),
		change: func(e *examination) {
			e.confined = func() (confine.InForce, error) { return confine.InForce{ABI: 3}, nil }
		}, want: "places", says: []string{"confines files, but not connections"}},

	// The sidecar that runs on this host.
	"another program has the admin port": {running: &runningSidecar{adminStranger: true}, want: "readiness",
		says: []string{"another program responds on MONITE_ADMIN_ADDR"}},
	"data listener elsewhere": {running: &runningSidecar{noData: true}, want: "sidecar",
		says: []string{"a sidecar runs, because its admin listener responds", "nothing listens on", "MONITE_LISTEN_ADDR"}},
	"identities that the sidecar could not take over": {running: &runningSidecar{stale: true}, want: "settings",
		says: []string{"still uses the earlier identities", "its log"}},
	"sidecar without the vend listener": {environment: acts(baker, bakery, "MONITE_VEND_ADDR", "127.0.0.1:0"),
		running: &runningSidecar{settings: set("MONITE_VEND_ADDR", "-")}, want: "settings", says: []string{"have different values of MONITE_VEND_ADDR"}},
	"certificate of the listener for another name": {environment: set("MONITE_TLS_CERT_FILE", "elsewhere", "MONITE_TLS_KEY_FILE", "elsewhere"),
		want: "configuration", says: []string{"MONITE_TLS_CERT_FILE: it is for www.elsewhere.example, and not for a name by which apps call", "MONITE_ALLOWED_HOSTS"}},
	"audit log is a link": {environment: set("MONITE_AUDIT_LOG", "LINK"), want: "places", says: []string{"MONITE_AUDIT_LOG", "not a symbolic link"}},
	"audit log is open to all": {environment: set("MONITE_AUDIT_LOG", "OPEN"), want: "places",
		says: []string{"MONITE_AUDIT_LOG", "not every user may write to"}},
	"another program has the port": {running: &runningSidecar{stranger: true}, want: "sidecar", says: []string{"another program listens on"}},
	"sidecar is not ready": {running: &runningSidecar{notReady: "token: waiting for the first token"},
		want: "readiness", says: []string{"waiting for the first token"}},
	"admin listener elsewhere": {running: &runningSidecar{noAdmin: true}, want: "readiness", says: []string{"MONITE_ADMIN_ADDR"}},
	"sidecar with another entity": {environment: set("MONITE_ENTITY_ID", bakery), running: &runningSidecar{settings: set("MONITE_ENTITY_ID", "-")},
		want: "settings", says: []string{"have different values of MONITE_ENTITY_ID", "start it again"}},
	"sidecar that resolv.conf moved away from": {running: &runningSidecar{app: func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusBadGateway, "proxy_upstream_unreachable", "dns_error")
	}}, want: "app", says: []string{"502 proxy_upstream_unreachable", "MONITE_CONFINE", "/etc/resolv.conf"}},
	"sidecar with older credentials": {running: &runningSidecar{app: func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusBadGateway, "proxy_token_rejected", "http_response_incomplete")
	}}, want: "app", says: []string{"502 proxy_token_rejected", "older files or another environment"}},

	// What cannot even be loaded.
	"no secret":        {environment: set("MONITE_CLIENT_SECRET", ""), want: "configuration", says: []string{"MONITE_CLIENT_SECRET"}},
	"entity is a name": {environment: set("MONITE_ENTITY_ID", "my-bakery"), want: "configuration", says: []string{"MONITE_ENTITY_ID"}},
	"variable with a typo": {environment: set("MONITE_ENTTY_ID", bakery), want: "configuration",
		says: []string{"MONITE_ENTTY_ID", "MONITE_ENTITY_ID"}},
	"value in quotes":         {environment: set("MONITE_ENTITY_ID", `"`+bakery+`"`), want: "configuration", says: []string{"the value is in quotes"}},
	"duration without a unit": {environment: set("MONITE_TOKEN_TIMEOUT", "10"), want: "configuration", says: []string{"a unit is missing"}},
	"Monite's successor": {environment: set("MONITE_API_URL", "https://api.sandbox.tesouro.com"), want: "configuration",
		says: []string{"MONITE_API_URL"}},
	"forward proxy that cannot be read": {environment: set("HTTPS_PROXY", "http://user:100%sure@proxy:3128", "MONITE_PROXY_FROM_ENV", "true"),
		want: "configuration", says: []string{"HTTPS_PROXY", "%25"}},
	"environment and URL disagree": {environment: set("MONITE_ENVIRONMENT", "eu", "MONITE_API_URL", "https://api.sandbox.monite.com"),
		want: "configuration", says: []string{"MONITE_ENVIRONMENT"}},
	"entity user is missing": {environment: set("MONITE_GRANT_TYPE", "entity_user"), want: "configuration",
		says: []string{"MONITE_ENTITY_USER_ID"}},
	"unknown key in the identities file": {environment: identities("identities: [{name: a, grant_type: client_credentials, path_prefix: /as/a, colour: red}]"),
		want: "configuration", says: []string{"MONITE_IDENTITIES_FILE"}},
}

// Advice is no problem: what is told stands beside a verdict of none.
func TestDoctorAdvisesWhereNothingIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		p    patient
		says string
	}{
		"proxy of the apps": {patient{environment: set("HTTP_PROXY", "http://user:canary@proxy:3128")},
			"set NO_PROXY=localhost,127.0.0.1,::1 for the apps"},
		"proxy of the sidecar":    {patient{environment: set("HTTPS_PROXY", "http://proxy:3128")}, "HTTPS_PROXY is set, and the sidecar does not use it"},
		"proxy that is not there": {patient{environment: set("MONITE_PROXY_FROM_ENV", "true")}, "HTTPS_PROXY is not set"},
		"proxy that is spared": {patient{environment: set("MONITE_PROXY_FROM_ENV", "true", "HTTPS_PROXY", "http://proxy:3128", "NO_PROXY",
			"monite.com")}, "NO_PROXY names api.sandbox.monite.com"},
		"AAAA is not responded to":  {patient{dns: []string{"AAAA silent"}}, "does not respond to queries for IPv6 addresses (AAAA)"},
		"EDNS0 is refused by one":   {patient{dns: []string{"no EDNS0", "fine"}}, "refuses queries with EDNS0 (FORMERR)"},
		"partner without an entity": {patient{}, "only calls that need no entity work"},
		"explicit partner":          {patient{environment: acts(baker, bakery, "MONITE_GRANT_TYPE", "client_credentials")}, "requests act as the partner"},
		"mint slower than the hold": {patient{environment: set("MONITE_HOLD_TIMEOUT", "1ms"), wrap: onToken(slowly)}, "raise MONITE_HOLD_TIMEOUT"},
		"collector that is away":    {patient{environment: set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")}, "the collector at 127.0.0.1:1 cannot be reached"},
		"guard that is off":         {patient{environment: set("MONITE_REPEAT_GUARD", "0")}, "have the app send an Idempotency-Key"},
		"guard and keys off": {patient{environment: set("MONITE_REPEAT_GUARD", "0", "MONITE_IDEMPOTENCY_TTL", "0")},
			"remove MONITE_REPEAT_GUARD and MONITE_IDEMPOTENCY_TTL"},
		"guard that is short":   {patient{environment: set("MONITE_REPEAT_GUARD", "5s")}, "MONITE_REPEAT_GUARD is 5s"},
		"keys off":              {patient{environment: set("MONITE_IDEMPOTENCY_TTL", "0")}, "MONITE_IDEMPOTENCY_TTL is 0"},
		"writes are remembered": {patient{}, "not repeated for 10m0s, an Idempotency-Key is known for 24h0m0s; kept in this sidecar's memory"},
		"open writes":           {patient{running: &runningSidecar{unknown: 3}}, "monite-proxy status -unknown"},
		"forgotten writes": {patient{running: &runningSidecar{metrics: "# TYPE\nmonite_proxy_write_records_dropped_total 12\n"}},
			"had to forget early: 12"},
		"no open writes": {patient{running: &runningSidecar{}}, "has none of unknown outcome"},
		"who acts":       {patient{environment: acts(baker, bakery)}, "acts as the entity user b5e1c0de-..., for the entity b5e1c0de-..."},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := c.p.admit(t)
			wiretest.Must(t, err)
			found := e.run(t.Context())
			if missing := lacks(found.Text(), c.says, "no problem found"); missing != "" {
				t.Errorf("the report lacks %q:\n%s", missing, found.Text())
			}
		})
	}
}

// What the doctor sends to see who listens is refused on purpose, and says by its
// request id that it is not an app's.
func TestDoctorMarksWhatTheSidecarRefuses(t *testing.T) {
	p := patients["healthy, the sidecar runs"]
	p.running = &runningSidecar{}
	e, err := p.admit(t)
	wiretest.Must(t, err)
	e.run(t.Context())
	if len(p.running.probes) != 1 || !strings.HasPrefix(p.running.probes[0], ProbePrefix) {
		t.Errorf("refused: %q, want one that begins with %s", p.running.probes, ProbePrefix)
	}
}

func TestDoctorTriesBothLoopbackAddresses(t *testing.T) {
	if !hasIPv6Loopback() {
		t.Skip("this host has no ::1")
	}
	for name, c := range map[string]struct {
		on6    http.HandlerFunc // nil: nobody listens
		result string
		says   string
	}{
		"both":              {(&runningSidecar{}).serveApp, fine, "runs on [::1]:"},
		"IPv4 alone":        {nil, problem, "does not listen on [::1]:"},
		"a stranger on ::1": {(&runningSidecar{stranger: true}).serveApp, problem, "another program listens on [::1]:"},
	} {
		t.Run(name, func(t *testing.T) {
			p := patients["healthy, the sidecar runs"]
			p.running = &runningSidecar{}
			e, err := p.admit(t)
			wiretest.Must(t, err)
			e.cfg.Listen.Localhost = true
			if c.on6 != nil {
				(&runningSidecar{}).listen(t, e.cfg.Listen.Addresses()[1], c.on6)
			}
			found := e.run(t.Context())
			if (found.Problems == 0) != (c.result == fine) || lacks(found.Text(), c.says) != "" {
				t.Errorf("want %s and %q:\n%s", c.result, c.says, found.Text())
			}
		})
	}
}

func TestResolvConfIsReadAsTheResolverReadsIt(t *testing.T) {
	for text, want := range map[string][]string{
		"nameserver 10.0.0.1\nnameserver 10.0.0.2\n":                                     {"10.0.0.1:53", "10.0.0.2:53"},
		"# nameserver 10.0.0.1\nsearch a b\nnameserver fd00::1\noptions ndots:5":         {"[fd00::1]:53"},
		"nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4": {"1.1.1.1:53", "2.2.2.2:53", "3.3.3.3:53"},
		"nameserver dns.example\n":                                                       {"127.0.0.1:53", "[::1]:53"},
		"":                                                                               {"127.0.0.1:53", "[::1]:53"},
	} {
		if got := nameServers(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]bool{"203.0.113.7 api.Example  # Monite": true, "# 203.0.113.7 api.example": false, "203.0.113.7 other": false} {
		if got := inHosts(text, "api.example"); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// Whatever is wrong with the store, the report says what to do.
func TestEveryTroubleOfTheStoreHasARemedy(t *testing.T) {
	for _, kind := range []string{"timeout", "connect", "tls", "closed", "protocol", "poison", "clock", "sentinel", "MOVED", "NOAUTH", "WRONGPASS",
		"NOPERM", "ERR", "READONLY", "OOM", "MISCONF", "LOADING", "other"} {
		f := sharedTrouble(&redisstore.Error{Kind: kind})
		if f.Step == "" || f.What == "" || f.Next == "" {
			t.Errorf("%s: %+v", kind, f)
		}
	}
}

func TestSilentForwardProxyIsNamed(t *testing.T) {
	p := patient{environment: set("HTTPS_PROXY", "http://127.0.0.1:1", "MONITE_PROXY_FROM_ENV", "true")}
	e, err := p.admit(t)
	wiretest.Must(t, err)
	f := e.explainSend(&upstream.Error{Op: upstream.OpProxy, Timeout: true, Err: context.DeadlineExceeded})
	if missing := lacks(f.What+f.Why+f.Next, "127.0.0.1:1 takes the connection, but does not respond", "another program", "check HTTPS_PROXY"); missing != "" {
		t.Errorf("%+v lacks %q", f, missing)
	}
}
