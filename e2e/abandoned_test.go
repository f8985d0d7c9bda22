package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// The apps of 50 writes have gone, and the sidecar is told to stop: it stays until
// upstream has responded to each, and the audit file has the true statuses.
func TestAuditFileHasTheTrueStatusOfAbandonedWrites(t *testing.T) {
	const writes = 50
	statuses := []int{201, 200, 204, 400, 409, 422, 500, 503}
	var under atomic.Int64
	release := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		_, _ = io.Copy(io.Discard, in.Body)
		if in.URL.Path == "/v1/auth/token" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"abandoned-token-00000000","expires_in":7200,"token_type":"Bearer"}`)
			return
		}
		under.Add(1)
		<-release
		n, _ := strconv.Atoi(in.URL.Query().Get("n"))
		w.WriteHeader(statuses[n%len(statuses)])
	}))
	t.Cleanup(upstream.Close)
	audit := filepath.Join(t.TempDir(), "audit.jsonl")
	s := start(t, defaultEnv(upstream.URL).with("MONITE_AUDIT_LOG", audit)).ready()

	var apps []net.Conn
	for n := range writes {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.Data, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		apps = append(apps, conn)
		_, _ = fmt.Fprintf(conn, "POST /v1/tags?n=%d HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: w-%d\r\nContent-Length: 2\r\n\r\n{}", n, n)
	}
	wiretest.Eventually(t, "all writes are at upstream", func() bool { return under.Load() == writes })
	for _, conn := range apps {
		_ = conn.Close()
	}
	wiretest.Eventually(t, "all are followed", func() bool {
		return strings.Contains(s.admin("GET", "/metrics").Body, "monite_proxy_followed_writes "+strconv.Itoa(writes)+"\n")
	})
	s.signal(syscall.SIGTERM)
	time.AfterFunc(300*time.Millisecond, func() { close(release) })
	if code := s.exitCode(30 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}

	text, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var fields struct {
			RequestID string `json:"request_id"`
			Status    int    `json:"status"`
			Delivered *bool  `json:"delivered"`
			Outcome   string `json:"outcome"`
		}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(fields.RequestID, "w-"))
		want := statuses[n%len(statuses)]
		if fields.Status != want || fields.Delivered == nil || *fields.Delivered || seen[fields.RequestID] {
			t.Errorf("%s, want status %d", line, want)
		}
		if unknown := fields.Outcome == "unknown"; unknown != (want == 500) {
			t.Errorf("%s: outcome", line)
		}
		seen[fields.RequestID] = true
	}
	if len(seen) != writes {
		t.Errorf("%d writes are in the audit file, want %d", len(seen), writes)
	}
}
