package proxy

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// auditLines parses what was written.
func auditLines(t *testing.T, text string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if fields["message"] == "audit" {
			lines = append(lines, fields)
		}
	}
	return lines
}

// newAuditRig has an upstream that answers as the path says, and an audit log.
func newAuditRig(t *testing.T, changes ...func(*Config, *upstream.Transport)) (*rig, *wiretest.Buffer) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		_, _ = io.Copy(io.Discard, in.Body)
		w.Header().Set("X-Request-Id", "from-upstream")
		if strings.HasSuffix(in.URL.Path, "/cancel") {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(server.Close)
	origin, _ := url.Parse(server.URL)
	audit := &wiretest.Buffer{}
	change := func(c *Config, _ *upstream.Transport) {
		c.Audit, c.Listener = zerolog.New(audit), "127.0.0.1:8080"
	}
	return newRig(t, origin, append(changes, change)...), audit
}

func TestEveryWriteHasAnAuditLineAndNoReadHasOne(t *testing.T) {
	r, audit := newAuditRig(t)
	r.do("GET", "/v1/payables", "")
	r.do("HEAD", "/v1/payables", "")
	r.do("POST", "/v1/payables", `{"secret":"body"}`, "X-Request-Id", "from-the-app", identity.HeaderUser, userA, identity.HeaderEntity, entityB)
	r.do("POST", "/v1/payables/11111111-0000-4000-8000-000000000001/cancel", "")
	r.do("DELETE", "/v1/payables/11111111-0000-4000-8000-000000000001", "", identity.HeaderEntity, userB) // not allowed
	r.do("BREW", "/v1/coffee", "")
	wiretest.Eventually(t, "four lines", func() bool { return strings.Count(audit.String(), "\n") >= 4 })
	lines := auditLines(t, audit.String())
	if len(lines) != 4 {
		t.Fatalf("audit lines = %d, want 4:\n%s", len(lines), audit)
	}
	for i, want := range []map[string]any{
		{"request_id": "from-the-app", "listener": "127.0.0.1:8080", "app_token": false, "grant_type": "entity_user",
			"entity_user_hash": ids.Hash(userA), "entity_hash": ids.Hash(entityB),
			"method": "POST", "route": "/v1/payables", "status": 201.0, "origin": "upstream", "outcome": "answered", "upstream_request_id": "from-upstream"},
		{"method": "POST", "route": "/v1/payables/{payable_id}/cancel", "status": 502.0, "origin": "proxy", "outcome": "unknown",
			"error_type": "proxy_upstream_broken", "grant_type": "client_credentials", "entity_hash": ids.Hash(entityA)},
		{"method": "DELETE", "status": 403.0, "outcome": "not_sent", "error_type": "proxy_entity_not_allowed"},
		{"method": "other", "status": 405.0, "outcome": "not_sent", "route": "other"},
	} {
		for name, value := range want {
			if lines[i][name] != value {
				t.Errorf("line %d: %s = %v, want %v", i, name, lines[i][name], value)
			}
		}
		for name := range lines[i] {
			if !slices.ContainsFunc(LogFields, func(f LogField) bool { return f.Name == name && f.In != "request" }) {
				t.Errorf("line %d: the field %s is not documented", i, name)
			}
		}
	}
	for _, id := range []string{userA, userB, entityA, entityB, "secret", "11111111-0000"} {
		if strings.Contains(audit.String(), id) {
			t.Errorf("the audit log holds %s", id)
		}
	}
}

func TestAuditSaysWhetherTheAppShowedItsToken(t *testing.T) {
	r, audit := newAuditRig(t, func(c *Config, _ *upstream.Transport) {
		c.AppToken = func() secret.String { return secret.New("app-token") }
	})
	r.do("POST", "/v1/payables", "", "X-Monite-Proxy-Token", "app-token")
	r.do("POST", "/v1/payables", "", "X-Monite-Proxy-Token", "another")
	wiretest.Eventually(t, "two lines", func() bool { return strings.Count(audit.String(), "\n") >= 2 })
	lines := auditLines(t, audit.String())
	if lines[0]["app_token"] != true || lines[1]["app_token"] != false {
		t.Errorf("app_token = %v, %v, want true, false", lines[0]["app_token"], lines[1]["app_token"])
	}
	if strings.Contains(audit.String(), "app-token") {
		t.Error("the audit log holds the token")
	}
}

func TestAuditNamesTheUserBehindAUnixSocket(t *testing.T) {
	r, audit := newAuditRig(t)
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	wiretest.Must(t, err)
	server := NewServer(r.handler, "", nil)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	defer func() { _ = server.Close(); <-done }()
	conn, err := net.Dial("unix", path)
	wiretest.Must(t, err)
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /v1/payables HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	_, _ = io.ReadAll(conn)
	wiretest.Eventually(t, "a line", func() bool { return strings.Count(audit.String(), "\n") >= 1 })
	if got := auditLines(t, audit.String())[0]["peer_uid"]; got != float64(os.Getuid()) {
		t.Errorf("peer_uid = %v, want %d", got, os.Getuid())
	}
}
