package config

import (
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
	_, err := load(t, map[string]string{"MONITE_ALLOWED_PEER_UIDS": "1000"})
	want := []string{"MONITE_ALLOWED_PEER_UIDS: want user numbers with commas between them, together with a unix: MONITE_LISTEN_ADDR (MONITE_LISTEN_ADDR is not a unix socket)"}
	if diff := cmp.Diff(want, lines(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
