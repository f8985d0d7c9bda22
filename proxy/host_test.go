package proxy

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
)

var hostRows = []struct {
	host string
	ok   bool
}{
	{"localhost", true}, {"LOCALHOST", true}, {"LocalHost:8080", true}, {"localhost.", true}, {"localhost.:8080", true}, {"localhost:", true}, {"localhost:0", true}, {"localhost:65535", true},
	{"127.0.0.1", true}, {"127.0.0.1:8080", true}, {"127.0.0.1.", true}, {"127.1.2.3", true}, {"127.255.255.255:1", true},
	{"[::1]", true}, {"[::1]:8080", true}, {"[0:0:0:0:0:0:0:1]", true}, {"[0000::0001]:80", true},
	{"monite-proxy", true}, {"Monite-Proxy:8080", true}, {"monite-proxy.billing.svc.cluster.local", true}, {"monite-proxy.billing.svc.cluster.local.", true},
	{"10.1.2.3", true}, {"10.1.2.3:8080", true}, // bound
	{"192.0.2.7", true}, {"[::ffff:192.0.2.7]:80", true}, // reached at

	{"", false}, {".", false}, {":", false}, {":8080", false}, {"localhost..", false}, {".localhost", false},
	{"localhost.evil.example", false}, {"evil.localhost", false}, {"localhost.localdomain", false}, {"evil.example", false}, {"evil.example:8080", false}, {"api.monite.com", false},
	{"127.0.0.1.nip.io", false}, {"127-0-0-1.nip.io", false}, {"127.0.0.1.evil.example:8080", false}, {"a.127.0.0.1", false},
	{"monite-proxy.evil.example", false}, {"xmonite-proxy", false}, {"monite-proxy.billing", false}, {"monite-proxy.billing.svc.cluster.local.evil.example", false}, {"monite_proxy", false},
	{"0.0.0.0", false}, {"0.0.0.0:8080", false}, {"0", false}, {"[::]", false}, {"[::]:8080", false},
	{"2130706433", false}, {"0x7f000001", false}, {"0x7f.0.0.1", false}, {"017700000001", false}, {"0177.0.0.1", false}, {"127.1", false}, {"127.0.1", false}, {"127.0.0.01", false}, {"127.0.0.1.1", false}, {"256.0.0.1", false},
	{"10.1.2.4", false}, {"192.0.2.8", false}, {"192.168.0.1", false}, {"169.254.169.254", false}, {"128.0.0.1", false}, {"126.255.255.255", false},
	{"[::2]", false}, {"[::1%25lo]", false}, {"[::1%lo]:80", false}, {"[fe80::1%25eth0]", false}, {"[fe80::1]", false}, {"::1", false}, {"::1:8080", false}, {"[::1", false}, {"::1]", false}, {"[::1].", false}, {"[::1]x", false},
	{"[127.0.0.1]", false}, {"[localhost]", false}, {"[]", false}, {"[::ffff:7f00:2]", false}, {"[64:ff9b::7f00:1]", false},
	{"user@localhost", false}, {"localhost@evil.example", false}, {"user:pass@localhost:80", false}, {"localhost:80@evil.example", false}, {"localhost:80:80", false}, {"localhost:8080x", false}, {"localhost:-1", false},
	{"localhost:+80", false}, {"localhost:080080", false}, {"localhost/x", false}, {"localhost?x", false}, {"localhost#x", false}, {"localhost\\x", false}, {"localhost%00", false}, {"localhost%2eevil", false}, {"http://localhost", false},
	{"localhost localhost", false}, {" localhost", false}, {"localhost\t", false}, {"localhost,evil", false}, {"localhost;x", false},
	{"xn--localhost-9za", false}, {"loc\u00e4lhost", false}, {"\uff4cocalhost", false}, {"localhost\u3002", false}, {"loca\u00adlhost", false}, {"127\u30020\u30020\u30021", false},
}

func testGuard() *guard {
	return &guard{
		hosts: map[string]bool{"monite-proxy": true, "monite-proxy.billing.svc.cluster.local": true},
		bound: netip.MustParseAddr("10.1.2.3"), maxBodyBytes: 1 << 20, maxInFlight: 10,
	}
}

func TestHostIsComparedExactly(t *testing.T) {
	if len(hostRows) < 100 {
		t.Fatalf("%d rows", len(hostRows))
	}
	g := testGuard()
	in := (&http.Request{}).WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8080}))
	for _, row := range hostRows {
		if got := g.hostAllowed(row.host, in); got != row.ok {
			t.Errorf("hostAllowed(%q) = %v, want %v", row.host, got, row.ok)
		}
	}
}

// On a unix socket there is no address to be reached at.
func TestUnixSocketHasNoLocalAddress(t *testing.T) {
	g := testGuard()
	g.bound = netip.Addr{}
	in := (&http.Request{}).WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/x.sock"}))
	for host, want := range map[string]bool{"localhost": true, "127.0.0.1": true, "192.0.2.7": false, "": false, "invalid IP": false} {
		if got := g.hostAllowed(host, in); got != want {
			t.Errorf("hostAllowed(%q) = %v, want %v", host, got, want)
		}
	}
}

func FuzzHost(f *testing.F) {
	for _, row := range hostRows {
		f.Add(row.host)
	}
	g := testGuard()
	g.bound = netip.Addr{}
	f.Fuzz(func(t *testing.T, host string) {
		if !g.hostAllowed(host, &http.Request{}) {
			return
		}
		// The oracle: an URL parser, as the app has one.
		u, err := url.Parse("http://" + host + "/")
		if err != nil {
			t.Fatalf("%q passes and is no host: %v", host, err)
		}
		name, _ := HostName(u.Host)
		if addr, err := netip.ParseAddr(name); u.User != nil || name != "localhost" && !g.hosts[name] && (err != nil || !addr.IsLoopback()) {
			t.Errorf("%q passes as %q", host, u.Hostname())
		}
	})
}
