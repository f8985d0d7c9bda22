package doctor

import (
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// checkProxies tells of the variables for forward proxies: what they mean for the
// sidecar, and for apps that are started with the same environment.
func (e *examination) checkProxies() {
	say := func(what, why, next string) {
		e.report.add(finding{Step: "forward proxy", Result: note, What: what, Why: why, Next: next})
	}
	env := httpproxy.FromEnvironment()
	through, _ := env.ProxyFunc()(e.cfg.Upstream)
	name := setVariable("HTTPS_PROXY", "https_proxy")
	switch {
	case !e.cfg.ProxyFromEnv && name != "":
		say(name+" is set, and the sidecar does not use it", "it counts only with MONITE_PROXY_FROM_ENV=true", "")
	case !e.cfg.ProxyFromEnv:
	case through != nil:
		say("upstream is reached through the forward proxy at "+proxyHost(through), "MONITE_PROXY_FROM_ENV=true", "")
	case name != "" && e.cfg.Upstream.Scheme == "https":
		say("upstream is reached directly, not through the proxy of "+name, "NO_PROXY names "+e.cfg.Upstream.Hostname(), "")
	case name == "":
		say("upstream is reached directly: MONITE_PROXY_FROM_ENV is true, but HTTPS_PROXY is not set", "", "set HTTPS_PROXY, or leave MONITE_PROXY_FROM_ENV out")
	}
	if name := setVariable("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"); name != "" && e.cfg.Listen.Network == "tcp" && !sparesLocalhost(env.NoProxy) {
		say("apps with this environment send their requests for localhost to the proxy of "+name, "NO_PROXY does not name localhost, and many HTTP clients make no exception for it",
			"set NO_PROXY=localhost,127.0.0.1,::1 for the apps")
	}
}

// setVariable returns the first of the names that is set.
func setVariable(names ...string) string {
	for _, name := range names {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

// proxyHost shows a proxy without the user and password that it may have.
func proxyHost(at *url.URL) string { return at.Host }

// sparesLocalhost reports whether no client sends a request for localhost or
// 127.0.0.1 to a proxy.
func sparesLocalhost(noProxy string) bool {
	var byName, byAddress bool
	for entry := range strings.SplitSeq(noProxy, ",") {
		switch entry = strings.TrimSpace(entry); {
		case entry == "*":
			return true
		case entry == "localhost":
			byName = true
		case strings.HasPrefix(entry, "127."):
			byAddress = true
		}
	}
	return byName && byAddress
}

// proxyIgnored is a hint for hosts that reach the internet by a forward proxy.
func (e *examination) proxyIgnored() string {
	if name := setVariable("HTTPS_PROXY", "https_proxy"); name != "" && !e.cfg.ProxyFromEnv {
		return " " + name + " is set, but only counts with MONITE_PROXY_FROM_ENV=true."
	}
	return ""
}
