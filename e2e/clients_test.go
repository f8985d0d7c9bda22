package e2e

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// browserPages are what a hostile site serves.
//
//go:embed browser/*.html browser/*.js
var browserPages embed.FS

// needBrowser skips the test where it is not wanted or there is no Chromium.
func needBrowser(t *testing.T) string {
	t.Helper()
	if os.Getenv("E2E_BROWSER") == "" {
		t.Skip("set E2E_BROWSER=1 to run a real browser")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("NOT TESTED: Chromium is not installed")
	return ""
}

// browse opens a page in a fresh browser, in which every name ending in .test is
// this host, until ctx ends. It returns what Chromium printed.
func browse(ctx context.Context, t *testing.T, chromium, page string, flags ...string) string {
	t.Helper()
	profile := t.TempDir()
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--user-data-dir=" + profile,
		"--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
	}, flags...)
	cmd := exec.CommandContext(ctx, chromium, append(args, page)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + profile}
	inOwnGroup(cmd) // a browser is many processes
	var printed wiretest.Buffer
	cmd.Stdout = &printed
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		t.Fatalf("chromium: %v", err)
	}
	return printed.String()
}

// inOwnGroup has the end of the context end all processes of a command.
func inOwnGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// hostileSite serves the pages and takes their reports. What onSwitch holds is done when a
// page asks for /switch.
type hostileSite struct {
	url      string
	reports  chan map[string]string
	onSwitch chan func()
}

func newHostileSite(t *testing.T) *hostileSite {
	t.Helper()
	h := &hostileSite{reports: make(chan map[string]string, 1), onSwitch: make(chan func(), 1)}
	pages := http.FileServerFS(browserPages)
	h.url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		var results map[string]string
		switch r.URL.Path {
		case "/report":
			if json.NewDecoder(r.Body).Decode(&results) == nil {
				select {
				case h.reports <- results:
				default:
				}
			}
		case "/switch":
			(<-h.onSwitch)()
		default:
			pages.ServeHTTP(w, r)
		}
	}))
	return h
}

// visit opens a page of the site, or of another one that reports here, and
// returns what the page found.
func (h *hostileSite) visit(t *testing.T, chromium, page string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var results map[string]string
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case results = <-h.reports:
		case <-ctx.Done():
		}
		cancel()
	})
	browse(ctx, t, chromium, page)
	waiting.Wait()
	if results == nil {
		t.Fatal("the page did not report")
	}
	names := make([]string, 0, len(results))
	for name, result := range results {
		names = append(names, fmt.Sprintf("  %-34s %s", name, result))
	}
	sort.Strings(names)
	t.Logf("%d tries:\n%s", len(names), strings.Join(names, "\n"))
	return results
}

const browserCanary = "CANARY-bank-data-93ab"

// browserTarget is a sidecar with an upstream that counts.
func browserTarget(t *testing.T) (s *sidecar, calls, mints *atomic.Int64) {
	t.Helper()
	calls, mints = new(atomic.Int64), new(atomic.Int64)
	url := script(t, func(w http.ResponseWriter, r *http.Request) {
		mints.Add(1)
		mintToken("browser-token", 1800)(w, r)
	}, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		// What upstream allows must not become what we allow.
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = io.WriteString(w, `{"data":"`+browserCanary+`"}`)
	})
	s = start(t, defaultEnv(url).with("MONITE_QUIT_ENDPOINT", "true")).ready()
	return s, calls, mints
}

// wantNothingDone checks what the browser achieved, and that the sidecar works.
func wantNothingDone(t *testing.T, s *sidecar, calls, mints *atomic.Int64) {
	t.Helper()
	if n := calls.Load(); n != 0 {
		t.Errorf("%d requests of a page reached upstream", n)
	}
	if n := mints.Load(); n != 1 {
		t.Errorf("%d mints, want the first one alone", n)
	}
	select {
	case <-s.ended:
		t.Fatal("a page stopped the sidecar")
	default:
	}
	if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK || !strings.Contains(a.Body, browserCanary) || calls.Load() != 1 {
		t.Errorf("afterwards an app gets %d %s", a.Status, a.Body)
	}
}

// refused counts the refusals of a kind, and so what the browser really sent.
func (s *sidecar) refused(kind string) int {
	return int(s.metricValue(fmt.Sprintf("monite_proxy_refusals_total{type=%q}", kind)))
}

func TestPageOfAnotherOriginAchievesNothing(t *testing.T) {
	chromium := needBrowser(t)
	s, calls, mints := browserTarget(t)
	site := newHostileSite(t)
	results := site.visit(t, chromium, fmt.Sprintf("http://evil.test:%s/browser/attack.html?data=%s&admin=%s",
		portOf(site.url), portOf(s.Data), portOf(s.Admin)))
	for name, result := range results {
		if strings.HasPrefix(result, "READ") {
			t.Errorf("%s: the page could read an answer: %s", name, result)
		}
	}
	if len(results) < 40 {
		t.Errorf("%d tries, want at least 40", len(results))
	}
	// Otherwise the browser itself has held everything back, and nothing is proven.
	if n := s.refused("proxy_browser_refused"); n < 40 {
		t.Errorf("the proxy refused %d requests of the browser, want at least 40", n)
	} else {
		t.Logf("the proxy refused %d requests of the browser", n)
	}
	wantNothingDone(t, s, calls, mints)
}

// DNS rebinding: the name of a hostile site leads to the proxy, once its page is
// loaded. To the browser the two are one origin.
func TestRebindingPageAchievesNothing(t *testing.T) {
	chromium := needBrowser(t)
	s, calls, mints := browserTarget(t)
	for target, address := range map[string]string{"data": s.Data, "admin": s.Admin} {
		site := newHostileSite(t)
		name := wiretest.NewRelay(t, site.url)
		site.onSwitch <- func() { name.MoveTo(address) }
		results := site.visit(t, chromium, fmt.Sprintf("http://rebind.test:%s/browser/rebind.html?report=%s", portOf(name.Addr), portOf(site.url)))
		for name, result := range results {
			// It is its own origin, so it reads what it is told: that it is refused.
			if !strings.HasPrefix(result, "421 ") && !strings.HasPrefix(result, "403 ") && !strings.HasPrefix(result, "405 ") ||
				strings.Contains(result, browserCanary) {
				t.Errorf("%s listener, %s: %s", target, name, result)
			}
		}
		if len(results) < 8 {
			t.Errorf("%s listener: %d tries, want at least 8", target, len(results))
		}
	}
	wantNothingDone(t, s, calls, mints)
}

// Somebody types the address, or follows a bookmark: even then a browser is not
// what the port is for.
func TestAddressInTheBrowserShowsNothing(t *testing.T) {
	chromium := needBrowser(t)
	s, calls, mints := browserTarget(t)
	for host, kind := range map[string]string{
		"127.0.0.1": "proxy_browser_refused", "localhost": "proxy_browser_refused",
		// Under a name that is not loopback's a browser has no Sec-Fetch fields, but
		// Upgrade-Insecure-Requests gives it away, before its Host does.
		"evil.test": "proxy_browser_refused",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		shown := browse(ctx, t, chromium, strings.Replace(s.Data, "127.0.0.1", host, 1)+"/v1/entities", "--dump-dom")
		cancel()
		if strings.Contains(shown, browserCanary) || !strings.Contains(shown, kind) {
			t.Errorf("%s: the browser shows %s", host, shown)
		}
	}
	wantNothingDone(t, s, calls, mints)
}

// Monite's own JavaScript client, without a token of its own. Both dialects of
// an expired token: at "400 expired" the client itself would ask for a new one.
func TestMoniteSDKWorksWithoutTokenOfItsOwn(t *testing.T) {
	node := needNode(t)
	for name, status := range map[string]int{"401": 401, "400 expired": 400} {
		t.Run(name, func(t *testing.T) {
			sim, url := simulate(t, monitetest.Config{ExpiredStatus: status})
			s := start(t, defaultEnv(url)).ready()
			runScript(t, node, s, url, "monite-sdk.test.mjs")

			stats := sim.Stats()
			// The partner's token ended twice; the entity user's, too, was never asked again.
			if got := stats.MintsByType; got["client_credentials"] != 3 || got["entity_user"] != 1 {
				t.Errorf("mints = %v, want 3 of the partner (2 ended in the middle) and 1 of the user", got)
			}
			if stats.AuthRejected == 0 {
				t.Error("upstream refused no token: nothing ended in the middle")
			}
			if n := stats.Requests["POST /v1/auth/revoke"]; n != 0 {
				t.Errorf("%d tokens were revoked", n)
			}
			sdkVersion := false
			for _, r := range sim.Requests() {
				if r.Header.Get("Authorization") == "Bearer made-up-by-the-app" {
					t.Error("a token of the app reached upstream")
				}
				if r.Header.Get("X-Monite-Sdk-Version") != "" {
					sdkVersion = true
					if got := r.Header.Get("X-Monite-Version"); got != "2023-09-01" {
						t.Errorf("%s %s went out with version %q, want the client's own", r.Method, r.Target, got)
					}
				}
			}
			if !sdkVersion {
				t.Error("upstream saw no request of the client")
			}
		})
	}
}

// The client unmodified, with the fetchToken of its documentation: it gets
// handles, and upstream never sees one.
func TestMoniteSDKWorksWithTokenHandles(t *testing.T) {
	node := needNode(t)
	for name, status := range map[string]int{"401": 401, "400 expired": 400} {
		t.Run(name, func(t *testing.T) {
			sim, url := simulate(t, monitetest.Config{ExpiredStatus: status})
			path := t.TempDir() + "/identities.yaml"
			writeFile(t, path, "identities:\n  - name: named\n    grant_type: entity_user\n    entity_user_id: "+monitetest.DemoEntityUserID+
				"\n    entity_id: "+monitetest.DemoEntityID+"\n    path_prefix: /as/named\n")
			s := start(t, defaultEnv(url).with("MONITE_TOKEN_HANDLES", "true", "MONITE_IDENTITIES_FILE", path,
				"MONITE_ALLOWED_ENTITY_USER_IDS", monitetest.DemoEntityUserID)).ready()
			runScript(t, node, s, url, "handles.test.mjs")
			for _, r := range sim.Requests() {
				if strings.Contains(r.Header.Get("Authorization"), "mph1_") || strings.HasPrefix(r.Target, "/as/") {
					t.Errorf("upstream saw a handle or a prefix: %s", r.Target)
				}
			}
			if s.loggedNow("mph1_") || s.loggedNow("placeholder") {
				t.Error("the log holds a handle or a body")
			}
		})
	}
}

func TestNodeFetchWorksWithoutToken(t *testing.T) {
	node := needNode(t)
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	runScript(t, node, s, url, "fetch.test.mjs")
	if got := sim.Stats().Mints; got != 2 {
		t.Errorf("mints = %d, want 2: one token ended in the middle", got)
	}
}

// Monite's own client, and openapi-fetch with the types of Monite's document,
// read everything that the simulator begins with.
func TestNodeClientsReadTheWholeDemo(t *testing.T) {
	node := needNode(t)
	_, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	runScript(t, node, s, url, "demo.test.mjs")
}

// publishedDocument is the path of Monite's OpenAPI document, or empty.
func publishedDocument() string {
	name := os.Getenv("MONITE_OPENAPI")
	if name == "" {
		name = "../../shared/monite-openapi-public.json"
	}
	path, err := filepath.Abs(name)
	if _, missing := os.Stat(path); err != nil || missing != nil {
		return ""
	}
	return path
}

// runScript runs a script of e2e/sdk against the sidecar.
func runScript(t *testing.T, node string, s *sidecar, simURL, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--test-reporter=spec", script)
	cmd.Dir = "sdk"
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "PROXY_URL=" + s.Data, "SIM_URL=" + simURL, "ENTITY_ID=" + monitetest.DemoEntityID,
		"ENTITY_USER_ID=" + monitetest.DemoEntityUserID, "CONVERSATION_ID=" + monitetest.DemoConversationID,
		"MONITE_OPENAPI=" + publishedDocument(),
	}
	output, err := cmd.CombinedOutput()
	t.Logf("node %s:\n%s", script, output)
	if err != nil {
		t.Fatalf("node %s: %v", script, err)
	}
}

// needNode skips the test where it is not wanted or there is no Node, and
// installs the client where it is missing.
func needNode(t *testing.T) (node string) {
	t.Helper()
	if os.Getenv("E2E_SDK") == "" {
		t.Skip("set E2E_SDK=1 to run the JavaScript clients")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node is not installed: the JavaScript clients are not tested")
	}
	if err := installClient(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip("npm is not installed: the JavaScript clients are not tested")
		}
		t.Fatal(err)
	}
	return node
}

var installClient = sync.OnceValue(func() error {
	if _, err := os.Stat("sdk/node_modules/openapi-fetch"); err == nil {
		return nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "ci")
	cmd.Dir = "sdk"
	if output, err := cmd.CombinedOutput(); err != nil {
		return errors.New("npm ci in e2e/sdk: " + err.Error() + "\n" + strings.TrimSpace(string(output)))
	}
	return nil
})
