package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/proxy/target"
)

// methods are forwarded. allowedMethods is the same list in the form of the Allow field.
var (
	methods        = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	allowedMethods = strings.Join(methods, ", ")
)

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
	inside       places // of the requests that have come in, more than may be sent at once
}

// guard refuses the request, or counts it in: then it must leave.
func (c *call) guard() *failed {
	g := c.handler.guard
	c.atDoor = true
	problem := g.check(c.in, c.path)
	if problem == nil && c.nearPrefix {
		problem = &problemUnknownIdentity
	}
	if problem != nil {
		return c.refused(problem)
	}
	if failure := g.enter(c.arrival.Listener, !c.view.HasListeners()); failure != nil {
		return failure
	}
	c.atDoor = false
	c.record.AppToken = g.wantsAppToken() // and has seen it
	return nil
}

// enter counts one request in if there is a place for it. Its arguments are those of
// places.take.
func (g *guard) enter(listener string, alone bool) *failed {
	if !g.inside.take(listener, alone) {
		return overloaded()
	}
	return nil
}

// check returns why the request is refused, or nil. The order is that of the
// refusals: first the caller, then the request.
func (g *guard) check(in *http.Request, path string) *problem {
	switch {
	case g.fromPage(in): // before the method: a preflight learns that it is refused
		return &problemBrowser
	case !methodAllowed(in.Method):
		return &problemMethod
	}
	if p := g.checkCaller(in, path); p != nil {
		return p
	}
	switch {
	case g.tokenHandles && isTokenRequest(in.Method, path):
		return nil // served here
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

// checkCaller is the part of check that knows nothing of what is asked.
func (g *guard) checkCaller(in *http.Request, path string) *problem {
	switch {
	case len(in.RequestURI) > maxTargetBytes:
		return &problemTargetTooLong
	case headTooLarge(in.Header):
		return &problemHeaderTooLarge
	case !target.OriginForm(in.RequestURI) || !target.SafePath(path):
		return &problemTarget
	case !g.hostAllowed(in):
		return &problemHost
	case wantsWebsocket(in.Header["Upgrade"]):
		return &problemUpgrade
	case !connectionOptionsAllowed(in.Header["Connection"]):
		return &problemHeader
	case !g.appTokenRight(in.Header):
		return &problemAppToken
	}
	return nil
}

func methodAllowed(method string) bool { return slices.Contains(methods, method) }

// methodLabel keeps made-up methods out of logs and metrics. What it returns is not a
// part of the request's head, which would stay in memory with it.
func methodLabel(method string) string {
	if i := slices.Index(methods, method); i >= 0 {
		return methods[i]
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

// connectionOptionsAllowed refuses options that name fields for the next hop to
// remove (RFC 9110 section 7.6.1). An app cannot have ours removed. The fields of
// those that it takes end here in any case.
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
			case "upgrade", "http2-settings", "proxy-connection", "trailer", "trailers":
			default:
				return false
			}
		}
	}
	return true
}

// wantsWebsocket reports whether an app asks for a websocket, without which it can
// do nothing. Every other Upgrade is an offer that the receiver may ignore (RFC 9110
// section 7.8): Apache HttpClient offers TLS with each request, the JDK's client and
// curl offer h2c.
func wantsWebsocket(offers []string) bool {
	for _, value := range offers {
		for offer := range strings.SplitSeq(value, ",") {
			name, _, _ := strings.Cut(offer, "/") // the version of the protocol
			name = strings.Trim(name, " \t")
			// To EqualFold a long s is an s, but it has two bytes.
			if len(name) == len("websocket") && strings.EqualFold(name, "websocket") {
				return true
			}
		}
	}
	return false
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
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

// hostAllowed reports whether the Host of a request is one of ours. On a unix socket
// any will do: no web page reaches one, and clients send a Host of their own making.
func (g *guard) hostAllowed(in *http.Request) bool {
	if _, isUnix := in.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); isUnix {
		return true
	}
	return g.hosts.Allow(in.Host, func() netip.Addr { return localAddr(in) })
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
