package e2e

import (
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestCheckPrintsTheEffectiveConfiguration(t *testing.T) {
	t.Parallel()
	// Nothing listens upstream: check asks nothing.
	code, output := runCommand(t, defaultEnv("http://127.0.0.1:1").with(
		"MONITE_LISTEN_ADDR", freePort(t), "MONITE_HOLD_TIMEOUT", "7s", "MONITE_ENTITY_ID", monitetest.DemoEntityID), "check")
	if code != 0 || !strings.HasSuffix(output, "configuration is valid\n") {
		t.Errorf("exit code = %d, want 0; output:\n%s", code, output)
	}
	for _, pattern := range []string{
		`(?m)^MONITE_HOLD_TIMEOUT +7s +environment$`, `(?m)^MONITE_TOKEN_TIMEOUT +10s +default$`,
		`(?m)^MONITE_CLIENT_ID +\[redacted\] +environment$`, `(?m)^MONITE_CLIENT_SECRET +\[redacted\] +environment$`,
		`(?m)^MONITE_ENVIRONMENT +custom +default$`, `(?m)^MONITE_APP_TOKEN +- +default$`,
		`(?m)^warning: MONITE_ALLOWED_ENTITY_IDS is \*`,
	} {
		if !regexp.MustCompile(pattern).MatchString(output) {
			t.Errorf("no line %s in:\n%s", pattern, output)
		}
	}
	for _, secret := range []string{monitetest.DemoClientID, monitetest.DemoClientSecret, monitetest.DemoEntityID} {
		if strings.Contains(output, secret) {
			t.Errorf("%s is in:\n%s", secret, output)
		}
	}
}

func TestCheckSaysWhoseAnAddressIs(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	e := defaultEnv("http://127.0.0.1:1").with("MONITE_LISTEN_ADDR", taken.Addr().String(), "MONITE_ADMIN_ADDR", freePort(t))
	if code, output := runCommand(t, e, "check"); code != 0 || !strings.Contains(output, "warning: MONITE_LISTEN_ADDR: another program listens on ") {
		t.Errorf("a stranger has the port: exit code %d:\n%s", code, output)
	}
	_, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	if code, output := runCommand(t, s.addressesOf(defaultEnv(url)), "check"); code != 0 || !strings.Contains(output, "a monite-proxy runs here") {
		t.Errorf("the sidecar has the port: exit code %d:\n%s", code, output)
	}
}

func TestCheckReportsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	code, output := runCommand(t, env{
		"MONITE_CLIENT_ID": "has space", "MONITE_LOG_LEVEL": "loud", "MONITE_MAX_IN_FLIGHT": "many", "MONITE_ENTITY_ID": "x",
	}, "check")
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if code != 2 || len(lines) != 6 {
		t.Errorf("exit code = %d, want 2, and 1+5 lines; output:\n%s", code, output)
	}
	for i, name := range []string{"MONITE_CLIENT_ID", "MONITE_CLIENT_SECRET", "MONITE_ENTITY_ID", "MONITE_MAX_IN_FLIGHT", "MONITE_LOG_LEVEL"} {
		if len(lines) == 6 && !strings.HasPrefix(lines[i+1], name+": want ") {
			t.Errorf("line %d = %q, want %s", i+1, lines[i+1], name)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	sim.SetTokenEndpointDown(true)
	s := start(t, defaultEnv(url))
	e := env{"MONITE_ADMIN_ADDR": strings.TrimPrefix(s.Admin, "http://")} // no credentials: it needs none
	want := func(when string, codes map[string]int) {
		t.Helper()
		for probe, want := range codes {
			code, output := runCommand(t, e, strings.Fields("health "+probe)...)
			if code != want || output == "" {
				t.Errorf("%s: health %s = %d, want %d; output:\n%s", when, probe, code, want, output)
			}
			if want == 1 && !strings.Contains(output, "token") {
				t.Errorf("%s: health %s does not say why:\n%s", when, probe, output)
			}
		}
	}
	want("without a token", map[string]int{"": 1, "-ready": 1, "-startup": 1, "-live": 0})
	sim.SetTokenEndpointDown(false)
	s.mustCall("GET", "/v1/entities", "")
	s.ready()
	want("with a token", map[string]int{"": 0, "-ready": 0, "-startup": 0, "-live": 0, "-live -ready": 2, "surplus": 2, "-nonsense": 2})

	down := env{"MONITE_ADMIN_ADDR": freePort(t)}
	for _, probe := range []string{"-live", "-ready", "-startup"} {
		if code, output := runCommand(t, down, "health", probe); code != 1 || !strings.Contains(output, "MONITE_ADMIN_ADDR") {
			t.Errorf("nobody there: health %s = %d, want 1; output:\n%s", probe, code, output)
		}
	}
	if code, output := runCommand(t, env{"MONITE_ADMIN_ADDR": "nonsense"}, "health"); code != 2 || !strings.Contains(output, "MONITE_ADMIN_ADDR: want") {
		t.Errorf("a wrong address: exit code = %d, want 2; output:\n%s", code, output)
	}
}

// A listener that accepts and says nothing must not hang a probe for long.
func TestHealthGivesUpOnAListenerThatSaysNothing(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mute.Close() }()
	begin := time.Now()
	code, output := runCommand(t, env{"MONITE_ADMIN_ADDR": mute.Addr().String()}, "health", "-live")
	if took := time.Since(begin); code != 1 || took > 5*time.Second {
		t.Errorf("exit code = %d after %v, want 1; output:\n%s", code, took, output)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	e := defaultEnv(url).with("MONITE_ADMIN_ADDR", freePort(t))
	begin := time.Now()
	if code, output := runCommand(t, e, "wait", "-timeout", "300ms"); code != 1 || !strings.HasPrefix(output, "not ready after 300ms: ") {
		t.Errorf("nobody there: exit code = %d, want 1; output:\n%s", code, output)
	}
	if took := time.Since(begin); took < 300*time.Millisecond || took > 3*time.Second {
		t.Errorf("gave up after %v, want 300ms", took)
	}
	for _, arguments := range []string{"wait -timeout 0s", "wait -timeout -1s", "wait -timeout x", "wait surplus"} {
		if code, output := runCommand(t, e, strings.Fields(arguments)...); code != 2 {
			t.Errorf("%s: exit code = %d, want 2; output:\n%s", arguments, code, output)
		}
	}

	// Started before the sidecar, as an app's entrypoint may be.
	var early sync.WaitGroup
	early.Go(func() {
		if code, output := runCommand(t, e, "wait", "-timeout", "10s"); code != 0 || output != "ready\n" {
			t.Errorf("before the start: exit code = %d, want 0; output:\n%s", code, output)
		}
	})
	<-time.After(200 * time.Millisecond)
	s := start(t, e)
	early.Wait()
	if got := s.probe("/readyz"); got != http.StatusOK {
		t.Errorf("/readyz after wait = %d", got)
	}
}

func TestShutdownCommand(t *testing.T) {
	t.Parallel()
	url, arrived, gate := gated(t)
	s := start(t, defaultEnv(url)).ready()
	admin := env{"MONITE_ADMIN_ADDR": strings.TrimPrefix(s.Admin, "http://")}
	if code, output := runCommand(t, admin, "shutdown"); code != 1 || !strings.Contains(output, "MONITE_QUIT_ENDPOINT=true") {
		t.Errorf("off: exit code = %d, want 1 and a hint; output:\n%s", code, output)
	}
	if got := s.probe("/readyz"); got != http.StatusOK {
		t.Errorf("/readyz after a refused shutdown = %d", got)
	}

	s = start(t, defaultEnv(url).with("MONITE_QUIT_ENDPOINT", "true")).ready()
	admin = env{"MONITE_ADMIN_ADDR": strings.TrimPrefix(s.Admin, "http://")}
	if a := s.admin("GET", "/quitquitquit"); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET /quitquitquit = %d, want 405", a.Status)
	}
	slow, _ := s.slowAndStreaming(arrived)
	for range 2 { // a second one while it drains is no second signal
		if code, output := runCommand(t, admin, "shutdown"); code != 0 || output != "draining\n" {
			t.Errorf("on: exit code = %d, want 0; output:\n%s", code, output)
		}
	}
	close(gate)
	if o := <-slow; o.err != nil || o.answer.Status != http.StatusOK {
		t.Errorf("the request under way: %d, %v", o.answer.Status, o.err)
	}
	if code := s.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	if code, output := runCommand(t, admin, "shutdown"); code != 1 {
		t.Errorf("nobody there: exit code = %d, want 1; output:\n%s", code, output)
	}
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	if code, output := runCommand(t, env{}, "version"); code != 0 || !regexp.MustCompile(`^monite-proxy \S+\ncommit \S+\ngo1\.\S+ \w+/\w+\n$`).MatchString(output) {
		t.Errorf("version: exit code = %d; output:\n%s", code, output)
	}
	for _, spelling := range []string{"help", "-h", "-help", "--help"} {
		code, output := runCommand(t, env{}, spelling)
		if code != 0 {
			t.Errorf("%s: exit code = %d, want 0", spelling, code)
		}
		for _, text := range []string{"serve", "check", "health", "wait", "shutdown", "version", "MONITE_CLIENT_ID", "MONITE_QUIT_ENDPOINT", "Exit codes"} {
			if !strings.Contains(output, text) {
				t.Errorf("%s does not mention %s", spelling, text)
			}
		}
	}
}

func TestUnknownCommandsAndSurplusArgumentsAreUsageErrors(t *testing.T) {
	t.Parallel()
	e := defaultEnv("http://127.0.0.1:1")
	for _, arguments := range []string{
		"nonsense", "Serve", "-port 1", "--versions", "serve x", "check x", "shutdown now", "version x", "serve -h",
	} {
		begin := time.Now()
		code, output := runCommand(t, e, strings.Fields(arguments)...)
		if code != 2 || !strings.Contains(output, "monite-proxy help") {
			t.Errorf("%s: exit code = %d, want 2 and a hint; output:\n%s", arguments, code, output)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%s: took %v", arguments, took)
		}
	}
}

// The commands find the admin listener by the address that the sidecar was given.
func TestFormsOfTheAdminAddress(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	_, port, _ := net.SplitHostPort(freePort(t))
	for _, address := range []string{":" + port, "0.0.0.0:" + port, "localhost:" + port, "unix:" + filepath.Join(shortDir(t), "admin.sock")} {
		e := defaultEnv(url).with("MONITE_ADMIN_ADDR", address, "MONITE_QUIT_ENDPOINT", "true")
		s := start(t, e)
		for _, command := range []string{"wait -timeout 5s", "health", "shutdown"} {
			if code, output := runCommand(t, e, strings.Fields(command)...); code != 0 {
				t.Errorf("%s: %s: exit code = %d, want 0; output:\n%s", address, command, code, output)
			}
		}
		if code := s.exitCode(5 * time.Second); code != 0 {
			t.Errorf("%s: exit code = %d, want 0", address, code)
		}
	}
}
