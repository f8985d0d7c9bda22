package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/monite-proxy/monite-proxy/internal/admin/client"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// firstHop is what is dialled: upstream, or the forward proxy.
func (e *examination) firstHop() (host, port string, throughProxy bool) {
	at := e.cfg.Upstream
	if e.cfg.ProxyFromEnv {
		if proxy, err := httpproxy.FromEnvironment().ProxyFunc()(at); err == nil && proxy != nil {
			at, throughProxy = proxy, true
		}
	}
	return at.Hostname(), strconv.Itoa(int(portOf(at))), throughProxy
}

func (e *examination) checkDNS(ctx context.Context) finding {
	host, _, _ := e.firstHop()
	if _, err := netip.ParseAddr(host); err == nil {
		return finding{Result: fine, What: host + " is an address, there is nothing to look up"}
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	addresses, err := e.lookup(ctx, host)
	if err != nil {
		return e.explainDNS(host, err)
	}
	shown := strings.Join(addresses[:min(len(addresses), 4)], ", ")
	return finding{Result: fine, What: fmt.Sprintf("%s is %s", host, shown)}
}

func (e *examination) explainDNS(host string, err error) finding {
	f := finding{Result: problem, What: "the name " + host + " could not be looked up", Next: "check the resolver of this host or pod (/etc/resolv.conf), and that it may reach its DNS server." + e.proxyIgnored()}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		f.What = "the name " + host + " does not exist in DNS"
		f.Why = "a typing error in MONITE_API_URL, or a resolver that only knows internal names"
		f.Next = "check MONITE_API_URL; then the resolver of this host or pod (/etc/resolv.conf)." + e.proxyIgnored()
	} else if isTimeout(err) {
		f.Why = "the DNS server does not answer: a network policy or firewall that drops port 53, or a wrong address in /etc/resolv.conf"
	} else {
		f.Why = "the DNS server refuses or fails"
	}
	return f
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func (e *examination) checkTCP(ctx context.Context) finding {
	host, port, throughProxy := e.firstHop()
	address := net.JoinHostPort(host, port)
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	conn, err := e.dial(ctx, "tcp", address)
	if err != nil {
		return e.explainDial(address, err)
	}
	_ = conn.Close()
	if throughProxy {
		address = "the forward proxy at " + address
	}
	return finding{Result: fine, What: "connected to " + address}
}

func (e *examination) explainDial(address string, err error) finding {
	f := finding{Result: problem, What: "no TCP connection to " + address}
	switch {
	case isTimeout(err):
		f.What += ": no answer"
		f.Why = "a firewall or network policy drops the packets"
		f.Next = "allow this host or pod to reach " + address + " by TCP." + e.proxyIgnored()
	case errors.Is(err, syscall.ECONNREFUSED):
		f.What += ": refused"
		f.Why = "nothing listens there, or a firewall rejects the connection"
		f.Next = "check host and port of MONITE_API_URL, and the firewall." + e.proxyIgnored()
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		f.What += ": no route"
		f.Why = "this host or pod has no way out, or only by the other IP version"
		f.Next = "check routes and network policy." + e.proxyIgnored()
	default:
		f.Why = "the connection ended before it was made"
		f.Next = "check firewall and network policy." + e.proxyIgnored()
	}
	return f
}

func (e *examination) checkTLS(ctx context.Context) finding {
	if e.cfg.Upstream.Scheme != "https" {
		return finding{Result: note, What: "none: the upstream is http://, secrets and tokens travel in the clear"}
	}
	host, port, throughProxy := e.firstHop()
	if throughProxy {
		return finding{Result: note, What: "checked in the next step: it runs through the forward proxy"}
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	conn, err := e.dial(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return e.explainDial(net.JoinHostPort(host, port), err)
	}
	defer func() { _ = conn.Close() }()
	settings := e.transport.TLS.Clone()
	settings.ServerName, settings.NextProtos = host, []string{"http/1.1"}
	secured := tls.Client(conn, settings)
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
		f.Next = "tell whoever runs the upstream, or the proxy in between"
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
		f.What = fmt.Sprintf("the certificate is not for %s, but for %s", client.TermSafe(wrong.Host), orDash(client.TermSafe(strings.Join(names[:min(len(names), 4)], ", "))))
		f.Why = "MONITE_API_URL names another host than the server's, or a proxy or captive portal answers in its place"
		f.Next = "set MONITE_API_URL to a name of the certificate, or find out who answers on this network"
		return f
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		f.What = "the certificate is signed by an authority that is not trusted here"
		if unknown.Cert != nil {
			f.What += ": " + orDash(client.TermSafe(issuer(unknown.Cert)))
		}
		f.Why = "a firewall that inspects TLS, a private authority, or an image without root certificates"
		f.Next = "give the authority's certificate in MONITE_CA_FILE"
		if e.cfg.RootCAs != nil {
			f.Next = "MONITE_CA_FILE does not hold the right authority: give the one that signed this certificate"
		}
		return f
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return e.explainInvalid(invalid)
	}
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		f.What = "the port answers, but not in TLS"
		f.Why = "plain HTTP is spoken on this port"
		if strings.HasPrefix(string(header.RecordHeader[:]), "HTTP/") {
			f.What = "the port answers in plain HTTP, not in TLS"
		}
		f.Next = "check scheme and port of MONITE_API_URL"
		return f
	}
	if alert := alertOf(err); alert != "" {
		return explainAlert(alert)
	}
	switch {
	case isTimeout(err):
		f.What = "the port is open, but nothing answers in TLS"
		f.Why = "a firewall that lets connections through but not TLS, or a server that speaks something else"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		f.What = "the connection was closed in the TLS handshake"
		f.Why = "a firewall that refuses this server name, or a server that speaks no TLS"
	default:
		f.What = "the TLS handshake failed"
		f.Why = "client and server could not agree, or the server's certificate is odd"
		if text := err.Error(); strings.HasPrefix(text, "tls: ") {
			f.Why = client.TermSafe(text)
		}
	}
	f.Next = "check host and port of MONITE_API_URL, and what stands between here and there." + e.proxyIgnored()
	return f
}

func (e *examination) explainInvalid(invalid x509.CertificateInvalidError) finding {
	f := finding{Result: problem, What: "the certificate is not valid", Why: "it is not allowed for this use", Next: "tell whoever runs the upstream"}
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
		f.Next = "compare the clock with another machine's; if it is right, tell whoever runs the upstream"
	}
	return f
}

// alertOf returns the text of the peer's TLS alert, whose type crypto/tls does
// not export.
func alertOf(err error) string {
	_, alert, _ := strings.Cut(err.Error(), "remote error: tls: ")
	return alert
}

func explainAlert(alert string) finding {
	f := finding{Result: problem, What: "the server refused the TLS handshake: " + client.TermSafe(alert), Next: "check MONITE_API_URL"}
	switch {
	case strings.Contains(alert, "certificate"):
		f.Why = "it asks for a client certificate, and got none or another one"
		f.Next = "set MONITE_UPSTREAM_CERT_FILE and MONITE_UPSTREAM_KEY_FILE"
	case strings.Contains(alert, "protocol version"):
		f.Why = "it offers nothing newer than TLS 1.1; monite-proxy wants 1.2 or better"
	case strings.Contains(alert, "unrecognized name"):
		f.Why = "it knows no host of this name"
	default:
		f.Why = "server and client have no protocol version or cipher in common, or it asks for a client certificate"
	}
	return f
}

// checkAPI asks without a token, and wants to be refused in Monite's way.
func (e *examination) checkAPI(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, 3*stepTimeout)
	defer cancel()
	target := *e.cfg.Upstream
	target.Path, target.RawQuery = "/v1/entities", "limit=1"
	out, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return finding{Result: problem, What: "no request can be made for this upstream", Next: "check MONITE_API_URL"}
	}
	out.Header.Set("X-Monite-Version", e.cfg.APIVersion)
	response, err := e.seen.RoundTrip(out)
	if err != nil {
		return e.explainSend(err)
	}
	_ = response.Body.Close()
	return e.explainStranger(response.StatusCode)
}

// explainStranger judges an answer to a request without a token.
func (e *examination) explainStranger(status int) finding {
	elsewhere := finding{Result: problem, Why: "a captive portal, a proxy or a firewall answers in Monite's place, or MONITE_API_URL names another site",
		Next: "open MONITE_API_URL from this host and see who answers; check MONITE_API_URL." + e.proxyIgnored()}
	switch {
	case status/100 == 3:
		elsewhere.What = fmt.Sprintf("a redirect (status %d) to %s instead of an answer of the API", status, orDash(e.seen.redirect))
		return elsewhere
	case e.seen.html:
		elsewhere.What = fmt.Sprintf("a web page (status %d) instead of an answer of the API", status)
		return elsewhere
	case status >= 500:
		return finding{Result: problem, What: fmt.Sprintf("the API answers with status %d", status), Why: "Monite, or a gateway in front of it, is in trouble",
			Next: "try again in a minute; look at Monite's status page"}
	case status == http.StatusTooManyRequests:
		return finding{Result: note, What: "the API answers 429: too many requests from here", Next: "try again in a minute"}
	case status == http.StatusUnauthorized:
		return finding{Result: fine, What: "the API answers, and refuses a request without a token, as it should"}
	case status/100 == 2:
		return finding{Result: note, What: fmt.Sprintf("the API answers a request without a token with status %d", status),
			Why: "this is not Monite, or something in between adds a token of its own"}
	default:
		return finding{Result: fine, What: fmt.Sprintf("the API answers a request without a token with status %d", status)}
	}
}

// explainSend names the cause of a request that got no answer.
func (e *examination) explainSend(err error) finding {
	host, port, _ := e.firstHop()
	broken, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		return finding{Result: problem, What: "the request could not be sent", Next: "check MONITE_API_URL"}
	}
	if alert := alertOf(err); alert != "" {
		return explainAlert(alert) // TLS 1.3 refuses a client after the handshake
	}
	switch broken.Op {
	case upstream.OpDial:
		if _, dns := errors.AsType[*net.DNSError](err); dns {
			return e.explainDNS(host, err)
		}
		return e.explainDial(net.JoinHostPort(host, port), err)
	case upstream.OpTLS:
		return e.explainTLS(err)
	case upstream.OpProxy:
		f := finding{Result: problem, What: "the forward proxy " + net.JoinHostPort(host, port) + " gives no way through",
			Why: "it refuses this destination, wants a user and password, or is not reachable", Next: "check HTTPS_PROXY and NO_PROXY, and what the proxy allows"}
		if _, status, found := strings.Cut(broken.Err.Error(), "CONNECT with status "); found {
			f.What = "the forward proxy " + net.JoinHostPort(host, port) + " answered CONNECT with status " + client.TermSafe(status)
		}
		return f
	}
	f := finding{Result: problem, What: "the connection broke before an answer", Why: "the server, or something in between, closed it",
		Next: "try again; if it stays, look at what stands between here and there." + e.proxyIgnored()}
	switch {
	case broken.Timeout:
		f.What, f.Why = "connected, but no answer in time", "the server is overloaded, or something in between swallows requests"
	case strings.Contains(broken.Err.Error(), "malformed"):
		f.What, f.Why = "what answers does not speak HTTP/1.1", "another protocol on this port, or TLS where http:// was configured"
		f.Next = "check scheme and port of MONITE_API_URL"
	}
	return f
}

// mostSkew is how far apart the clocks may be.
const mostSkew = time.Minute

// checkClock compares with the Date of the last answer, which is exact to a
// second.
func (e *examination) checkClock() {
	if e.seen.status == 0 {
		e.report.add(finding{Step: "clock", Result: skipped, What: "not tried, because there was no answer"})
		return
	}
	if e.seen.date.IsZero() {
		e.report.add(finding{Step: "clock", Result: note, What: "the answer has no Date to compare with"})
		return
	}
	middle := e.now().Add(-time.Since(e.seen.asked.Add(e.seen.seenAt.Sub(e.seen.asked) / 2)))
	skew := middle.Sub(e.seen.date).Round(time.Second)
	word := "ahead of"
	if skew < 0 {
		word = "behind"
	}
	f := finding{Step: "clock", Result: fine, What: fmt.Sprintf("%v %s upstream's", skew.Abs(), word)}
	if skew.Abs() <= 2*time.Second {
		f.What = "agrees with upstream's"
	}
	if skew.Abs() > mostSkew {
		f.Result = problem
		f.What = fmt.Sprintf("this machine's clock is %v %s upstream's", skew.Abs(), word)
		f.Why = "no time synchronisation here (or, rarely, a cache that answers with an old Date)"
		f.Next = "set the clock (NTP): certificates, and the logs you compare, depend on it"
	}
	e.report.add(f)
}
