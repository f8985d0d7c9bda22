package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/monite-proxy/monite-proxy/internal/ids"
)

// buildHosts reads the comma list of Host names.
func buildHosts(text string, wrong *mistakes) []string {
	if text == "" {
		return nil
	}
	var hosts []string
	for element := range strings.SplitSeq(text, ",") {
		host, ok := parseHost(strings.Trim(element, " "))
		if !ok {
			wrong.refuse("MONITE_ALLOWED_HOSTS", "")
			return nil
		}
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// parseHost takes a host name or an IP address, drops the port and the final
// dot, and returns it in lower case, an address in its canonical form and
// without brackets.
func parseHost(text string) (string, bool) {
	host := text
	if ip, err := netip.ParseAddr(text); err == nil {
		return ip.Unmap().String(), ip.Zone() == ""
	}
	if inside, isBracket := strings.CutPrefix(text, "["); isBracket {
		inside, rest, closed := strings.Cut(inside, "]")
		ip, err := netip.ParseAddr(inside)
		if !closed || err != nil || !ip.Is6() || ip.Zone() != "" || !isPortSuffix(rest) {
			return "", false
		}
		return ip.Unmap().String(), true
	}
	if i := strings.IndexByte(text, ':'); i >= 0 {
		if !isPortSuffix(text[i:]) {
			return "", false
		}
		host = text[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), true
	}
	return host, isHostName(host)
}

// isPortSuffix reports whether text is empty or a colon and a port.
func isPortSuffix(text string) bool {
	port, found := strings.CutPrefix(text, ":")
	if !found {
		return text == ""
	}
	_, ok := parsePort(port)
	return ok
}

// isHostName accepts the names of RFC 1123 section 2.1 in lower case, and the
// underscore, which compose allows in service names. Two things that look like
// names are not: a last label of digits, which some resolvers take for an
// IPv4 address (127.1), and a UUID, which is an id or a client secret that was
// pasted into the wrong variable.
func isHostName(name string) bool {
	if _, isID := ids.Parse(name); isID || name == "" || len(name) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}
