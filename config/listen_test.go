package config

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
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
			t.Errorf("%s: loopback %v, all %v, dial %s %s, want %v, %v, %s", tc.text, l.Loopback(), l.AllInterfaces(), network, dial, tc.loopback,
				tc.all, tc.dial)
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
		wiretest.Must(t, err)
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
	if want := "MONITE_ADMIN_ADDR: want " + named("MONITE_ADMIN_ADDR").accepts + " (the port is missing)"; err == nil || err.Error() != want {
		t.Errorf("AdminAddr() = %v, want %s", err, want)
	}
}

func TestSocketMode(t *testing.T) {
	for text, want := range map[string]fs.FileMode{"": 0o600, "0600": 0o600, "0660": 0o660, "0666": 0o666, "0777": 0o777} {
		if got := mustLoad(t, map[string]string{"MONITE_SOCKET_MODE": text}).SocketMode; got != want {
			t.Errorf("%q: %o, want %o", text, got, want)
		}
	}
	for _, text := range []string{"600", "0o600", "0400", "0066", "0678", "1777", "7777", "-600", "rw-------", " 0600", "00600"} {
		if _, err := load(t, map[string]string{"MONITE_SOCKET_MODE": text}); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestAllowedPeerUIDs(t *testing.T) {
	socket := map[string]string{"MONITE_LISTEN_ADDR": "unix:/run/a.sock"}
	for text, want := range map[string][]uint32{"": nil, "0": {0}, "1000, 65532,1000": {1000, 65532}, "4294967294": {4294967294}} {
		socket["MONITE_ALLOWED_PEER_UIDS"] = text
		if diff := cmp.Diff(want, mustLoad(t, socket).AllowedPeerUIDs); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{",", "1,", "-1", "nobody", "0x10", "4294967295", "4294967296", "1 2", "*"} {
		socket["MONITE_ALLOWED_PEER_UIDS"] = text
		if _, err := load(t, socket); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// Who relies on the list must not find out later that a port has no users.
func TestAllowedPeerUIDsNeedASocket(t *testing.T) {
	wantMistakes(t, "a port", map[string]string{"MONITE_ALLOWED_PEER_UIDS": "1000"},
		"MONITE_ALLOWED_PEER_UIDS: want user numbers with commas between them, together with a unix: MONITE_LISTEN_ADDR "+
			"(MONITE_LISTEN_ADDR is not a unix socket)")
}

func TestPlacesAreLookedAtAndNothingIsOpened(t *testing.T) {
	directory := t.TempDir()
	readOnly := filepath.Join(directory, "ro")
	wiretest.Must(t, os.Mkdir(readOnly, 0o500))
	file := writeFile(t, filepath.Join(directory, "file"), "")
	for _, tc := range []struct{ name, value, want string }{
		{"MONITE_LISTEN_ADDR", "unix:" + directory + "/a.sock", ""},
		{"MONITE_LISTEN_ADDR", "localhost:1", ""},
		{"MONITE_ADMIN_ADDR", ":1", ""},
		{"MONITE_ADMIN_ADDR", "192.0.2.1:1", "an address that this host has"},
		{"MONITE_ADMIN_ADDR", "[2001:db8::1]:1", "an address that this host has"},
		{"MONITE_LISTEN_ADDR", "unix:" + directory + "/none/a.sock", "an address in a folder that exists: make the folder first"},
		{"MONITE_ADMIN_ADDR", "unix:" + file + "/a.sock", "an address in a folder that this user may read"},
		{"MONITE_LISTEN_ADDR", "unix:" + file, "an address where nothing exists yet, or a socket: something else has that name"},
		{"MONITE_AUDIT_LOG", file, ""},
		{"MONITE_LISTEN_ADDR", "unix:" + readOnly + "/a.sock", "an address in a folder that this user may write"},
		{"MONITE_AUDIT_LOG", readOnly + "/audit", "a file that this user may write"},
	} {
		if os.Geteuid() == 0 && strings.HasSuffix(tc.want, "may write") {
			continue // root may
		}
		var want []string
		if tc.want != "" {
			want = []string{tc.name + ": want " + tc.want}
		}
		if got := lines(mustLoad(t, map[string]string{tc.name: tc.value}).CheckPlaces()); !slices.Equal(got, want) {
			t.Errorf("%s=%s: %q, want %q", tc.name, tc.value, got, want)
		}
	}
	identities := writeFile(t, filepath.Join(directory, "identities"),
		"identities:\n- name: billing\n  grant_type: client_credentials\n  listen_addr: unix:"+directory+"/none/b.sock\n")
	got := lines(mustLoad(t, map[string]string{"MONITE_IDENTITIES_FILE": identities,
		"MONITE_LISTEN_ADDR": "unix:" + directory + "/none/a.sock"}).CheckPlaces())
	if want := []string{
		"MONITE_IDENTITIES_FILE: want a listen_addr of billing in a folder that exists: make the folder first",
		"MONITE_LISTEN_ADDR: want an address in a folder that exists: make the folder first",
	}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if left, err := filepath.Glob(directory + "/*.sock"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
