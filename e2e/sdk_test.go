package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

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
