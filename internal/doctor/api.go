package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/admin/client"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// checkAPI asks without a token, and expects the refusal that Monite sends.
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
	if broken, sent := errors.AsType[*upstream.Error](err); sent && broken.Op != upstream.OpDial && !broken.Timeout ||
		err == nil && response.StatusCode == http.StatusBadRequest && !e.seen.json {
		if e.speaksTLS(ctx) {
			return finding{Result: problem, What: "the port speaks TLS, and MONITE_API_URL begins with http://",
				Why: "plain HTTP is configured for this port", Next: "let MONITE_API_URL begin with https://"}
		}
	}
	if err != nil {
		return e.explainSend(err)
	}
	_ = response.Body.Close()
	return e.explainStranger(response.StatusCode)
}

// explainStranger judges the response to a request without a token.
func (e *examination) explainStranger(status int) finding {
	elsewhere := finding{Result: problem, Why: "a captive portal, a proxy or a firewall responds in Monite's place, or MONITE_API_URL names another site",
		Next: "open MONITE_API_URL from this host and see what responds; check MONITE_API_URL." + e.proxyIgnored()}
	switch {
	case status/100 == 3:
		elsewhere.What = fmt.Sprintf("a redirect (status %d) to %s instead of a response of the API", status, cmp.Or(e.seen.redirect, "-"))
		return elsewhere
	case e.seen.html && status < 500:
		elsewhere.What = fmt.Sprintf("a web page (status %d) instead of a response of the API", status)
		return elsewhere
	case status >= 500:
		return finding{Result: problem, What: fmt.Sprintf("the API responds with status %d", status), Why: "Monite itself, or a gateway in front of it, is in trouble: nothing is wrong here",
			Next: "try again in a minute; look at Monite's status page"}
	case status == http.StatusTooManyRequests:
		return finding{Result: note, What: "the API responds with 429: too many requests from here", Next: "try again in a minute"}
	case status == http.StatusUnauthorized:
		return finding{Result: fine, What: "the API responds, and refuses a request without a token, as it should"}
	case status/100 == 2:
		return finding{Result: note, What: fmt.Sprintf("the API responds to a request without a token with status %d", status),
			Why: "this is not Monite, or something in between adds a token of its own"}
	case status == http.StatusForbidden && !e.seen.json:
		elsewhere.What = "status 403 that is not in the form of the API"
		elsewhere.Why = "a firewall for web applications (WAF) in between refuses requests from here"
		elsewhere.Next = "ask its operator to let requests for " + e.cfg.Upstream.Host + " pass." + e.proxyIgnored()
		return elsewhere
	case status == http.StatusNotFound && !e.seen.json:
		elsewhere.What = "status 404 that is not in the form of the API"
		return elsewhere
	default:
		return finding{Result: fine, What: fmt.Sprintf("the API responds to a request without a token with status %d", status)}
	}
}

// explainSend names the cause of a request without a response.
func (e *examination) explainSend(err error) finding {
	host, port, _ := e.firstHop()
	broken, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		return finding{Result: problem, What: "the request could not be sent", Next: "check MONITE_API_URL"}
	}
	if alert := alertOf(err); alert != "" {
		return e.explainAlert(alert) // TLS 1.3 refuses a client after the handshake
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
		f := finding{Result: problem, What: "the forward proxy " + net.JoinHostPort(host, port) + " does not let the connection through",
			Why: "it refuses this destination, wants a user and password, or is not reachable", Next: "check HTTPS_PROXY and NO_PROXY, and what the proxy allows"}
		if _, status, found := strings.Cut(broken.Err.Error(), "CONNECT with status "); found {
			f.What = "the forward proxy " + net.JoinHostPort(host, port) + " responded to CONNECT with status " + client.TermSafe(status)
			f.Why = "it refuses this destination"
			if strings.HasPrefix(status, "407") {
				f.Why, f.Next = "it wants a user and password, or other ones", "put them into HTTPS_PROXY: http://user:password@host:port"
			}
		} else if broken.Timeout {
			f.What = "the forward proxy " + net.JoinHostPort(host, port) + " takes the connection, but does not respond"
			f.Why = "it is overloaded, or another program has this port"
		}
		return f
	}
	f := finding{Result: problem, What: "the connection broke before a response", Why: "the server, or something in between, closed it",
		Next: "try again; if it persists, look at what stands between here and there." + e.proxyIgnored()}
	switch {
	case broken.Timeout && e.cfg.UpstreamTimeout < 2*stepTimeout:
		f.What = fmt.Sprintf("connected, but no response in time: %v (MONITE_UPSTREAM_TIMEOUT)", e.cfg.UpstreamTimeout)
		f.Why = "Monite is slower than that, or something in between swallows requests"
		f.Next = "raise MONITE_UPSTREAM_TIMEOUT; if it is still slow, look at what stands between here and there." + e.proxyIgnored()
	case broken.Timeout:
		f.What, f.Why = "connected, but no response in time", "the server is overloaded, or something in between swallows requests"
	case e.certificateAsked:
		f.What = "the server closed the connection after the TLS handshake"
		e.explainClientCertificate(&f)
	case strings.Contains(broken.Err.Error(), "malformed"):
		f.What, f.Why = "the server does not speak HTTP/1.1", "another protocol on this port, or TLS where http:// was configured"
		f.Next = "check scheme and port of MONITE_API_URL"
	}
	return f
}

// mostSkew limits how far apart the clocks may be.
const mostSkew = time.Minute

// checkClock compares with the Date of the last response, which is exact to a
// second.
func (e *examination) checkClock() {
	if e.seen.status == 0 {
		e.report.add(finding{Step: "clock", Result: skipped, What: "not tried, because there was no response"})
		return
	}
	if e.seen.date.IsZero() {
		e.report.add(finding{Step: "clock", Result: note, What: "the response has no Date to compare with"})
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
		f.Why = "no time synchronisation here (or, rarely, a cache that responds with an old Date)"
		f.Next = "set the clock (NTP): certificates, and the logs you compare, depend on it"
	}
	e.report.add(f)
}

// lastResponse remembers what tells who sent the last response.
type lastResponse struct {
	next          http.RoundTripper
	status        int // 0: there was none
	html, json    bool
	redirect      string // the host that Location names
	date          time.Time
	asked, seenAt time.Time
	err           error
}

func (l *lastResponse) RoundTrip(out *http.Request) (*http.Response, error) {
	next := l.next
	*l = lastResponse{next: next, asked: time.Now()}
	response, err := next.RoundTrip(out)
	l.seenAt, l.err = time.Now(), err
	if err != nil {
		return nil, err
	}
	l.status = response.StatusCode
	contentType := strings.ToLower(response.Header.Get("Content-Type"))
	l.html, l.json = strings.Contains(contentType, "html"), strings.Contains(contentType, "json")
	if at, err := response.Location(); err == nil {
		l.redirect = client.TermSafe(at.Host)
	}
	l.date, _ = http.ParseTime(response.Header.Get("Date"))
	return response, nil
}
