package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckSeesWhoHasTheAddresses(t *testing.T) {
	folder := t.TempDir()
	socket, err := net.Listen("unix", filepath.Join(folder, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("[+] listener ok\n[-] token: waiting\n"))
	}))
	defer own.Close()
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	address := func(server *httptest.Server) string { return strings.TrimPrefix(server.URL, "http://") }
	for name, c := range map[string]struct {
		data, admin string
		code        int
		says        string
	}{
		"all free":           {"127.0.0.1:0", "127.0.0.1:0", exitOK, "acts as the entity user aaaaaaaa-..., for the entity bbbbbbbb-..."},
		"a stranger":         {address(stranger), "127.0.0.1:1", exitOK, "warning: MONITE_LISTEN_ADDR: another program listens on " + address(stranger)},
		"a stranger's admin": {"127.0.0.1:0", address(stranger), exitOK, "warning: MONITE_ADMIN_ADDR: another program"},
		"a live socket":      {"unix:" + socket.Addr().String(), "127.0.0.1:1", exitOK, "warning: MONITE_LISTEN_ADDR: another program"},
		"the sidecar itself": {"127.0.0.1:0", address(own), exitOK, "a running monite-proxy has these addresses"},
	} {
		for variable, value := range map[string]string{
			"MONITE_CLIENT_ID": "id", "MONITE_CLIENT_SECRET": "secret", "MONITE_LISTEN_ADDR": c.data, "MONITE_ADMIN_ADDR": c.admin,
			"MONITE_ENTITY_USER_ID": "aaaaaaaa-0000-4000-8000-000000000001", "MONITE_ENTITY_ID": "bbbbbbbb-0000-4000-8000-000000000001",
		} {
			t.Setenv(variable, value)
		}
		var out strings.Builder
		if code := check(&out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", name, code, c.code, c.says, out.String())
		}
	}
}
