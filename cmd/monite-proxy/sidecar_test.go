package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/logs"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// newTestSidecar does not run yet. It has an identities file with one listener of
// its own, at a unix socket.
func newTestSidecar(t *testing.T, more ...string) (s *sidecar, file, socket string) {
	t.Helper()
	directory, err := os.MkdirTemp("", "mp") // short: a socket's path has little room
	wiretest.Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	file, socket = filepath.Join(directory, "identities.yaml"), filepath.Join(directory, "own.sock")
	text := "identities: [{name: own, grant_type: client_credentials, listen_addr: \"unix:" + socket + "\"}]"
	wiretest.Must(t, os.WriteFile(file, []byte(text), 0o600))
	env := append([]string{"MONITE_CLIENT_ID", "id", "MONITE_API_URL", "http://127.0.0.1:9", "MONITE_IDENTITIES_FILE", file}, more...)
	if len(more) == 0 {
		env = append(env, "MONITE_CLIENT_SECRET", "secret")
	}
	for n := 0; n < len(env); n += 2 {
		t.Setenv(env[n], env[n+1])
	}
	cfg, err := config.Load()
	wiretest.Must(t, err)
	lines := logs.Start(io.Discard, nil)
	t.Cleanup(lines.Close)
	audit, err := logs.OpenAudit(cfg, lines, zerolog.Nop())
	wiretest.Must(t, err)
	t.Cleanup(audit.Close)
	s = newSidecar(cfg, zerolog.Nop(), lines, audit, time.Now())
	return s, file, socket
}

// The files may hold anything before a mint has proven it.
func TestHandlesOutliveSecretsThatAreNotProven(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		wiretest.Must(t, os.WriteFile(file, []byte(text), 0o600))
	}
	write("good")
	t.Setenv("MONITE_TOKEN_HANDLES", "true")
	t.Setenv("MONITE_HOLD_TIMEOUT", "1ms")
	s, _, _ := newTestSidecar(t, "MONITE_CLIENT_SECRET_FILE", file)
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
