package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/admin/client"
)

// checkSidecar asks whether the sidecar is running, and whether it takes the names
// by which apps call it. It sends a request that the sidecar itself refuses.
func (e *examination) checkSidecar(ctx context.Context) {
	for _, host := range append([]string{"localhost"}, e.cfg.AllowedHosts...) {
		e.aside(ctx, "sidecar", func(ctx context.Context) finding { return e.callSidecar(ctx, host) })
		if last := e.report.Findings[len(e.report.Findings)-1]; last.Result != fine {
			return
		}
	}
	e.aside(ctx, "readiness", func(ctx context.Context) finding {
		sidecar, err := client.New()
		if err != nil {
			return finding{Result: problem, What: "MONITE_ADMIN_ADDR cannot be used"}
		}
		text, err := sidecar.Ask(ctx, http.MethodGet, "/readyz?verbose")
		if err == nil {
			return finding{Result: fine, What: "the running sidecar is ready"}
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
	})
}

func (e *examination) callSidecar(ctx context.Context, host string) finding {
	network, address := e.cfg.Listen.DialAddress()
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	ownTLS, certified := e.localTLS()
	transport := &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: stepTimeout, TLSClientConfig: ownTLS, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	scheme := "http"
	if ownTLS != nil {
		scheme = "https"
	}
	in, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost/v1/auth/token", nil)
	if err != nil {
		return finding{Result: problem, What: "no request can be made for the data listener"}
	}
	in.Host = host
	response, err := transport.RoundTrip(in)
	if err != nil {
		if certified && asksForCertificate(err) {
			return finding{Result: fine, What: fmt.Sprintf("runs on %s and asks apps for a certificate (MONITE_TLS_CLIENT_CA_FILE); this command has none", e.cfg.Listen)}
		}
		if f := certificateTrouble(err); f.What != "" {
			return f
		}
		return noSidecar(e.cfg.Listen.String(), err)
	}
	defer func() { _ = response.Body.Close() }()
	var refusal struct {
		Error struct {
			Type string `json:"type"`
		} `json:"error"`
	}
	_ = json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&refusal)
	switch {
	case !strings.HasPrefix(response.Header.Get("Proxy-Status"), "monite-proxy"):
		return finding{Result: problem, What: fmt.Sprintf("another program listens on %s", e.cfg.Listen),
			Why: "the port is taken: apps that call it do not reach monite-proxy", Next: "stop that program, or choose another MONITE_LISTEN_ADDR"}
	case refusal.Error.Type == "proxy_host_not_allowed":
		return finding{Result: problem, What: "the running sidecar refuses requests for the host " + client.TermSafe(host),
			Why: "it was started with another MONITE_ALLOWED_HOSTS than this command", Next: "start it again with the same environment"}
	}
	what := fmt.Sprintf("runs on %s and takes requests for the host %s", e.cfg.Listen, client.TermSafe(host))
	if refusal.Error.Type == "proxy_app_token" {
		what += ", with an app token"
	}
	return finding{Result: fine, What: what}
}

func (e *examination) localTLS() (own *tls.Config, asks bool) {
	if e.LocalTLS == nil {
		return nil, false
	}
	return e.LocalTLS()
}

func noSidecar(at string, err error) finding {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return finding{Result: note, What: "no sidecar runs on " + at + " as seen from here", Next: "if it should: start it, and look at its log"}
	case errors.Is(err, syscall.EACCES):
		return finding{Result: problem, What: "this user may not open " + at, Why: "the socket belongs to another user; it is of mode 0600", Next: "run app and sidecar as the same user"}
	case isTimeout(err):
		return finding{Result: problem, What: at + " takes the connection, but does not respond within " + stepTimeout.Round(time.Second).String(),
			Why: "the sidecar is stopped or overloaded, or another program listens there", Next: "look at the sidecar's log"}
	}
	return finding{Result: problem, What: "what listens on " + at + " does not speak HTTP/1.1", Why: "another program has the port", Next: "stop that program, or choose another MONITE_LISTEN_ADDR"}
}

// asksForCertificate recognises the alert certificate_required of TLS 1.3, and
// bad_certificate of TLS 1.2 (RFC 8446 section 6.2). crypto/tls tells of a received
// alert in words only.
func asksForCertificate(err error) bool {
	told, ok := errors.AsType[*net.OpError](err)
	return ok && told.Op == "remote error" && strings.Contains(told.Err.Error(), "certificate")
}

// certificateTrouble explains why the listener's own certificate was not accepted.
func certificateTrouble(err error) finding {
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Reason == x509.Expired {
		return finding{Result: problem, What: "the certificate of the data listener is not valid now",
			Why: fmt.Sprintf("it is valid from %s to %s", bad.Cert.NotBefore.Format(time.DateOnly), bad.Cert.NotAfter.Format(time.DateOnly)), Next: "renew MONITE_TLS_CERT_FILE; it is read again at once"}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return finding{Result: problem, What: "the running sidecar shows another certificate than that of MONITE_TLS_CERT_FILE",
			Why: "it was started with other files than this command, or another program has the port", Next: "start it again with the same environment"}
	}
	return finding{}
}
