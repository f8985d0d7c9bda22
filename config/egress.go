package config

import (
	"net/url"
	"os"
	"strings"
)

// checkProxies judges HTTPS_PROXY and HTTP_PROXY where they count. Whoever reads
// them later takes one that cannot be parsed for none, and connects directly.
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
	if badPercent(text) {
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

func badPercent(text string) bool {
	for i := range len(text) {
		if text[i] == '%' && (i+2 >= len(text) || !isHex(text[i+1]) || !isHex(text[i+2])) {
			return true
		}
	}
	return false
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
