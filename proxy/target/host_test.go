package target

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/target/targettest"
)

func ours() Hosts {
	return Hosts{
		Names: map[string]bool{"monite-proxy": true, "monite-proxy.billing.svc.cluster.local": true},
		Bound: netip.MustParseAddr("10.1.2.3"),
	}
}

func at(text string) func() netip.Addr {
	addr, _ := netip.ParseAddr(text)
	return func() netip.Addr { return addr }
}

func TestHostIsComparedExactly(t *testing.T) {
	if len(targettest.Hosts) < 100 {
		t.Fatalf("%d rows", len(targettest.Hosts))
	}
	for _, row := range targettest.Hosts {
		hosts := ours()
		if got := hosts.Allow(row.Host, at("192.0.2.7")); got != row.OK {
			t.Errorf("Allow(%q) = %v, want %v", row.Host, got, row.OK)
		}
	}
}

// On a unix socket there is no address to be bound to or reached at.
func TestHostWithoutAnAddressIsALoopbackName(t *testing.T) {
	for host, want := range map[string]bool{"localhost": true, "127.0.0.1": true, "192.0.2.7": false, "": false, "invalid IP": false} {
		if got := (&Hosts{}).Allow(host, at("")); got != want {
			t.Errorf("Allow(%q) = %v, want %v", host, got, want)
		}
	}
}

func FuzzHost(f *testing.F) {
	for _, row := range targettest.Hosts {
		f.Add(row.Host)
	}
	hosts := ours()
	hosts.Bound = netip.Addr{}
	f.Fuzz(func(t *testing.T, host string) {
		if !hosts.Allow(host, at("")) {
			return
		}
		// The oracle: an URL parser, as the app has one.
		u, err := url.Parse("http://" + host + "/")
		if err != nil {
			t.Fatalf("%q passes and is no host: %v", host, err)
		}
		name, _ := HostName(u.Host)
		if addr, err := netip.ParseAddr(name); u.User != nil || name != "localhost" && !hosts.Names[name] && (err != nil || !addr.IsLoopback()) {
			t.Errorf("%q passes as %q", host, u.Hostname())
		}
	})
}
