package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestStatusPageShowsTheLastRequestsAndRefreshesTokens(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	const odd = `<script>alert(1)</script>`
	s.mustCall("GET", "/v1/entities?secret-query", "", "X-Request-Id", odd, "X-Secret-Field", "secret-field")
	s.mustCall("POST", "/v1/payables", `{"secret":"secret-body"}`, "X-Monite-Entity-Id", monitetest.DemoEntityID)
	page := s.admin("GET", "/", "Accept", "text/html")
	for _, want := range []string{"Custom upstream", "Ready", "/v1/entities", "/v1/payables", "&lt;script&gt;alert(1)", "MONITE_CLIENT_SECRET", "[redacted]"} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	status := s.admin("GET", "/status")
	for _, secret := range []string{odd, "secret-query", "secret-field", "secret-body", monitetest.DemoClientSecret, monitetest.DemoClientID, monitetest.DemoEntityID, "Bearer"} {
		if strings.Contains(page.Body, secret) {
			t.Errorf("the page holds %q", secret)
		}
		if strings.Contains(status.Body, secret) {
			t.Errorf("the status holds %q", secret)
		}
	}
	<-time.After(1100 * time.Millisecond) // a younger token is not replaced
	before := sim.Stats().Mints
	done := s.admin("POST", "/tokens/refresh", "Accept", "text/html", "Origin", s.Admin, "Sec-Fetch-Site", "same-origin")
	if done.Status != http.StatusSeeOther || done.Header.Get("Location") != "/" {
		t.Errorf("the button = %d to %q", done.Status, done.Header.Get("Location"))
	}
	poll(t, "a new token", func() bool { return sim.Stats().Mints > before })
}

func TestStatusPageCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	s := start(t, defaultEnv(script(t, nil, answerOK)).with("MONITE_STATUS_PAGE", "false")).ready()
	for _, path := range []string{"/", "/events", "/page.css", "/page.js"} {
		if a := s.admin("GET", path); a.Status != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, a.Status)
		}
	}
}

// An open page must not hold up the end of the process.
func TestOpenPagesEndWithTheProcess(t *testing.T) {
	t.Parallel()
	s := start(t, defaultEnv(script(t, nil, answerOK))).ready()
	ended := make(chan struct{})
	in, _ := http.NewRequestWithContext(t.Context(), "GET", s.Admin+"/events", nil)
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(in)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		t.Fatal("no event")
	}
	go func() {
		defer close(ended)
		for lines.Scan() {
			continue
		}
	}()
	begin := time.Now()
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	<-ended
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

func TestStatusCommandPrintsTablesOrJSON(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	s.mustCall("GET", "/v1/entities", "", "X-Request-Id", "from-the-app")
	s.mustCall("GET", "/v1/entity_users/me", "", "X-Monite-Entity-User-Id", monitetest.DemoEntityUserID)
	s.mustCall("GET", "/v1/entities", "", "X-Monite-Entity-User-Id", "not-an-id")
	e := env{"MONITE_ADMIN_ADDR": strings.TrimPrefix(s.Admin, "http://")}
	code, table := runCommand(t, e, "status")
	for _, want := range []string{"monite-proxy", "custom", url, "\nready\n", "3 requests", "\ndefault ", "client_credentials", "entity_user", "fresh", "/v1/entities", "from-the-app", "proxy_invalid_identity, not_sent"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q", want)
		}
	}
	if code != 0 || t.Failed() {
		t.Errorf("exit code %d:\n%s", code, table)
	}
	code, text := runCommand(t, e, "status", "-json")
	var status struct{ Requests []struct{ Route string } }
	if err := json.Unmarshal([]byte(text), &status); err != nil || code != 0 || len(status.Requests) != 3 {
		t.Errorf("status -json = %d, %v, %d requests", code, err, len(status.Requests))
	}
	if code, text := runCommand(t, env{"MONITE_ADMIN_ADDR": freePort(t)}, "status"); code != 1 || !strings.Contains(text, "MONITE_ADMIN_ADDR") {
		t.Errorf("without a sidecar: %d %s", code, text)
	}
	if code, _ := runCommand(t, e, "status", "-every", "1ms"); code != 2 {
		t.Errorf("status -every 1ms = %d, want 2", code)
	}
}

func TestStatusWatchGoesOnUntilInterrupted(t *testing.T) {
	t.Parallel()
	s := start(t, defaultEnv(script(t, nil, answerOK))).ready()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "monite-proxy"), "status", "-watch", "-every", "100ms")
	cmd.Env = env{"MONITE_ADMIN_ADDR": strings.TrimPrefix(s.Admin, "http://")}.list()
	out := &logBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	poll(t, "three tables", func() bool { return strings.Count(out.String(), "TOKEN OF") >= 3 })
	_ = cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("status -watch ended with %v:\n%s", err, out)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("a terminal's control bytes in what is no terminal")
	}
}
