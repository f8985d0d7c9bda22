package config

import (
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Listen is an address to listen on.
type Listen struct {
	Network string // "tcp" or "unix"
	Address string // "127.0.0.1:8080", ":8080" (all interfaces), "/run/monite.sock"
	// Localhost means both loopback addresses: Address has 127.0.0.1, and the same
	// port of ::1 belongs to it where the host has ::1.
	Localhost bool
}

// Addresses are those to listen on, as net.Listen takes them. The first has to
// open; a second one is for ::1, which a host may not have.
func (l Listen) Addresses() []string {
	if !l.Localhost {
		return []string{l.Address}
	}
	_, port, _ := net.SplitHostPort(l.Address)
	return []string{l.Address, net.JoinHostPort("::1", port)}
}

// String gives it in the form of the variable.
func (l Listen) String() string {
	switch {
	case l.Network == "unix":
		return "unix:" + l.Address
	case l.Localhost:
		_, port, _ := net.SplitHostPort(l.Address)
		return net.JoinHostPort("localhost", port)
	}
	return l.Address
}

// Loopback reports whether only this host can reach it.
func (l Listen) Loopback() bool {
	if l.Network == "unix" {
		return true
	}
	address, _, all := l.split()
	return !all && address.IsLoopback()
}

// AllInterfaces reports whether it listens on every address of the host.
func (l Listen) AllInterfaces() bool {
	_, _, all := l.split()
	return l.Network == "tcp" && all
}

// DialAddress returns what a program on the same host dials to reach it: an
// address for all interfaces is dialled on loopback.
func (l Listen) DialAddress() (network, address string) {
	if l.Network == "unix" {
		return l.Network, l.Address
	}
	ip, port, all := l.split()
	switch {
	case !all:
		return l.Network, l.Address
	case ip.Is6():
		return l.Network, net.JoinHostPort("::1", port)
	default:
		return l.Network, net.JoinHostPort("127.0.0.1", port)
	}
}

// split takes a tcp address apart. all: no host, 0.0.0.0 or [::].
func (l Listen) split() (ip netip.Addr, port string, all bool) {
	host, port, _ := net.SplitHostPort(l.Address)
	ip, _ = netip.ParseAddr(host)
	ip = ip.Unmap()
	return ip, port, host == "" || ip.IsUnspecified()
}

// Overlaps reports whether the two cannot both be listened on.
func (l Listen) Overlaps(other Listen) bool {
	if l.Network != other.Network {
		return false
	}
	if l.Network == "unix" {
		return l.Address == other.Address
	}
	for _, one := range l.Addresses() {
		for _, another := range other.Addresses() {
			if overlap(Listen{Network: "tcp", Address: one}, Listen{Network: "tcp", Address: another}) {
				return true
			}
		}
	}
	return false
}

// overlap is Overlaps for one TCP address each.
func overlap(a, b Listen) bool {
	ip, port, all := a.split()
	otherIP, otherPort, otherAll := b.split()
	if port != otherPort || port == "0" {
		return false
	}
	// 0.0.0.0 takes only IPv4; no host and [::] take both.
	return ip == otherIP || all && (!ip.Is4() || otherIP.Is4() || !otherIP.IsValid()) ||
		otherAll && (!otherIP.Is4() || ip.Is4() || !ip.IsValid())
}

// parseListen accepts host:port and unix:/path.
func parseListen(text string) (Listen, bool) {
	if path, isUnix := strings.CutPrefix(text, "unix:"); isUnix {
		return parseSocket(path)
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return Listen{}, false
	}
	number, ok := parsePort(port)
	if !ok {
		return Listen{}, false
	}
	switch {
	case strings.EqualFold(host, "localhost"):
		// By number: an image without /etc/hosts would ask the DNS.
		return Listen{Network: "tcp", Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(number)), Localhost: true}, true
	case host != "":
		ip, err := netip.ParseAddr(host)
		if err != nil || !isPrintable(host) {
			return Listen{}, false
		}
		host = ip.String()
	}
	return Listen{Network: "tcp", Address: net.JoinHostPort(host, strconv.Itoa(number))}, true
}

// parseSocket accepts what fits sockaddr_un: 108 bytes with the closing NUL.
func parseSocket(path string) (Listen, bool) {
	clean := filepath.Clean(path)
	if !filepath.IsAbs(path) || strings.HasSuffix(path, "/") || len(clean) > 107 || !isPrintable(path) {
		return Listen{}, false
	}
	return Listen{Network: "unix", Address: clean}, true
}

// parsePort accepts one to five decimal digits up to 65535.
func parsePort(text string) (int, bool) {
	var n number
	if len(text) > 5 || n.Decode(text) != nil || n > 65535 {
		return 0, false
	}
	return int(n), true
}

// isPrintable reports whether text is ASCII without spaces and control bytes.
func isPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// AdminAddr reads MONITE_ADMIN_ADDR alone, for the commands that talk to a
// running sidecar and need no credentials. The error is an *Error.
func AdminAddr() (Listen, error) {
	v := named("MONITE_ADMIN_ADDR")
	text := os.Getenv(v.name)
	if text == "" {
		text = v.fallback
	}
	listen, ok := parseListen(text)
	if !ok {
		wrong := mistakes{values: map[string]string{v.name: text}}
		wrong.refuse(v.name, "")
		return Listen{}, wrong.err()
	}
	return listen, nil
}

// buildSocketMode reads four octal digits. The owner may always read and write, or
// only root could use the socket.
func buildSocketMode(name, text string, wrong *mistakes) fs.FileMode {
	mode, err := strconv.ParseUint(text, 8, 16)
	if err != nil || len(text) != 4 || mode < 0o600 || mode > 0o777 {
		wrong.refuse(name, "")
		return 0o600
	}
	return fs.FileMode(mode)
}

// buildPeerUIDs reads the comma list. Nil: everybody.
func buildPeerUIDs(name, text string, wrong *mistakes) []uint32 {
	if text == "" {
		return nil
	}
	var uids []uint32
	for element := range strings.SplitSeq(text, ",") {
		var uid number
		// 4294967295 is (uid_t)-1, which is not a user.
		if uid.Decode(strings.Trim(element, " ")) != nil || uid >= 1<<32-1 {
			wrong.refuse(name, "")
			return nil
		}
		uids = append(uids, uint32(uid))
	}
	slices.Sort(uids)
	return slices.Compact(uids)
}
