package config

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// knownHosts are those that Monite publishes, by environment.
var knownHosts = map[string]string{"sandbox": "api.sandbox.monite.com", "eu": "api.monite.com", "us": "us.api.monite.com"}

// custom is the environment of an upstream that is not one of Monite's.
const custom = "custom"

// Production reports whether the upstream is one where money moves. An upstream
// that is not one of Monite's counts as a test.
func (c *Config) Production() bool { return c.Environment == "eu" || c.Environment == "us" }

func environmentOf(host string) string {
	for environment, known := range knownHosts {
		if known == host {
			return environment
		}
	}
	return custom
}

// buildUpstream decides the environment and the origin. Credentials of one
// environment sent to another one are leaked to it, so the two variables have
// to agree.
func buildUpstream(parsed *spec, wrong *mistakes) (environment string, origin *url.URL) {
	environment = parsed.Environment
	host, known := knownHosts[environment]
	if environment != "" && !known {
		wrong.refuse("MONITE_ENVIRONMENT", "")
		environment = ""
	}
	if parsed.APIURL == "" {
		if environment == "" {
			environment = "sandbox"
			host = knownHosts[environment]
		}
		return environment, &url.URL{Scheme: "https", Host: host}
	}
	origin, problem := parseOrigin(parsed.APIURL)
	if problem != "" {
		wrong.refuse("MONITE_API_URL", problem)
		return environment, nil
	}
	if isSuccessor(origin.Hostname()) {
		wrong.add("MONITE_API_URL", "an origin of Monite's API: tesouro.com is its successor, and this version does not speak its protocol, "+
			"which has a form-encoded token endpoint, other paths and other names of header fields")
	}
	if origin.Scheme == "http" && !isLoopbackHost(origin.Hostname()) && !parsed.AllowPlaintextUpstream {
		wrong.add("MONITE_API_URL", "an https:// origin: http:// is only for loopback, or with MONITE_ALLOW_PLAINTEXT_UPSTREAM=true")
	}
	switch actual := environmentOf(origin.Hostname()); {
	case environment == "":
		environment = actual
	case actual != custom && actual != environment:
		wrong.add("MONITE_ENVIRONMENT", "the environment that the host of MONITE_API_URL belongs to, or only one of the two variables")
	}
	return environment, origin
}

// isSuccessor reports whether the host belongs to the successor of Monite's API. Our
// tokens mean nothing there, and its entity field is not the one that is checked.
func isSuccessor(host string) bool {
	return host == "tesouro.com" || strings.HasSuffix(host, ".tesouro.com")
}

// parseURL reads a URL of http or https without a user, a query and a fragment.
// problem is a fixed text, empty if all is well.
func parseURL(text, schemes string) (parsed *url.URL, problem string) {
	if !isPrintable(text) {
		return nil, "it has a space or a byte that is not printable ASCII in it"
	}
	parsed, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, "it is not a URL"
	case parsed.Scheme != "https" && parsed.Scheme != "http":
		return nil, "it does not begin with " + schemes
	case parsed.User != nil:
		return nil, "it has a user in it"
	// url.Parse drops an empty fragment, so the text is asked.
	case strings.ContainsAny(text, "?#"):
		return nil, "it has a query or a fragment"
	case parsed.Opaque != "" || parsed.Hostname() == "":
		return nil, "it has no host"
	}
	return parsed, ""
}

// parseOrigin reads an origin (RFC 6454 section 4) and returns it with its host
// in lower case and without a default port. problem is as of parseURL.
func parseOrigin(text string) (origin *url.URL, problem string) {
	parsed, problem := parseURL(text, "https://")
	if problem != "" {
		return nil, problem
	}
	switch parsed.EscapedPath() {
	case "", "/", "/v1", "/v1/":
	default:
		return nil, "it has a path other than /v1"
	}
	host, ok := originHost(parsed)
	if !ok {
		return nil, "its host or port is not valid"
	}
	return &url.URL{Scheme: parsed.Scheme, Host: host}, ""
}

func originHost(parsed *url.URL) (string, bool) {
	host := strings.ToLower(strings.TrimSuffix(parsed.Hostname(), "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		// A zone id in a host has fooled proxy rules before (CVE-2025-22870).
		if ip.Zone() != "" {
			return "", false
		}
		host = ip.String()
	} else if !isHostName(host) {
		return "", false
	}
	port := parsed.Port()
	if port == "" {
		return bracket(host), !strings.HasSuffix(parsed.Host, ":")
	}
	if number, ok := parsePort(port); !ok || number == 0 {
		return "", false
	}
	if port == "443" && parsed.Scheme == "https" || port == "80" && parsed.Scheme == "http" {
		return bracket(host), true
	}
	return net.JoinHostPort(host, port), true
}

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func isLoopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// checkProxies judges HTTPS_PROXY and HTTP_PROXY where they count. The library that
// reads them later takes one that cannot be parsed for none, and connects directly.
func checkProxies(parsed *spec, wrong *mistakes) {
	if !parsed.ProxyFromEnv {
		return
	}
	for _, names := range [][]string{{"HTTPS_PROXY", "https_proxy"}, {"HTTP_PROXY", "http_proxy"}} {
		for _, name := range names {
			text := os.Getenv(name)
			if text == "" {
				continue
			}
			if problem := proxyProblem(text); problem != "" {
				wrong.add(name, "a URL such as http://proxy:3128, or MONITE_PROXY_FROM_ENV=false ("+problem+")")
			}
			break // the first that is set is the one that counts
		}
	}
}

// proxyProblem is a fixed text, empty if all is well. As everywhere, the scheme
// may be left out.
func proxyProblem(text string) string {
	if !isPrintable(text) {
		return "it has a space or a byte that is not printable ASCII in it"
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	if _, err := url.PathUnescape(text); err != nil {
		return "a % in it is not followed by two hexadecimal digits; in a user or password write %25 for it"
	}
	at, err := url.Parse(text)
	switch {
	case err != nil && strings.Count(text, "@") > 0:
		return "it is not a URL; characters such as / ? # [ ] in a user or password have to be percent-encoded"
	case err != nil:
		return "it is not a URL: its host or port is not valid"
	case at.Scheme != "http" && at.Scheme != "https":
		return "it does not begin with http:// or https://, and no other kind of proxy is supported"
	case at.Hostname() == "":
		return "it has no host"
	case strings.ContainsAny(text, "?#"):
		return "it has a query or a fragment; in a user or password write %3F for ? and %23 for #"
	case at.Path != "" && at.Path != "/":
		return "it has a path; in a user or password write %2F for /"
	}
	if _, ok := originHost(at); !ok {
		return "its host or port is not valid"
	}
	return ""
}
