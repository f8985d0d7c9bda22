package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/listen"
	"github.com/monite-proxy/monite-proxy/internal/logs"
)

// withDoor is a sidecar that does not run yet, with an identities file that has
// one listener of its own, at a unix socket.
func withDoor(t *testing.T, more ...string) (s *sidecar, file, socket string) {
	t.Helper()
	directory, err := os.MkdirTemp("", "mp") // short: a socket's path has little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	file, socket = filepath.Join(directory, "identities.yaml"), filepath.Join(directory, "door.sock")
	text := "identities: [{name: door, grant_type: client_credentials, listen_addr: \"unix:" + socket + "\"}]"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append([]string{"MONITE_CLIENT_ID", "id", "MONITE_API_URL", "http://127.0.0.1:9", "MONITE_IDENTITIES_FILE", file}, more...)
	if len(more) == 0 {
		env = append(env, "MONITE_CLIENT_SECRET", "secret")
	}
	for n := 0; n < len(env); n += 2 {
		t.Setenv(env[n], env[n+1])
	}
	cfg, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	lines := logs.Start(io.Discard, nil)
	t.Cleanup(lines.Close)
	audit, err := logs.OpenAudit(cfg, lines, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(audit.Close)
	s = newSidecar(cfg, zerolog.Nop(), lines, audit, time.Now())
	if err := s.named.listen(); err != nil {
		t.Fatal(err)
	}
	return s, file, socket
}

func within(t *testing.T, limit time.Duration, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatal(what + " has not returned")
	}
}

// A SIGHUP that came while the process started is read before the doors are
// served. Nobody calls Accept on a door then, and nobody will.
func TestReloadBeforeDoorsAreServed(t *testing.T) {
	s, file, socket := withDoor(t)
	if err := os.WriteFile(file, []byte("identities: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "reload", func() {
		if !s.named.reload() {
			t.Error("the change was not taken over")
		}
	})
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket of the removed door is still there")
	}
	within(t, 10*time.Second, "the end", func() {
		s.named.serve(make(chan error, 1))
		s.named.stopAll()
		s.named.shutdown(context.Background())
		s.named.cutOff()
	})
}

// A removed door is no reason to cut off what came through it: it has until the
// end of the drain, as all others have.
func TestDrainWaitsForRequestsOfRemovedDoors(t *testing.T) {
	s, file, socket := withDoor(t)
	begun, finish := make(chan struct{}), make(chan struct{})
	s.named.newServer = func(string) listen.Server {
		return &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			close(begun)
			<-finish
		})}
	}
	for _, d := range s.named.doors {
		d.server = s.named.newServer("")
	}
	s.named.serve(make(chan error, 1))
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
	if err := os.WriteFile(file, []byte("identities: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !s.named.reload() {
		t.Fatal("the change was not taken over")
	}
	time.AfterFunc(300*time.Millisecond, func() { close(finish) })
	within(t, 10*time.Second, "the drain", func() {
		s.named.stopAll()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if !s.named.shutdown(ctx) {
			t.Error("the drain says that it was cut short")
		}
		s.named.cutOff()
	})
	if err := <-answered; err != nil {
		t.Errorf("the request was cut off: %v", err)
	}
}

// What does not end is cut off with the drain, and the drain says so.
func TestDrainCutsOffRequestsOfRemovedDoorsAtItsEnd(t *testing.T) {
	s, file, socket := withDoor(t)
	begun, gone := make(chan struct{}), make(chan struct{})
	for _, d := range s.named.doors {
		d.server = &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
			close(begun)
			<-in.Context().Done()
			close(gone)
		})}
	}
	s.named.serve(make(chan error, 1))
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /v1/payables HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := os.WriteFile(file, []byte("identities: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.named.reload()
	within(t, 10*time.Second, "the drain", func() {
		s.named.stopAll()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if s.named.shutdown(ctx) {
			t.Error("the drain says that all requests have ended")
		}
		s.named.cutOff()
	})
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the request still runs")
	}
}

// portDoor is one identity of a file, with a TCP listener.
func portDoor(name, address string) string {
	return "  - {name: " + name + ", grant_type: client_credentials, listen_addr: \"" + address + "\"}\n"
}

// withPort is a sidecar that serves one door, at the port of 127.0.0.1.
func withPort(t *testing.T) (s *sidecar, port string, write func(doors ...string)) {
	t.Helper()
	t.Setenv("MONITE_ALLOW_REMOTE", "true")
	s, file, _ := withDoor(t)
	s.named.newServer = func(key string) listen.Server {
		return &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, key) })}
	}
	write = func(doors ...string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("identities:\n"+strings.Join(doors, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ = net.SplitHostPort(freeAddress(t))
	s.named.serve(make(chan error, 1))
	t.Cleanup(func() {
		s.named.stopAll()
		s.named.shutdown(t.Context())
		s.named.cutOff()
	})
	write(portDoor("old", "127.0.0.1:"+port))
	if !s.named.reload() {
		t.Fatal("the first door was not opened")
	}
	return s, port, write
}

// freeAddress is most likely free.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// behind is the key of the door that answers at the port, or the error.
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
		s, port, write := withPort(t)
		write(portDoor("new", address+port))
		if s.named.reload() {
			t.Fatalf("to %s: taken over", address)
		}
		const want = "listen_addr of new overlaps with the listener of old, which is still open: remove it in one change and add it in the next"
		if !strings.Contains(s.named.trouble, want) || !s.named.stale.Load() {
			t.Errorf("to %s: trouble %q", address, s.named.trouble)
		}
		if got := behind(onceEach(), port); got != "127.0.0.1:"+port {
			t.Errorf("to %s: %s answers, want the old one", address, got)
		}
		write(portDoor("other", freeAddress(t)))
		if !s.named.reload() {
			t.Fatalf("to %s: the old one is not removed: %s", address, s.named.trouble)
		}
		write(portDoor("new", address+port))
		if !s.named.reload() {
			t.Fatalf("to %s: not added in the next change: %s", address, s.named.trouble)
		}
		if got := behind(onceEach(), port); got != address+port {
			t.Errorf("to %s: %s answers", address, got)
		}
	}
}

// The files may hold anything before a mint has proven it.
func TestHandlesOutliveSecretsThatAreNotProven(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good")
	t.Setenv("MONITE_TOKEN_HANDLES", "true")
	t.Setenv("MONITE_HOLD_TIMEOUT", "1ms")
	s, _, _ := withDoor(t, "MONITE_CLIENT_SECRET_FILE", file)
	defer s.named.closeDoors()
	ask := func(method, path, body, handle string) *httptest.ResponseRecorder {
		in := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
		in.RequestURI = path
		if handle != "" {
			in.Header.Set("Authorization", "Bearer "+handle)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, in)
		return w
	}
	fetch := func() string {
		var answer struct {
			AccessToken string `json:"access_token"`
		}
		w := ask("POST", "/v1/auth/token", `{"grant_type":"client_credentials"}`, "")
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.AccessToken == "" {
			t.Fatalf("%d %s, %v", w.Code, w.Body, err)
		}
		return answer.AccessToken
	}
	first := fetch()
	for _, bad := range []string{"bad-1", "bad-2", "bad-3", "bad-4"} {
		write(bad)
		s.watcher.Check()
		fetch()
	}
	// Nobody answers a mint here: that there is no token says that there is an identity.
	if w := ask("GET", "/v1/payables", "", first); w.Code != http.StatusServiceUnavailable {
		t.Errorf("the handle is answered by %d %s, want it known", w.Code, w.Body)
	}
}
