package named

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/listen"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
)

// newTestKeeper has an identities file with one listener, at a unix socket, which
// is open. newServer may be nil: nobody calls.
func newTestKeeper(t *testing.T, newServer func(key string) listen.Server) (k *Keeper, file, socket string) {
	t.Helper()
	directory, err := os.MkdirTemp("", "mp") // short: a socket's path has little room
	wiretest.Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	file, socket = filepath.Join(directory, "identities.yaml"), filepath.Join(directory, "own.sock")
	text := "identities: [{name: own, grant_type: client_credentials, listen_addr: \"unix:" + socket + "\"}]"
	wiretest.Must(t, os.WriteFile(file, []byte(text), 0o600))
	env := []string{"MONITE_CLIENT_ID", "id", "MONITE_CLIENT_SECRET", "secret", "MONITE_API_URL", "http://127.0.0.1:9", "MONITE_IDENTITIES_FILE", file}
	for n := 0; n < len(env); n += 2 {
		t.Setenv(env[n], env[n+1])
	}
	cfg, err := config.Load()
	wiretest.Must(t, err)
	if newServer == nil {
		newServer = func(string) listen.Server {
			return &http.Server{ReadHeaderTimeout: time.Second, Handler: http.NotFoundHandler()}
		}
	}
	k = New(Config{
		Settings: cfg, Log: zerolog.Nop(), SetPolicy: func(identity.Policy) {}, NewServer: newServer,
		Options:  func(_ config.Listen, mode fs.FileMode) listen.Options { return listen.Options{Mode: mode} },
		Reloaded: func(bool) {},
	})
	wiretest.Must(t, k.Listen())
	return k, file, socket
}

// A SIGHUP during the start is read before the listeners are served. Nobody calls
// Accept on a removed listener then, and nobody will.
func TestReloadBeforeListenersAreServed(t *testing.T) {
	k, file, socket := newTestKeeper(t, nil)
	wiretest.Must(t, os.WriteFile(file, []byte("identities: []"), 0o600))
	wiretest.Returns(t, "reload", func() {
		if !k.Reload() {
			t.Error("the change was not taken over")
		}
	})
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket of the removed listener is still there")
	}
	wiretest.Returns(t, "the end", func() {
		k.Serve(make(chan error, 1))
		k.Stop()
		k.Shutdown(context.Background())
		k.CutOff()
	})
}

// A request behind a removed listener has until the end of the drain, as all others
// have.
func TestDrainWaitsForRequestsOfRemovedListeners(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	k, file, socket := newTestKeeper(t, func(string) listen.Server {
		return &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			close(begun)
			<-finish
		})}
	})
	k.Serve(make(chan error, 1))
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	answered := make(chan error, 1)
	go func() {
		response, err := client.Get("http://localhost/v1/payables")
		if err == nil {
			_ = response.Body.Close()
		}
		answered <- err
	}()
	<-begun
	wiretest.Must(t, os.WriteFile(file, []byte("identities: []"), 0o600))
	if !k.Reload() {
		t.Fatal("the change was not taken over")
	}
	time.AfterFunc(300*time.Millisecond, func() { close(finish) })
	wiretest.Returns(t, "the drain", func() {
		k.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if !k.Shutdown(ctx) {
			t.Error("the drain says that it was cut short")
		}
		k.CutOff()
	})
	if err := <-answered; err != nil {
		t.Errorf("the request was cut off: %v", err)
	}
}

// A request that does not end is cut off with the drain, and the drain says so.
func TestDrainCutsOffRequestsOfRemovedListenersAtItsEnd(t *testing.T) {
	begun, gone := make(chan struct{}), make(chan struct{})
	k, file, socket := newTestKeeper(t, func(string) listen.Server {
		return &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
			close(begun)
			<-in.Context().Done()
			close(gone)
		})}
	})
	k.Serve(make(chan error, 1))
	conn, err := net.Dial("unix", socket)
	wiretest.Must(t, err)
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /v1/payables HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-begun
	wiretest.Must(t, os.WriteFile(file, []byte("identities: []"), 0o600))
	k.Reload()
	wiretest.Returns(t, "the drain", func() {
		k.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if k.Shutdown(ctx) {
			t.Error("the drain says that all requests have ended")
		}
		k.CutOff()
	})
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the request still runs")
	}
}

// identityAt is one identity of a file, with a TCP listener.
func identityAt(name, address string) string {
	return "  - {name: " + name + ", grant_type: client_credentials, listen_addr: \"" + address + "\"}\n"
}

// withPort has a Keeper that serves one listener, at the port of 127.0.0.1.
func withPort(t *testing.T) (k *Keeper, port string, write func(identities ...string)) {
	t.Helper()
	t.Setenv("MONITE_ALLOW_REMOTE", "true")
	k, file, _ := newTestKeeper(t, func(key string) listen.Server {
		return &http.Server{ReadHeaderTimeout: time.Second,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, key) })}
	})
	write = func(identities ...string) {
		t.Helper()
		wiretest.Must(t, os.WriteFile(file, []byte("identities:\n"+strings.Join(identities, "")), 0o600))
	}
	_, port, _ = net.SplitHostPort(wiretest.Nobody(t))
	k.Serve(make(chan error, 1))
	t.Cleanup(func() {
		k.Stop()
		k.Shutdown(t.Context())
		k.CutOff()
	})
	write(identityAt("old", "127.0.0.1:"+port))
	if !k.Reload() {
		t.Fatal("the first listener was not opened")
	}
	return k, port, write
}

// behind is the key of the listener that answers at the port, or the error.
func behind(client *http.Client, port string) string {
	response, err := client.Get("http://127.0.0.1:" + port + "/")
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	key, _ := io.ReadAll(response.Body)
	return string(key)
}

func onceEach() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

func TestListenerThatOverlapsWithOneStillOpenIsRefused(t *testing.T) {
	for _, address := range []string{"0.0.0.0:", "[::ffff:127.0.0.1]:"} {
		k, port, write := withPort(t)
		write(identityAt("new", address+port))
		if k.Reload() {
			t.Fatalf("to %s: taken over", address)
		}
		const want = "listen_addr of new overlaps with the listener of old, which is still open: remove it in one change and add it in the next"
		if !strings.Contains(k.trouble, want) || !k.stale.Load() {
			t.Errorf("to %s: trouble %q", address, k.trouble)
		}
		if got := behind(onceEach(), port); got != "127.0.0.1:"+port {
			t.Errorf("to %s: %s answers, want the old one", address, got)
		}
		write(identityAt("other", wiretest.Nobody(t)))
		if !k.Reload() {
			t.Fatalf("to %s: the old one is not removed: %s", address, k.trouble)
		}
		write(identityAt("new", address+port))
		if !k.Reload() {
			t.Fatalf("to %s: not added in the next change: %s", address, k.trouble)
		}
		if got := behind(onceEach(), port); got != address+port {
			t.Errorf("to %s: %s answers", address, got)
		}
	}
}
