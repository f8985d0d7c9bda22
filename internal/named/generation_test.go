//go:build unix

package named

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/listen"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
)

// asked sends a request on an open connection and returns the body.
func asked(conn net.Conn) (string, error) {
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// A reload that leaves the socket and changes who it acts as: a connection that an
// app keeps must never be the new identity's.
func TestConnectionNeverActsAsTheIdentityOfALaterReload(t *testing.T) {
	const user = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
	const entity = "11111111-1111-4111-8111-111111111111"
	for change, fields := range map[string]string{
		"name":   `name: other, grant_type: client_credentials`,
		"grant":  `name: own, grant_type: entity_user, entity_user_id: ` + user + `, entity_id: ` + entity,
		"entity": `name: own, grant_type: client_credentials, entity_id: ` + entity,
		"wider":  `name: own, grant_type: client_credentials, socket_mode: "0666"`,
		"again":  "", // removed, and added again
	} {
		k, file, socket := newTestKeeper(t, func(key string) listen.Server {
			return &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, key)
			})}
		})
		var policy atomic.Pointer[identity.Policy]
		k.SetPolicy = func(p identity.Policy) { policy.Store(&p) }
		k.Serve(make(chan error, 1))
		dial := func() net.Conn {
			conn, err := net.Dial("unix", socket)
			wiretest.Must(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			return conn
		}
		kept, silent := dial(), dial() // silent sends its first request late
		if _, err := asked(kept); err != nil {
			t.Fatal(err)
		}
		reload := func(text string) {
			wiretest.Must(t, os.WriteFile(file, []byte("identities: ["+text+"]"), 0o600))
			if !k.Reload() {
				t.Fatalf("%s: %s", change, k.trouble)
			}
		}
		if fields == "" {
			reload("")
			fields = `name: own, grant_type: client_credentials`
		}
		reload(fmt.Sprintf(`{%s, listen_addr: "unix:%s"}`, fields, socket))
		key := policy.Load().Named[0].Listener
		for name, conn := range map[string]net.Conn{"kept": kept, "silent": silent} {
			if got, err := asked(conn); err == nil && got == key {
				t.Errorf("%s: the %s connection acts as the new identity", change, name)
			}
		}
		if got, err := asked(dial()); err != nil || got != key {
			t.Errorf("%s: a new connection is of listener %q, %v, want %q", change, got, err, key)
		}
		k.Stop()
		k.Shutdown(t.Context())
		k.CutOff()
	}
}

// In no moment of a reload may a user connect whom neither the old nor the new mode
// lets in, nor reach an identity that its mode did not let it reach.
func TestModeChangesInTheOrderThatLetsNobodyIn(t *testing.T) {
	for _, change := range [][2]string{{"0600", "0666"}, {"0666", "0600"}, {"0660", "0606"}} {
		k, file, socket := newTestKeeper(t, nil)
		modeNow := func() fs.FileMode {
			info, err := os.Lstat(socket)
			wiretest.Must(t, err)
			return info.Mode().Perm()
		}
		write := func(name, mode string) {
			text := fmt.Sprintf(`identities: [{name: %s, grant_type: client_credentials, listen_addr: "unix:%s", socket_mode: "%s"}]`, name, socket, mode)
			wiretest.Must(t, os.WriteFile(file, []byte(text), 0o600))
		}
		k.Serve(make(chan error, 1))
		write("own", change[0])
		k.Reload()
		before := modeNow()
		if want := change[0]; fmt.Sprintf("%04o", before) != want {
			t.Fatalf("mode %04o, want %s", before, want)
		}
		var whenSet fs.FileMode
		k.SetPolicy = func(identity.Policy) { whenSet = modeNow() }
		write("other", change[1])
		if !k.Reload() {
			t.Fatal(k.trouble)
		}
		after := modeNow()
		if fmt.Sprintf("%04o", after) != change[1] {
			t.Errorf("%v: mode %04o at the end", change, after)
		}
		if whenSet != before&after {
			t.Errorf("%v: mode %04o when the policy changed, want %04o: what both let in", change, whenSet, before&after)
		}
		k.Stop()
		k.Shutdown(t.Context())
		k.CutOff()
	}
}

// gatedServer writes its key to each connection, and accepts one only while the gate
// is open.
type gatedServer struct {
	key  string
	gate *sync.Mutex
}

func (s *gatedServer) Serve(on net.Listener) error {
	for {
		conn, err := on.Accept()
		if err != nil {
			return err
		}
		s.gate.Lock()
		_, _ = io.WriteString(conn, s.key)
		_ = conn.Close()
		s.gate.Unlock()
	}
}

func (s *gatedServer) Shutdown(context.Context) error { return nil }
func (s *gatedServer) Close() error                   { return nil }

// Whoever waits in the kernel's queue when the mode narrows has connected under the
// old one.
func TestQueuedConnectionsOfANarrowedSocketStayWithTheOldIdentity(t *testing.T) {
	var gate sync.Mutex
	k, file, socket := newTestKeeper(t, func(key string) listen.Server { return &gatedServer{key, &gate} })
	write := func(name, mode string) {
		text := fmt.Sprintf(`identities: [{name: %s, grant_type: client_credentials, listen_addr: "unix:%s", socket_mode: "%s"}]`, name, socket, mode)
		wiretest.Must(t, os.WriteFile(file, []byte(text), 0o600))
	}
	write("own", "0666")
	k.Reload() // not served yet
	k.Serve(make(chan error, 1))
	gate.Lock()
	var waiting []net.Conn
	for range 5 {
		conn, err := net.Dial("unix", socket)
		wiretest.Must(t, err)
		waiting = append(waiting, conn)
	}
	var newKey string
	k.SetPolicy = func(p identity.Policy) { newKey = p.Named[0].Listener }
	write("other", "0600")
	time.AfterFunc(100*time.Millisecond, gate.Unlock)
	if !k.Reload() {
		t.Fatal(k.trouble)
	}
	for _, conn := range waiting {
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		got, _ := io.ReadAll(conn)
		if string(got) == newKey || !strings.HasPrefix(string(got), "unix:") {
			t.Errorf("a queued connection was served by %q", got)
		}
	}
	k.Stop()
	k.Shutdown(t.Context())
	k.CutOff()
}
