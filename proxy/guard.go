package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/proxy/target"
)

// allowedMethods are what is forwarded, as the Allow field lists them.
const allowedMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"

const maxTargetBytes = 16 << 10

// guard decides what may come in at all. It stands before the router, so that no
// path gets past it, and before everything that costs: a refused request
// mints nothing and sends nothing. It refuses; it never repairs, because what
// it would repair, upstream may understand otherwise.
type guard struct {
	hosts        target.Hosts
	appToken     func() secret.String
	readOnly     bool
	tokenHandles bool // the token request comes in
	maxBodyBytes int64
	maxInFlight  int64
	inFlight     atomic.Int64
}

// guard refuses the request, or counts it in: then it must leave.
func (c *call) guard() *failed {
	g := c.handler.guard
	problem := g.check(c.in, c.path)
	if problem == nil && c.nearPrefix {
		problem = &problemUnknownIdentity
	}
	if problem != nil {
		return notSent(problem)
	}
	if failure := g.enter(); failure != nil {
		return failure
	}
	c.record.AppToken = g.wantsAppToken() // and has seen it
	return nil
}

// enter counts one request in. Not above the limit.
func (g *guard) enter() *failed {
	if g.inFlight.Add(1) > g.maxInFlight {
		g.inFlight.Add(-1)
		return &failed{problem: &problemOverloaded, outcome: NotSent, retryAfter: time.Second}
	}
	return nil
}

func (g *guard) leave() { g.inFlight.Add(-1) }

// check returns why the request is refused, or nil. The order is the order of
// the refusals: who asks, then what is asked.
func (g *guard) check(in *http.Request, path string) *problem {
	switch {
	case fromBrowser(in): // before the method: a preflight learns that it is refused
		return &problemBrowser
	case !methodAllowed(in.Method):
		return &problemMethod
	}
	if p := g.checkCaller(in, path); p != nil {
		return p
	}
	switch {
	case g.tokenHandles && isTokenRequest(in.Method, path):
		return nil // answered here
	case target.TouchesAuth(path):
		return &problemRoute
	case g.readOnly && in.Method != http.MethodGet && in.Method != http.MethodHead:
		return &problemReadOnly
	case !versionAllowed(in.Header["X-Monite-Version"]):
		return &problemHeader
	case in.ContentLength > g.maxBodyBytes:
		return &problemBodyTooLarge
	}
	return nil
}

// checkCaller is the part of check that knows nothing of what is asked. It takes an
// offer to upgrade out of the request.
func (g *guard) checkCaller(in *http.Request, path string) *problem {
	ignoreUpgradeOffer(in.Header)
	switch {
	case len(in.RequestURI) > maxTargetBytes:
		return &problemTargetTooLong
	case headTooLarge(in.Header):
		return &problemHeaderTooLarge
	case !target.OriginForm(in.RequestURI) || !target.SafePath(path):
		return &problemTarget
	case !g.hosts.Allow(in.Host, func() netip.Addr { return localAddr(in) }):
		return &problemHost
	case len(in.Header["Upgrade"]) > 0 || len(in.Header["Http2-Settings"]) > 0:
		return &problemUpgrade
	case !connectionOptionsAllowed(in.Header["Connection"]):
		return &problemHeader
	case !g.appTokenRight(in.Header):
		return &problemAppToken
	}
	return nil
}

func methodAllowed(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// methodLabel keeps made-up methods out of logs and metrics.
func methodLabel(method string) string {
	if methodAllowed(method) {
		return method
	}
	return "other"
}

func headTooLarge(header http.Header) bool {
	fields, bytes := 0, 0
	for name, values := range header {
		fields += len(values)
		for _, value := range values {
			bytes += len(name) + len(value) + len(": \r\n")
		}
	}
	return fields > maxHeaderFields || bytes > maxHeaderBytes
}

// fromBrowser reports whether a web page sends the request: a page that somebody
// looks at must not spend the company's money. Browsers mark what they send: by Origin, and by Sec-Fetch-Site with
// everything that goes to a loopback address.
//
// Node's fetch sends a lone "Sec-Fetch-Mode: cors", and Node is not a browser; a
// browser never sends it without Sec-Fetch-Site.
func fromBrowser(in *http.Request) bool {
	for name, values := range in.Header {
		if !strings.HasPrefix(name, "Sec-Fetch-") {
			continue
		}
		if name != "Sec-Fetch-Mode" || len(values) != 1 || values[0] != "cors" {
			return true
		}
	}
	origins := in.Header["Origin"]
	if len(origins) == 0 {
		return len(in.Header["Access-Control-Request-Method"]) > 0 ||
			len(in.Header["Access-Control-Request-Private-Network"]) > 0
	}
	// Foreign is every origin but the proxy's own, under the name that Host says
	// and that the Host check has seen.
	scheme := "http://"
	if in.TLS != nil {
		scheme = "https://"
	}
	return len(origins) > 1 || !strings.EqualFold(origins[0], scheme+in.Host)
}

// connectionOptionsAllowed refuses options that name fields for the next hop to
// remove (RFC 9110 section 7.6.1). Nobody may have ours removed.
func connectionOptionsAllowed(values []string) bool {
	for _, value := range values {
		if value == "keep-alive" || value == "close" { // what nearly all send
			continue
		}
		for option := range strings.SplitSeq(value, ",") {
			option = strings.Trim(option, " \t")
			for _, c := range []byte(option) {
				if c >= utf8.RuneSelf { // to ToLower a Kelvin sign is a k
					return false
				}
			}
			switch strings.ToLower(option) {
			case "close", "keep-alive", "te", "":
			default:
				return false
			}
		}
	}
	return true
}

// wantsAppToken reports whether apps must show a token.
func (g *guard) wantsAppToken() bool { return g.appToken != nil && !g.appToken().IsZero() }

func (g *guard) appTokenRight(header http.Header) bool {
	if g.appToken == nil {
		return true
	}
	want := g.appToken()
	if want.IsZero() {
		return true
	}
	given := header["X-Monite-Proxy-Token"]
	return len(given) == 1 && want.Equal(secret.New(given[0]))
}

// versionAllowed accepts none, or one date. Upstream parses it as one and fails on
// anything else.
func versionAllowed(values []string) bool {
	if len(values) == 0 {
		return true
	}
	return len(values) == 1 && isDate(values[0])
}

func isDate(text string) bool {
	if len(text) != len("2024-05-25") {
		return false
	}
	for i := range len(text) {
		if i == 4 || i == 7 {
			if text[i] != '-' {
				return false
			}
		} else if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// localAddr is the address at which the app reached us; invalid on a unix socket.
func localAddr(in *http.Request) netip.Addr {
	if addr, ok := in.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return addr.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func knownHosts(names []string, bound netip.Addr) target.Hosts {
	hosts := target.Hosts{Names: map[string]bool{}, Bound: bound}
	for _, name := range names {
		hosts.Names[name] = true
	}
	return hosts
}
