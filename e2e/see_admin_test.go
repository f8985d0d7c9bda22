package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestAdminEndpointsAndMethods(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	s := start(t, defaultEnv(url).with("MONITE_STATUS_PAGE", "false")).ready()
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
	allowed := map[string]map[string]int{
		"/livez": {"GET": 200, "HEAD": 200}, "/readyz": {"GET": 200, "HEAD": 200}, "/startupz": {"GET": 200, "HEAD": 200},
		"/readyz?verbose": {"GET": 200, "HEAD": 200}, "/metrics": {"GET": 200, "HEAD": 200},
		"/status": {"GET": 200, "HEAD": 200}, "/version": {"GET": 200, "HEAD": 200},
		"/tokens/refresh": {"POST": 202}, "/quitquitquit": {"POST": 403}, // off by default
	}
	for path, answers := range allowed {
		for _, method := range methods {
			want, ok := answers[method]
			if !ok {
				want = http.StatusMethodNotAllowed
			}
			a := s.admin(method, path)
			if a.Status != want {
				t.Errorf("%s %s = %d, want %d", method, path, a.Status, want)
			}
			if method == "HEAD" && a.Body != "" {
				t.Errorf("HEAD %s has a body", path)
			}
			if got := a.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("%s %s: Cache-Control = %q", method, path, got)
			}
		}
	}
	page := []string{"/", "/events", "/page.css", "/page.js"}
	for _, path := range append(page, "/v1/entities", "/debug/pprof/", "/debug/vars", "/livez/", "/nothing", "//livez") {
		if a := s.admin("GET", path); a.Status != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, a.Status)
		}
	}
	// Nothing of it is on the data listener.
	for _, path := range []string{"/livez", "/metrics", "/status"} {
		a := s.mustCall("GET", path, "")
		if a.Status != http.StatusForbidden || !strings.Contains(a.Body, `"type":"proxy_route_refused"`) || !strings.Contains(a.Body, "ends in /v1") {
			t.Errorf("GET %s on the data listener = %d %s, want 403 proxy_route_refused and a hint", path, a.Status, a.Body)
		}
	}
	if got := s.admin("GET", "/readyz?verbose").Body; got != "[+] configuration ok\n[+] listener ok\n[+] token ok\n[+] not draining ok\nok\n" {
		t.Errorf("/readyz?verbose:\n%s", got)
	}
}

func TestStatusHasNoIDs(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url).with("MONITE_ENTITY_ID", monitetest.DemoEntityID)).ready()
	s.mustCall("GET", "/v1/payables", "")
	s.mustCall("GET", "/v1/entity_users/me", "", "X-Monite-Entity-User-Id", monitetest.DemoEntityUserID)
	s.mustCall("GET", "/v1/entity_users/me", "", "X-Monite-Entity-User-Id", "00000000-0000-4000-8000-000000000000")
	a := s.admin("GET", "/status")
	var status struct {
		Ready      bool
		Identities []struct {
			GrantType string `json:"grant_type"`
			UserHash  string `json:"entity_user_hash"`
			Default   bool
			State     string
			Left      float64 `json:"token_seconds_left"`
			Mints     int
			LastError *struct{ Reason string } `json:"last_error"`
		}
	}
	if err := json.Unmarshal([]byte(a.Body), &status); err != nil {
		t.Fatal(err)
	}
	fresh, refused := 0, 0
	for _, one := range status.Identities {
		switch {
		case one.State == "fresh" && one.Mints == 1 && one.Left > 1000:
			fresh++
		case one.State == "missing" && one.LastError != nil && one.LastError.Reason == "rejected" && one.UserHash != "":
			refused++
		}
	}
	if !status.Ready || fresh != 2 || refused != 1 {
		t.Errorf("ready %t, %d fresh and %d refused identities, want true, 2, 1:\n%s", status.Ready, fresh, refused, a.Body)
	}
	if id := regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}`).FindString(a.Body + s.admin("GET", "/metrics").Body + s.log.String()); id != "" {
		t.Errorf("an id that begins with %s is shown in status, metrics or log", id)
	}
}

func TestMetricsNamesOfTheContract(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	<-time.After(1100 * time.Millisecond) // a younger token is not replaced
	sim.RevokeAll()
	s.mustCall("GET", "/v1/entities", "")                                                                    // a replay
	s.mustCall("GET", "/v1/payables", "", "X-Monite-Entity-Id", monitetest.DemoEntityID)                     // an answer
	s.mustCall("GET", "/v1/payables", "", "X-Monite-Entity-Id", "x")                                         // a refusal
	s.mustCall("GET", "/v1/payables", "", "X-Monite-Entity-User-Id", "00000000-0000-4000-8000-000000000000") // a refused mint
	metrics := s.admin("GET", "/metrics").Body
	for _, pattern := range []string{
		`requests_total\{code="200",method="GET",origin="upstream",route="/v1/entities"\} 1`,
		`requests_total\{code="400",method="GET",origin="proxy",route="/v1/payables"\} 1`,
		`request_duration_seconds_count\{method="GET",route="/v1/payables"\} 3`,
		`upstream_duration_seconds_count\{method="GET",route="/v1/payables"\} 1`,
		`in_flight_requests 0`, `replays_total\{reason="401"\} 1`, `refusals_total\{type="proxy_invalid_identity"\} 1`,
		`mints_total\{grant_type="client_credentials",result="ok"\} 2`, `mints_total\{grant_type="entity_user",result="rejected"\} 1`,
		`mint_duration_seconds_count 3`, `token_seconds_left\{grant_type="client_credentials"\} 1[0-9.e+]+`, `cached_grants 2`,
		`token_wait_seconds_count 3`, `build_info\{.*version=.*\} 1`,
	} {
		if !regexp.MustCompile(`(?m)^monite_proxy_` + pattern + `$`).MatchString(metrics) {
			t.Errorf("no line monite_proxy_%s", pattern)
		}
	}
	if t.Failed() {
		t.Logf("metrics:\n%s", metrics)
	}

	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian has it in the package prometheus): the format is not checked")
	}
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(metrics)
	if out, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func TestStatusPageShowsTheLastRequestsAndRefreshesTokens(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	const odd = `<script>alert(1)</script>`
	s.mustCall("GET", "/v1/entities?secret-query", "", "X-Request-Id", odd, "X-Secret-Field", "secret-field")
	s.mustCall("POST", "/v1/payables", `{"secret":"secret-body"}`, "X-Monite-Entity-Id", monitetest.DemoEntityID)
	page := s.admin("GET", "/", "Accept", "text/html")
	for _, want := range []string{"Custom upstream", "Ready", "/v1/entities", "/v1/payables", "&lt;script&gt;alert(1)", "MONITE_CLIENT_SECRET",
		"[redacted]"} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	status := s.admin("GET", "/status")
	for _, secret := range []string{odd, "secret-query", "secret-field", "secret-body", monitetest.DemoClientSecret, monitetest.DemoClientID,
		monitetest.DemoEntityID, "Bearer"} {
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
	wiretest.Eventually(t, "a new token", func() bool { return sim.Stats().Mints > before })
}

// events is what an open page is told.
func (s *sidecar) events(ctx context.Context) io.Reader {
	s.t.Helper()
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(newRequest(ctx, "GET", s.Admin+"/events", nil))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = response.Body.Close() })
	return response.Body
}

// An open page must not hold up the end of the process.
func TestOpenPagesEndWithTheProcess(t *testing.T) {
	t.Parallel()
	s := start(t, defaultEnv(script(t, nil, answerOK))).ready()
	ended := make(chan struct{})
	lines := bufio.NewScanner(s.events(t.Context()))
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
	s.ends(0, 10*time.Second)
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
	wantCommand(t, 0, e, "status", "monite-proxy", "custom", url, "\nready\n", "3 requests", "\ndefault ", "client_credentials", "entity_user",
		"fresh", "/v1/entities", "from-the-app", "proxy_invalid_identity, not_sent")
	var status struct{ Requests []struct{ Route string } }
	if err := json.Unmarshal([]byte(wantCommand(t, 0, e, "status -json")), &status); err != nil || len(status.Requests) != 3 {
		t.Errorf("status -json: %v, %d requests", err, len(status.Requests))
	}
	wantCommand(t, 1, env{"MONITE_ADMIN_ADDR": freePort(t)}, "status", "MONITE_ADMIN_ADDR")
	wantCommand(t, 2, e, "status -every 1ms")
}

func TestStatusWatchGoesOnUntilInterrupted(t *testing.T) {
	t.Parallel()
	s := start(t, defaultEnv(script(t, nil, answerOK))).ready()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "monite-proxy"), "status", "-watch", "-every", "100ms")
	cmd.Env = env{"MONITE_ADMIN_ADDR": strings.TrimPrefix(s.Admin, "http://")}.list()
	out := &wiretest.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wiretest.Eventually(t, "three tables", func() bool { return strings.Count(out.String(), "TOKEN OF") >= 3 })
	_ = cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("status -watch ended with %v:\n%s", err, out)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("a terminal's control bytes in what is no terminal")
	}
}
