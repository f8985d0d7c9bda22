package config

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestListenAddressSaysWhoReachesIt(t *testing.T) {
	tests := []struct {
		text          string
		loopback, all bool
		dial          string
	}{
		{"127.0.0.1:8080", true, false, "127.0.0.1:8080"},
		{"127.8.8.8:8080", true, false, "127.8.8.8:8080"},
		{"localhost:8080", true, false, "127.0.0.1:8080"},
		{"[::1]:8080", true, false, "[::1]:8080"},
		{"[::ffff:127.0.0.1]:8080", true, false, "[::ffff:127.0.0.1]:8080"},
		{":8081", false, true, "127.0.0.1:8081"},
		{"0.0.0.0:8081", false, true, "127.0.0.1:8081"},
		{"[::]:8081", false, true, "[::1]:8081"},
		{"[::ffff:0.0.0.0]:8081", false, true, "127.0.0.1:8081"},
		{"10.0.0.1:8081", false, false, "10.0.0.1:8081"},
		{"unix:/run/a.sock", true, false, "/run/a.sock"},
	}
	for _, tc := range tests {
		l, ok := parseListen(tc.text)
		if !ok {
			t.Errorf("parseListen(%q) refused", tc.text)
			continue
		}
		network, dial := l.DialAddress()
		if l.Loopback() != tc.loopback || l.AllInterfaces() != tc.all || dial != tc.dial || network != l.Network {
			t.Errorf("%s: loopback %v, all %v, dial %s %s, want %v, %v, %s", tc.text, l.Loopback(), l.AllInterfaces(), network, dial, tc.loopback, tc.all, tc.dial)
		}
	}
}

func TestListenAddressCanBeListenedOnAndDialled(t *testing.T) {
	for _, text := range []string{"127.0.0.1:0", "localhost:0", ":0", "0.0.0.0:0", "unix:" + filepath.Join(t.TempDir(), "a.sock")} {
		l, ok := parseListen(text)
		if !ok {
			t.Fatalf("parseListen(%q) refused", text)
		}
		listener, err := net.Listen(l.Network, l.Address)
		if err != nil {
			t.Fatal(err)
		}
		bound := l
		if l.Network == "tcp" {
			bound.Address = listener.Addr().String()
		}
		network, address := bound.DialAddress()
		conn, err := net.Dial(network, address)
		if err != nil {
			t.Errorf("%s: dial: %v", text, err)
		} else {
			_ = conn.Close()
		}
		_ = listener.Close()
	}
}

func TestLocalhostIsBothLoopbackAddresses(t *testing.T) {
	for text, want := range map[string][]string{
		"localhost:8080":   {"127.0.0.1:8080", "[::1]:8080"},
		"LocalHost:1":      {"127.0.0.1:1", "[::1]:1"},
		"127.0.0.1:8080":   {"127.0.0.1:8080"},
		"[::1]:8080":       {"[::1]:8080"},
		":8080":            {":8080"},
		"unix:/run/a.sock": {"/run/a.sock"},
	} {
		l, ok := parseListen(text)
		if got := l.Addresses(); !ok || !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestOverlapOfListeners(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"127.0.0.1:1", "[::ffff:127.0.0.1]:1", true},
		{"localhost:1", "127.0.0.1:1", true},
		{"localhost:1", "[::1]:1", true},
		{"localhost:1", "localhost:1", true},
		{"localhost:1", "LOCALHOST:1", true},
		{"localhost:1", "localhost:2", false},
		{"localhost:1", "127.0.0.2:1", false},
		{"localhost:1", "0.0.0.0:1", true},
		{"localhost:1", "[::]:1", true},
		{"localhost:1", ":1", true},
		{"localhost:0", "localhost:0", false},
		{"localhost:1", "unix:/a", false},
		{"127.0.0.1:1", "0.0.0.0:1", true},
		{"127.0.0.1:1", ":1", true},
		{"127.0.0.1:1", "[::]:1", true},
		{"[::1]:1", "[::]:1", true},
		{"[::1]:1", ":1", true},
		{"[::1]:1", "0.0.0.0:1", false},
		{"0.0.0.0:1", "[::]:1", true},
		{":1", "0.0.0.0:1", true},
		{":1", ":1", true},
		{":0", ":0", false},
		{"unix:/a", "unix:/a", true},
		{"unix:/a", "unix:/b", false},
		{"unix:/a", ":1", false},
	}
	for _, tc := range tests {
		a, okA := parseListen(tc.a)
		b, okB := parseListen(tc.b)
		if !okA || !okB {
			t.Fatalf("%s or %s refused", tc.a, tc.b)
		}
		if a.Overlaps(b) != tc.want || b.Overlaps(a) != tc.want {
			t.Errorf("%s and %s: overlap %v, %v, want %v", tc.a, tc.b, a.Overlaps(b), b.Overlaps(a), tc.want)
		}
	}
}

func TestAdminAddrNeedsNothingElse(t *testing.T) {
	environ(t, map[string]string{"MONITE_CLIENT_ID": "-", "MONITE_CLIENT_SECRET": "-", "MONITE_LOG_LEVEL": "bad", "MONITE_ADMIN_ADDR": ":9001"})
	if got, err := AdminAddr(); err != nil || got != (Listen{Network: "tcp", Address: ":9001"}) {
		t.Errorf("AdminAddr() = %v, %v, want :9001", got, err)
	}
	t.Setenv("MONITE_ADMIN_ADDR", "")
	if got, err := AdminAddr(); err != nil || got.String() != "localhost:8081" {
		t.Errorf("AdminAddr() of empty = %v, %v, want the default", got, err)
	}
	_ = os.Unsetenv("MONITE_ADMIN_ADDR")
	t.Setenv("ADMIN_ADDR", ":1")
	if got, err := AdminAddr(); err != nil || got.String() != "localhost:8081" {
		t.Errorf("AdminAddr() of unset = %v, %v, want the default", got, err)
	}
	t.Setenv("MONITE_ADMIN_ADDR", "CANARY")
	_, err := AdminAddr()
	if want := "MONITE_ADMIN_ADDR: want " + named("MONITE_ADMIN_ADDR").accepts; err == nil || err.Error() != want {
		t.Errorf("AdminAddr() = %v, want %s", err, want)
	}
}
