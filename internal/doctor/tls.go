package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/admin/client"
)

func (e *examination) checkTLS(ctx context.Context) finding {
	if e.cfg.Upstream.Scheme != "https" {
		return finding{Result: note, What: "none: the upstream is http://, secrets and tokens travel in the clear"}
	}
	host, _, throughProxy := e.firstHop()
	if throughProxy {
		return finding{Result: note, What: "checked in the next step: it runs through the forward proxy"}
	}
	conn, address, err := e.connect(ctx)
	if err != nil {
		return e.explainDial(address, err)
	}
	defer func() { _ = conn.Close() }()
	settings := e.Transport.TLS.Clone()
	settings.ServerName, settings.NextProtos = host, []string{"http/1.1"}
	own := settings.GetClientCertificate
	settings.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		e.certificateAsked = true
		if own == nil {
			return new(tls.Certificate), nil
		}
		return own(asked)
	}
	secured := tls.Client(conn, settings)
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		return e.explainTLS(err)
	}
	state := secured.ConnectionState()
	leaf := state.PeerCertificates[0]
	left := leaf.NotAfter.Sub(e.now())
	days := int(left.Hours() / 24)
	f := finding{Result: fine, What: fmt.Sprintf("%s, certificate for %s by %s, %d in the chain, %d days left",
		tls.VersionName(state.Version), client.TermSafe(host), client.TermSafe(issuer(leaf)), len(state.PeerCertificates), days)}
	if days < 7 {
		f.Result = note
		f.Why = "the certificate ends on " + leaf.NotAfter.UTC().Format(time.DateOnly)
		f.Next = "tell the operator of the upstream, or of the proxy in between"
	}
	return f
}

func issuer(certificate *x509.Certificate) string {
	if len(certificate.Issuer.Organization) > 0 {
		return certificate.Issuer.Organization[0]
	}
	return certificate.Issuer.CommonName
}

// explainTLS names the cause of a handshake that failed.
func (e *examination) explainTLS(err error) finding {
	f := finding{Result: problem}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		names := wrong.Certificate.DNSNames
		f.What = fmt.Sprintf("the certificate is not for %s, but for %s", client.TermSafe(wrong.Host), cmp.Or(client.TermSafe(strings.Join(names[:min(len(names), 4)], ", ")), "-"))
		f.Why = "MONITE_API_URL names another host than the server's, or a proxy or captive portal responds in its place"
		f.Next = "set MONITE_API_URL to a name of the certificate, or find out what responds on this network"
		return f
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		f.What = "the certificate is signed by an authority that is not trusted here"
		if unknown.Cert != nil {
			f.What += ": " + cmp.Or(client.TermSafe(issuer(unknown.Cert)), "-")
		}
		f.Why = "a firewall that inspects TLS, a private authority, or an image without root certificates"
		f.Next = "put the authority's certificate into MONITE_CA_FILE"
		if e.cfg.RootCAs != nil {
			f.Next = "MONITE_CA_FILE does not hold the right authority: add the one that signed this certificate"
		}
		return f
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return e.explainInvalid(invalid)
	}
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		f.What = "the port responds, but not in TLS"
		f.Why = "this port speaks plain HTTP"
		if strings.HasPrefix(string(header.RecordHeader[:]), "HTTP/") {
			f.What = "the port speaks plain HTTP, not TLS"
		}
		f.Next = "check scheme and port of MONITE_API_URL"
		return f
	}
	if alert := alertOf(err); alert != "" {
		return e.explainAlert(alert)
	}
	switch {
	case isTimeout(err):
		f.What = "the port is open, but nothing responds in TLS"
		f.Why = "a firewall that lets connections through but not TLS, or a server that speaks something else"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		f.What = "the connection was closed in the TLS handshake"
		f.Why = "a firewall that refuses this server name, or a server that does not speak TLS"
	default:
		f.What = "the TLS handshake failed"
		f.Why = "client and server could not agree, or the server's certificate is unusual"
		if text := err.Error(); strings.HasPrefix(text, "tls: ") {
			f.Why = client.TermSafe(text)
		}
	}
	f.Next = "check host and port of MONITE_API_URL, and what stands between here and there." + e.proxyIgnored()
	return f
}

func (e *examination) explainInvalid(invalid x509.CertificateInvalidError) finding {
	f := finding{Result: problem, What: "the certificate is not valid", Why: "it is not allowed for this use", Next: "tell the operator of the upstream"}
	if invalid.Reason != x509.Expired || invalid.Cert == nil {
		return f
	}
	now, from, until := e.now().UTC(), invalid.Cert.NotBefore.UTC(), invalid.Cert.NotAfter.UTC()
	f.What = fmt.Sprintf("the certificate is valid from %s until %s, and this machine's clock says %s",
		from.Format(time.DateOnly), until.Format(time.DateOnly), now.Format(time.DateTime))
	if now.Before(from) {
		f.Why = "this machine's clock is behind: certificates are not issued ahead of time"
		f.Next = "set the clock (NTP)"
	} else {
		f.Why = "the certificate has not been renewed, or this machine's clock is ahead"
		f.Next = "compare the clock with another machine's; if it is right, tell the operator of the upstream"
	}
	return f
}

// alertOf returns the text of the peer's TLS alert, whose type crypto/tls does
// not export.
func alertOf(err error) string {
	_, alert, _ := strings.Cut(err.Error(), "remote error: tls: ")
	return alert
}

func (e *examination) explainAlert(alert string) finding {
	f := finding{Result: problem, What: "the server refused the TLS handshake: " + client.TermSafe(alert), Next: "check MONITE_API_URL"}
	switch {
	case strings.Contains(alert, "certificate"):
		e.explainClientCertificate(&f)
	case strings.Contains(alert, "protocol version"):
		f.Why = "it offers nothing newer than TLS 1.1; monite-proxy wants 1.2 or better"
	case strings.Contains(alert, "unrecognized name"):
		f.Why = "the server does not serve a host of this name"
	default:
		f.Why = "server and client have no protocol version or cipher in common, or it asks for a client certificate"
	}
	return f
}

// explainClientCertificate is for a server that asked for a certificate.
func (e *examination) explainClientCertificate(f *finding) {
	f.Why, f.Next = "it asks for a client certificate, and got none", "set MONITE_UPSTREAM_CERT_FILE and MONITE_UPSTREAM_KEY_FILE"
	if e.cfg.ClientCertificate() != nil {
		f.Why = "it asks for a client certificate, and does not accept that of MONITE_UPSTREAM_CERT_FILE"
		f.Next = "give the certificate, with its chain, that the operator of the upstream has issued; it must not have ended"
	}
}

// speaksTLS reports whether the port of an upstream that is configured as http://
// speaks TLS. Who it is does not matter here.
func (e *examination) speaksTLS(ctx context.Context) bool {
	host, _, throughProxy := e.firstHop()
	if e.cfg.Upstream.Scheme != "http" || throughProxy {
		return false
	}
	conn, _, err := e.connect(ctx)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	err = tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}).HandshakeContext(ctx)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return err == nil || untrusted
}
