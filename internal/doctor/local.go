package doctor

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/monite-proxy/monite-proxy/internal/admin/client"
)

// ProbePrefix begins the request id of what the doctor sends to the running
// sidecar to see who listens there. It is refused on purpose.
const ProbePrefix = "monite-proxy-doctor-"

// checkSidecar asks whether the sidecar is running, whether it takes the names and
// addresses by which apps call it, and whether it does what was tried above.
func (e *examination) checkSidecar(ctx context.Context) {
	reached := !e.broken && e.report.Problems == 0
	addresses := []string{""} // what DialAddress says
	if e.cfg.Listen.Localhost {
		addresses = e.cfg.Listen.Addresses()
	}
	for _, address := range addresses {
		if strings.HasPrefix(address, "[::1]") && !hasIPv6Loopback() {
			continue
		}
		for _, host := range append([]string{"localhost"}, e.cfg.AllowedHosts...) {
			e.aside(ctx, "sidecar", func(ctx context.Context) finding { return e.callSidecar(ctx, address, host) })
			if last := e.last(); last.Result != fine {
				if last.Result == note && !e.runsElsewhere(ctx) {
					e.checkPlaces() // nobody runs
				}
				return
			}
		}
	}
	e.aside(ctx, "readiness", e.checkReadiness)
	if e.last().Result != fine {
		return
	}
	e.aside(ctx, "open writes", e.checkOpenWrites)
	e.aside(ctx, "settings", e.checkSettings)
	if e.last().Result != problem && reached {
		e.aside(ctx, "app", e.callAsApp)
	}
}

// runsElsewhere looks for a sidecar whose data listener is not where the configuration
// says, by its admin listener.
func (e *examination) runsElsewhere(ctx context.Context) bool {
	if !client.Runs(ctx) {
		return false
	}
	e.report.add(finding{Step: "sidecar", Result: problem, What: "a sidecar runs, because its admin listener responds; but nothing listens on " + e.cfg.Listen.String(),
		Why:  "it was started with another MONITE_LISTEN_ADDR than this command, or its socket was removed: apps that call this address do not reach it",
		Next: "start it again with this environment"})
	return true
}

func (e *examination) last() finding { return e.report.Findings[len(e.report.Findings)-1] }

// hasIPv6Loopback reports whether this host has ::1, which containers may lack.
func hasIPv6Loopback() bool {
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(one net.Addr) bool { return strings.HasPrefix(one.String(), "::1/") })
}

func (e *examination) checkReadiness(ctx context.Context) finding {
	sidecar, err := client.New()
	if err != nil {
		return finding{Result: problem, What: "MONITE_ADMIN_ADDR cannot be used", Next: "run 'monite-proxy check'"}
	}
	text, err := sidecar.Ask(ctx, http.MethodGet, "/readyz?verbose")
	if err == nil && strings.HasPrefix(text, "[+] ") {
		e.sidecar = sidecar
		return finding{Result: fine, What: "the running sidecar is ready"}
	}
	if err == nil {
		return finding{Result: problem, What: "another program responds on MONITE_ADMIN_ADDR",
			Why: "the running sidecar has another MONITE_ADMIN_ADDR than this command", Next: "set MONITE_ADMIN_ADDR to that of the running sidecar"}
	}
	f := finding{Result: problem, What: "the running sidecar is not ready", Next: "see the problems above, and its log"}
	for line := range strings.Lines(text) {
		if why, bad := strings.CutPrefix(line, "[-] "); bad {
			f.Why = client.TermSafe(strings.TrimSpace(why))
			return f
		}
	}
	f.What = "the data listener responds, but no admin listener does"
	f.Next = "check MONITE_ADMIN_ADDR: it must be that of the running sidecar"
	return f
}

// decisive are the variables that decide where calls go, as whom they act, and whether
// a repeated write is sent.
var decisive = []string{
	"MONITE_ENVIRONMENT", "MONITE_API_URL", "MONITE_API_VERSION", "MONITE_CA_FILE", "MONITE_PROXY_FROM_ENV", "MONITE_GRANT_TYPE", "MONITE_ENTITY_USER_ID",
	"MONITE_ENTITY_ID", "MONITE_ALLOWED_ENTITY_IDS", "MONITE_ALLOWED_ENTITY_USER_IDS", "MONITE_IDENTITIES_FILE", "MONITE_READ_ONLY",
	"MONITE_APP_TOKEN", "MONITE_APP_TOKEN_FILE", "MONITE_ALLOWED_HOSTS", "MONITE_TOKEN_HANDLES", "MONITE_VEND_ADDR", "MONITE_REPEAT_GUARD", "MONITE_IDEMPOTENCY_TTL",
}

// checkSettings compares the configuration of the running sidecar with that of
// this command, of which all the steps above tell.
func (e *examination) checkSettings(ctx context.Context) finding {
	var running struct {
		Settings []struct{ Name, Value string } `json:"configuration"`
		Named    struct{ Stale bool }           `json:"named_identities"`
	}
	if !e.status(ctx, &running) {
		return finding{Result: note, What: "the running sidecar does not report its settings"}
	}
	theirs := map[string]string{}
	for _, setting := range running.Settings {
		theirs[setting.Name] = setting.Value
	}
	var different []string
	for _, setting := range e.cfg.Redacted() {
		if value, has := theirs[setting.Name]; has && value != setting.Value && slices.Contains(decisive, setting.Name) {
			different = append(different, setting.Name)
		}
	}
	if len(different) == 0 && running.Named.Stale {
		return finding{Result: problem, What: "the running sidecar still uses the earlier identities: it could not apply a change of MONITE_IDENTITIES_FILE",
			Why: "the file had a mistake, or a listener of it could not be opened", Next: "look at its log, and correct the file"}
	}
	if len(different) == 0 {
		return finding{Result: fine, What: "the running sidecar has the same settings as this command"}
	}
	return finding{Result: problem, What: "the running sidecar and this command have different values of " + strings.Join(different, ", "),
		Why: "it was started with another environment: the checks above do not describe it", Next: "start it again with this environment, or run the doctor with its own"}
}

// status reads what the running sidecar says of itself.
func (e *examination) status(ctx context.Context, into any) bool {
	text, err := e.sidecar.Ask(ctx, http.MethodGet, "/status")
	return err == nil && json.Unmarshal([]byte(text), into) == nil
}

// send sends one GET to the data listener.
func (e *examination) send(ctx context.Context, address, host, path, requestID string) (*http.Response, error) {
	network, usual := e.cfg.Listen.DialAddress()
	if address == "" {
		address = usual
	}
	ownTLS, _ := e.localTLS()
	transport := &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: 2 * stepTimeout, TLSClientConfig: ownTLS, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: stepTimeout}).DialContext(ctx, network, address)
	}}
	scheme := "http"
	if ownTLS != nil {
		scheme = "https"
	}
	in, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	in.Host = host
	in.Header.Set("X-Request-Id", requestID)
	return transport.RoundTrip(in)
}

// refusal is the sidecar's own error response.
type refusal struct {
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
}

func readRefusal(response *http.Response) (r refusal) {
	_ = json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&r)
	return r
}

func (e *examination) callSidecar(ctx context.Context, address, host string) finding {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	shown := e.cfg.Listen.String()
	if address != "" {
		shown = address
	}
	response, err := e.send(ctx, address, host, "/v1/auth/token", ProbePrefix+rand.Text()[:10])
	if err != nil {
		if _, certified := e.localTLS(); certified && asksForCertificate(err) {
			return finding{Result: fine, What: fmt.Sprintf("runs on %s and asks apps for a certificate (MONITE_TLS_CLIENT_CA_FILE); this command has none", shown)}
		}
		if f := certificateTrouble(err); f.What != "" {
			return f
		}
		if strings.HasPrefix(address, "[::1]") && errors.Is(err, syscall.ECONNREFUSED) { // 127.0.0.1 has responded
			return finding{Result: problem, What: "the running sidecar does not listen on " + address, Why: "it was started with MONITE_LISTEN_ADDR=127.0.0.1: clients that resolve localhost to ::1 do not reach it",
				Next: "start it again with MONITE_LISTEN_ADDR=" + e.cfg.Listen.String()}
		}
		return noSidecar(shown, err)
	}
	defer func() { _ = response.Body.Close() }()
	refused := readRefusal(response)
	switch {
	case !strings.HasPrefix(response.Header.Get("Proxy-Status"), "monite-proxy"):
		return finding{Result: problem, What: "another program listens on " + shown,
			Why: "the port is taken: apps that call it do not reach monite-proxy", Next: "stop that program, or choose another MONITE_LISTEN_ADDR"}
	case refused.Error.Type == "proxy_host_not_allowed":
		return finding{Result: problem, What: "the running sidecar refuses requests for the host " + client.TermSafe(host),
			Why: "it was started with another MONITE_ALLOWED_HOSTS than this command", Next: "start it again with the same environment"}
	}
	what := fmt.Sprintf("runs on %s and takes requests for the host %s", shown, client.TermSafe(host))
	if refused.Error.Type == "proxy_app_token" {
		what += ", with an app token"
	}
	return finding{Result: fine, What: what}
}

// callAsApp sends one read through the running sidecar, to the end. All before it
// was done by this process, which is not confined and has just begun.
func (e *examination) callAsApp(ctx context.Context) finding {
	if _, certified := e.localTLS(); certified {
		return finding{Result: note, What: "not tried: apps have to show a certificate, and this command has none"}
	}
	if !e.cfg.AppToken().IsZero() {
		return finding{Result: note, What: "not tried: apps have to send MONITE_APP_TOKEN, which this command shows to nobody"}
	}
	path := "/v1/entities?limit=1"
	if e.cfg.GrantType == "entity_user" {
		path = "/v1/entity_users/my_role"
	}
	short, _, _ := strings.Cut(path, "?")
	response, err := e.send(ctx, "", "localhost", path, "doctor-"+rand.Text()[:10])
	if err != nil {
		return noSidecar(e.cfg.Listen.String(), err)
	}
	defer func() { _ = response.Body.Close() }()
	what := fmt.Sprintf("GET %s through the running sidecar: status %d", short, response.StatusCode)
	refused := readRefusal(response)
	switch {
	case response.StatusCode/100 == 2, response.StatusCode == http.StatusForbidden && !strings.HasPrefix(refused.Error.Type, "proxy_"):
		return finding{Result: fine, What: what}
	case !strings.HasPrefix(refused.Error.Type, "proxy_"):
		f := e.refused(response.StatusCode)
		f.What = what
		return f
	}
	f := finding{Result: problem, What: what + " " + client.TermSafe(refused.Error.Type), Why: "this command did the same successfully: the running sidecar has older files or another environment",
		Next: "look at its log under the request id, and start it again"}
	if status := response.Header.Get("Proxy-Status"); strings.Contains(status, "dns_error") || strings.Contains(status, "destination_unavailable") {
		f.Why = "the sidecar may only read files and use ports that it knew at its start (MONITE_CONFINE), and something has moved since, such as /etc/resolv.conf; or it has another environment"
		f.Next = "restart it; if the error comes back, set MONITE_CONFINE=off and look at its log"
	}
	return f
}

func (e *examination) localTLS() (own *tls.Config, asks bool) {
	if e.LocalTLS == nil {
		return nil, false
	}
	return e.LocalTLS()
}
