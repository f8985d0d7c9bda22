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
	lines := startLog(io.Discard, nil)
	t.Cleanup(lines.close)
	audit, err := newAudit(cfg, lines, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(audit.close)
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
	s.named.newServer = func(string) server {
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
