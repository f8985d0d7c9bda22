package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

const (
	testHost    = "api.sandbox.monite.com"
	unknownUser = "00000000-0000-4000-8000-000000000000"
)

// patient is one case: an upstream with something wrong, or a mistake of the
// operator.
type patient struct {
	environment map[string]string // on top of good credentials for testHost
	sim         monitetest.Config
	faults      []monitetest.Fault
	wrap        func(http.Handler) http.Handler // in front of the simulator
	certificate func(*x509.Certificate)         // changes the server's
	untrusted   bool                            // MONITE_CA_FILE is left out
	tls         *tls.Config                     // nil: as usual
	listen      func(net.Listener)              // instead of a server
	dns         []string                        // what the name servers do, in their order; nil: there are none
	running     *runningSidecar                 // nil: none runs
	change      func(*examination)
	want        string   // the step with the problem; empty: none
	problems    int      // 0: one, where there is a step
	says        []string // what it says
}

func answerWith(status int, contentType, body string, fields ...string) func(http.Handler) http.Handler {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			for i := 0; i < len(fields); i += 2 {
				w.Header().Set(fields[i], fields[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
}

// onToken changes only the answers of the token endpoint.
func onToken(change func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		other := change(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/auth/token" {
				other.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func withDate(offset time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(offset).UTC().Format(http.TimeFormat))
			next.ServeHTTP(w, r)
		})
	}
}

func set(pairs ...string) map[string]string {
	all := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	return all
}

type slowError struct{ error }

func (slowError) Timeout() bool   { return true }
func (slowError) Temporary() bool { return true }

var patients = map[string]patient{
	"healthy": {},
	"healthy with entity and users": {
		environment: set("MONITE_ENTITY_ID", monitetest.DemoEntityID, "MONITE_ALLOWED_ENTITY_USER_IDS",
			monitetest.DemoEntityUserID+","+monitetest.DemoViewerUserID)},
	"healthy with a user as the default": {
		environment: set("MONITE_ENTITY_USER_ID", monitetest.DemoEntityUserID, "MONITE_ENTITY_ID", monitetest.DemoEntityID)},

	"wrong secret": {environment: set("MONITE_CLIENT_SECRET", "00000000-0000-4000-8000-00000000dead"),
		want: "credentials", says: []string{"status 401", "client secret is wrong", "this is the sandbox: credentials of production do not work here"}},
	"client id is no UUID": {environment: set("MONITE_CLIENT_ID", "my-client"),
		want: "credentials", says: []string{"status 422", "not in the form that Monite wants", "UUID"}},
	"production credentials in the sandbox": {environment: set("MONITE_CLIENT_ID", "99999999-0000-4000-8000-000000000000"),
		want: "credentials", says: []string{"status 401", "belongs to another environment", "set MONITE_ENVIRONMENT to eu or us"}},
	"sandbox credentials in production": {environment: set("MONITE_ENVIRONMENT", "eu", "MONITE_CLIENT_SECRET", "00000000-0000-4000-8000-00000000dead"),
		want: "credentials", says: []string{"status 401", "this is production (eu)", "MONITE_ENVIRONMENT=sandbox"}},
	"account disabled": {wrap: onToken(answerWith(403, "application/json", `{"error":{"message":"no"}}`)),
		want: "credentials", says: []string{"status 403", "known but not allowed"}},
	"deleted entity user": {environment: set("MONITE_ENTITY_USER_ID", unknownUser, "MONITE_GRANT_TYPE", "entity_user"),
		want: "entity user", says: []string{"00000000-...", "the entity user is unknown, was deleted", "the credentials are good"}},
	"revoked user": {environment: set("MONITE_ENTITY_USER_ID", monitetest.DemoEntityUserID, "MONITE_ENTITY_ID", monitetest.DemoEntityID),
		faults: []monitetest.Fault{{Path: "/v1/entity_users/my_role", Status: 401, Body: `{}`}},
		want:   "entity user", says: []string{"refuses the token that it has just issued", "disabled"}},
	"user without a role": {environment: set("MONITE_ENTITY_USER_ID", monitetest.DemoEntityUserID, "MONITE_ENTITY_ID",
		monitetest.DemoEntityID), faults: []monitetest.Fault{{Path: "/v1/entity_users/my_role", Status: 403, Body: `{}`}},
		want: "entity user", says: []string{"may not even read its own role"}},
	"entity of another partner": {environment: set("MONITE_ENTITY_ID", "00000000-0000-4000-8000-000000000000"),
		want: "entity", says: []string{"not one of this partner", "MONITE_ENTITY_ID"}},
	"API version too old": {environment: set("MONITE_API_VERSION", "2020-01-01"),
		want: "credentials", says: []string{"status 404", "MONITE_API_VERSION"}},
	"API version refused": {faults: []monitetest.Fault{{Method: "GET", Path: "/v1/entities", Skip: 1, Status: 400, Body: `{}`}},
		want: "api version", says: []string{"does not accept version 2024-05-25"}},
	"rate limited": {faults: []monitetest.Fault{{Path: "token", Status: 429, Header: map[string]string{"Retry-After": "17"}}},
		want: "credentials", says: []string{"429", "17s", "other programs mint with the same credentials"}},
	"Monite is down": {faults: []monitetest.Fault{{Status: 503}},
		want: "api", says: []string{"status 503", "in trouble"}},
	"token endpoint is down": {faults: []monitetest.Fault{{Path: "token", Status: 503}},
		want: "credentials", says: []string{"status 503", "is down"}},
	"token endpoint hangs": {environment: set("MONITE_TOKEN_TIMEOUT", "200ms"),
		faults: []monitetest.Fault{{Path: "token", Effect: monitetest.EffectHang}},
		want:   "credentials", says: []string{"did not respond within 200ms", "MONITE_TOKEN_TIMEOUT"}},
	"API hangs": {environment: set("MONITE_UPSTREAM_TIMEOUT", "200ms"), faults: []monitetest.Fault{{Effect: monitetest.EffectHang}},
		want: "api", says: []string{"no response in time: 200ms (MONITE_UPSTREAM_TIMEOUT)", "raise MONITE_UPSTREAM_TIMEOUT"}},
	"token is no token": {faults: []monitetest.Fault{{Path: "token", Status: 200, Body: `{"hello":"world"}`}},
		want: "credentials", says: []string{"is not a token"}},
	"captive portal": {wrap: answerWith(200, "text/html", "<h1>Welcome to the hotel</h1>"),
		want: "api", says: []string{"a web page (status 200)", "captive portal"}},
	"captive portal by redirect": {wrap: answerWith(302, "text/plain", "", "Location", "https://login.hotel.example/?u=secret-session"),
		want: "api", says: []string{"a redirect (status 302) to login.hotel.example", "captive portal"}},
	"login page on the token endpoint": {wrap: onToken(answerWith(200, "text/html", "<form>")),
		want: "credentials", says: []string{"a web page (status 200)", "captive portal"}},
	"another API": {wrap: onToken(answerWith(404, "application/json", `{}`)),
		want: "credentials", says: []string{"there is no token endpoint", "MONITE_API_URL"}},
	"connection closed": {faults: []monitetest.Fault{{Effect: monitetest.EffectRST}},
		want: "api", says: []string{"broke before a response"}},
	"clock behind": {wrap: withDate(10 * time.Minute),
		want: "clock", says: []string{"behind upstream's", "NTP"}},
	"clock ahead": {wrap: withDate(-2 * time.Hour),
		want: "clock", says: []string{"2h0m", "ahead of upstream's", "NTP"}},

	"name does not exist": {change: func(e *examination) {
		e.lookup = func(_ context.Context, host string) ([]string, error) {
			return nil, &net.DNSError{Name: host, IsNotFound: true}
		}
	}, want: "dns", says: []string{"does not exist in DNS", "MONITE_API_URL"}},
	"DNS server does not respond": {change: func(e *examination) {
		e.lookup = func(_ context.Context, host string) ([]string, error) {
			return nil, &net.DNSError{Name: host, IsTimeout: true}
		}
	}, want: "dns", says: []string{"the DNS server does not respond", "port 53"}},
	"blocked port": {change: func(e *examination) {
		e.dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: slowError{io.EOF}}
		}
	}, want: "tcp", says: []string{"no response", "drops the packets"}},
	"blocked port, forward proxy not used": {environment: set("HTTPS_PROXY", "http://proxy.internal:3128"), change: func(e *examination) {
		e.dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: slowError{io.EOF}}
		}
	}, want: "tcp", says: []string{"drops the packets", "MONITE_PROXY_FROM_ENV=true"}},
	"nothing listens": {change: func(e *examination) {
		e.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			listener, _ := net.Listen("tcp", "127.0.0.1:0")
			_ = listener.Close()
			return (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
		}
	}, want: "tcp", says: []string{"refused", "nothing listens there"}},
	"authority not trusted": {untrusted: true,
		want: "tls", says: []string{"signed by an authority that is not trusted here: Test Authority",
			"put the authority's certificate into MONITE_CA_FILE"}},
	"wrong CA file": {environment: set("MONITE_CA_FILE", "other"),
		want: "tls", says: []string{"MONITE_CA_FILE does not hold the right authority"}},
	"certificate for another name": {certificate: func(c *x509.Certificate) { c.DNSNames = []string{"www.hotel.example"} },
		want: "tls", says: []string{"is not for api.sandbox.monite.com, but for www.hotel.example"}},
	"certificate has run out": {certificate: func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}, want: "tls", says: []string{"valid from", "has not been renewed, or this machine's clock is ahead"}},
	"certificate from the future": {certificate: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(24 * time.Hour) },
		want: "tls", says: []string{"this machine's clock is behind", "NTP"}},
	"plaintext on a TLS port": {listen: func(listener net.Listener) {
		_ = http.Serve(listener, http.NotFoundHandler())
	}, want: "tls", says: []string{"plain HTTP", "scheme and port of MONITE_API_URL"}},
	"TLS is cut": {listen: func(listener net.Listener) {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}, want: "tls", says: []string{"closed in the TLS handshake", "firewall"}},
	"only TLS 1.1": {tls: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		want: "tls", says: []string{"TLS 1.1"}},
	"client certificate wanted": {tls: &tls.Config{ClientAuth: tls.RequireAnyClientCert},
		want: "api", says: []string{"client certificate", "MONITE_UPSTREAM_CERT_FILE"}},
}

// authority signs one certificate for testHost.
func authority(t *testing.T, change func(*x509.Certificate)) (tls.Certificate, string) {
	t.Helper()
	ca, file := wiretest.NewAuthority(), filepath.Join(t.TempDir(), "ca.pem")
	wiretest.Must(t, os.WriteFile(file, ca.PEM(), 0o600))
	return ca.Issue(func(leaf *x509.Certificate) {
		leaf.DNSNames, leaf.IPAddresses = []string{testHost, "api.monite.com"}, nil
		if change != nil {
			change(leaf)
		}
	}), file
}

// auditPlace is a place where a sidecar would not write its audit lines.
func auditPlace(t *testing.T, kind string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.log")
	err := os.WriteFile(path, nil, 0o600)
	switch kind {
	case "OPEN":
		err = errors.Join(err, os.Chmod(path, 0o666))
	case "LINK":
		err = errors.Join(err, os.Symlink(path, path+".link"))
		path += ".link"
	}
	wiretest.Must(t, err)
	return path
}

// admit starts what the patient calls and returns an examination of it.
func (p patient) admit(t *testing.T) (*examination, error) {
	t.Helper()
	certificate, caFile := authority(t, p.certificate)
	sim := monitetest.New(p.sim)
	sim.Inject(p.faults...)
	var handler http.Handler = sim
	if p.wrap != nil {
		handler = p.wrap(handler)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{}
	if p.tls != nil {
		server.TLS = p.tls.Clone()
	}
	server.TLS.Certificates = []tls.Certificate{certificate}
	address := server.Listener.Addr().String()
	if p.listen != nil {
		go p.listen(server.Listener)
		t.Cleanup(func() { _ = server.Listener.Close() })
	} else {
		server.StartTLS()
		t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	}

	data, admin := wiretest.Nobody(t), wiretest.Nobody(t)
	for admin == data { // the kernel may give a port again
		admin = wiretest.Nobody(t)
	}
	environment := set("MONITE_CLIENT_ID", monitetest.DemoClientID, "MONITE_CLIENT_SECRET", monitetest.DemoClientSecret, "MONITE_CA_FILE", caFile,
		"MONITE_LISTEN_ADDR", data, "MONITE_ADMIN_ADDR", admin)
	if p.untrusted {
		delete(environment, "MONITE_CA_FILE")
	}
	for name, value := range p.environment {
		if name == "MONITE_CA_FILE" {
			_, value = authority(t, nil)
		}
		environment[name] = value
	}
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy",
		"GODEBUG"} {
		t.Setenv(name, "")
	}
	for _, of := range []string{"MONITE_UPSTREAM", "MONITE_TLS"} {
		kind := environment[of+"_CERT_FILE"]
		if kind == "" {
			continue
		}
		directory := t.TempDir()
		cert, key := filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem")
		wiretest.WritePair(t, cert, key, wiretest.SelfSigned(func(c *x509.Certificate) {
			if kind == "ended" {
				c.NotBefore, c.NotAfter = time.Now().Add(-200*time.Hour), time.Now().Add(-100*time.Hour)
			}
			if kind == "elsewhere" {
				c.DNSNames, c.IPAddresses = []string{"www.elsewhere.example"}, nil
			}
		}))
		environment[of+"_CERT_FILE"], environment[of+"_KEY_FILE"] = cert, key
	}
	for name, value := range environment {
		if strings.Contains(value, "TAKEN") {
			value = strings.ReplaceAll(value, "TAKEN", wiretest.Loopback(t).Addr().String())
		}
		if name == "MONITE_IDENTITIES_FILE" {
			value = identitiesFile(t, value)
		}
		if name == "MONITE_AUDIT_LOG" {
			value = auditPlace(t, value)
		}
		t.Setenv(name, value)
	}
	cfg, err := config.Load()
	if err != nil {
		return nil, err
	}
	e := newExamination(Config{Settings: cfg, Version: "test", Transport: transportOf(cfg), LocalTLS: cfg.ClientTLS})
	e.lookup = func(context.Context, string) ([]string, error) { return []string{"203.0.113.7"}, nil }
	servers := nameServersThat(t, p.dns)
	e.servers, e.patience = func(string) []string { return servers }, 200*time.Millisecond
	e.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	if p.change != nil {
		p.change(e)
	}
	e.Transport.Dial = e.dial
	if p.running != nil {
		p.running.start(t, cfg)
	}
	return e, nil
}

func admit(t *testing.T, name string) *examination {
	t.Helper()
	e, err := patients[name].admit(t)
	wiretest.Must(t, err)
	return e
}

// transportOf makes the transport as the command does.
func transportOf(cfg *config.Config) *upstream.Transport {
	t := &upstream.Transport{
		Origin:                cfg.Upstream,
		TLS:                   &tls.Config{RootCAs: cfg.RootCAs, GetClientCertificate: cfg.ClientCertificate(), MinVersion: tls.VersionTLS12},
		ResponseHeaderTimeout: cfg.UpstreamTimeout,
	}
	if cfg.ProxyFromEnv {
		t.Proxy = httpproxy.FromEnvironment().ProxyFunc()
	}
	return t
}

func TestDoctorNamesTheTrueCause(t *testing.T) {
	for name, p := range patients {
		t.Run(name, func(t *testing.T) {
			var found Report
			if e, err := p.admit(t); err != nil {
				found = Misconfigured("test", err)
			} else {
				found = e.run(t.Context())
			}
			text := found.Text()
			var first finding
			for _, f := range found.Findings {
				if f.Result == problem && first.Step == "" {
					first = f
				}
			}
			if first.Step != p.want || p.want != "" && found.Problems != max(p.problems, 1) || p.want != "" && first.Next == "" {
				t.Errorf("problem in %q (%d problems), want one in %q with what to do", first.Step, found.Problems, p.want)
			}
			for _, want := range p.says {
				if !strings.Contains(text, want) {
					t.Errorf("the report lacks %q", want)
				}
			}
			for _, secret := range []string{monitetest.DemoClientSecret, monitetest.DemoClientID, "dead", monitetest.DemoEntityUserID,
				monitetest.DemoEntityID, "secret-session", "hotel</h1>", "Bearer"} {
				if strings.Contains(text, secret) {
					t.Errorf("the report holds %q", secret)
				}
			}
			if t.Failed() {
				t.Log("\n" + text)
			}
		})
	}
	healthy := 0
	for _, p := range patients {
		if p.want == "" {
			healthy++
		}
	}
	if mistakes := len(patients) - healthy; mistakes < 60 || healthy < 10 {
		t.Errorf("%d mistakes and %d good set-ups, want 60 and 10", mistakes, healthy)
	}
}

func TestDoctorTriesEveryNamedIdentity(t *testing.T) {
	found := admit(t, "healthy with entity and users").run(t.Context())
	text := found.Text()
	for _, want := range []string{"entity b5e1c0de-... exists", `role "`, "a partner token was minted", "is accepted",
		"agrees with upstream's", "days left", "these credentials belong to the sandbox", "no problem found"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if got := strings.Count(text, "token minted, role"); got != 2 {
		t.Errorf("users tried = %d, want 2", got)
	}
	if t.Failed() {
		t.Log("\n" + text)
	}
}

// It can be run anywhere and at any time: it writes nothing but mints.
func TestDoctorSendsNothingButMintsAndReads(t *testing.T) {
	seen := map[string]int{}
	p := patients["healthy with entity and users"]
	p.wrap = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen[r.Method+" "+r.URL.Path]++
			next.ServeHTTP(w, r)
		})
	}
	e, err := p.admit(t)
	wiretest.Must(t, err)
	e.run(t.Context())
	if seen["POST /v1/auth/token"] != 3 {
		t.Errorf("mints = %d, want one for the partner and one for each user", seen["POST /v1/auth/token"])
	}
	for call := range seen {
		if !strings.HasPrefix(call, "GET ") && call != "POST /v1/auth/token" {
			t.Errorf("the doctor sent %s", call)
		}
	}
}

func TestDoctorSeesWhatListensOnTheDataListenersAddress(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
		result  string
	}{
		"another program": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "another program listens on", problem},
		"other hosts": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Proxy-Status", "monite-proxy; error=http_request_denied")
			w.WriteHeader(421)
			_, _ = io.WriteString(w, `{"error":{"type":"proxy_host_not_allowed"}}`)
		}, "refuses requests for the host localhost", problem},
	} {
		e := admit(t, "healthy")
		server := httptest.NewServer(c.handler)
		e.cfg.Listen.Address = strings.TrimPrefix(server.URL, "http://")
		e.checkSidecar(t.Context())
		server.Close()
		last := e.report.Findings[len(e.report.Findings)-1]
		if last.Result != c.result || !strings.Contains(last.What, c.want) {
			t.Errorf("%s: %+v", name, last)
		}
	}
	e := admit(t, "healthy")
	e.checkSidecar(t.Context())
	if last := e.report.Findings[len(e.report.Findings)-1]; last.Result != note || !strings.Contains(last.What, "no sidecar runs") {
		t.Errorf("nobody: %+v", last)
	}
}
