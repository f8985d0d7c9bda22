package target

import (
	"net/netip"
	"strings"
)

// Hosts are the names of one listener, besides those of the loopback.
type Hosts struct {
	// Names are further ones, as HostName returns them.
	Names map[string]bool
	// Bound is the listener's address; the zero value if it is a unix socket.
	Bound netip.Addr
}

// Allow compares the value of a Host field with the names: exactly, never by
// suffix, because a page that reached us by DNS rebinding comes under a name of
// its own, such as 127.0.0.1.nip.io or localhost.evil.example. reachedAt returns
// the address at which the request came in, or the zero value.
func (h *Hosts) Allow(host string, reachedAt func() netip.Addr) bool {
	name, ok := HostName(host)
	if !ok {
		return false
	}
	if LoopbackName(name) || h.Names[name] {
		return true
	}
	addr, err := netip.ParseAddr(name)
	if err != nil || addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	// An address that the proxy is bound to, or was reached at. No page can come
	// by one without its true origin showing.
	return addr == h.Bound || addr == reachedAt()
}

// HostName returns the host of a Host field value, lower case, without port,
// brackets and trailing dot. ok is false if it is not a plain host.
func HostName(host string) (name string, ok bool) {
	name, port := host, ""
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return "", false
		}
		name, port = host[1:end], host[end+1:]
		if addr, err := netip.ParseAddr(name); err != nil || !addr.Is6() {
			return "", false
		}
	} else if colon := strings.IndexByte(host, ':'); colon >= 0 {
		name, port = host[:colon], host[colon:]
	}
	if port != "" && !isPort(port) {
		return "", false
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name, name != ""
}

// isPort accepts ":" and up to five digits.
func isPort(text string) bool {
	if text[0] != ':' || len(text) > len(":65535") {
		return false
	}
	return strings.Trim(text[1:], "0123456789") == ""
}

// LoopbackName reports whether a name, as HostName returns it, is localhost or
// a loopback address. Other spellings of an address, such as 2130706433, 0177.1
// or 127.1, are not addresses here.
func LoopbackName(name string) bool {
	if name == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Zone() == "" && addr.IsLoopback() && !addr.Is4In6()
}
