package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestCheckPrintsTheEffectiveConfiguration(t *testing.T) {
	t.Parallel()
	// Nothing listens upstream: check asks nothing.
	output := wantCommand(t, 0, defaultEnv("http://127.0.0.1:1").with(
		"MONITE_LISTEN_ADDR", freePort(t), "MONITE_HOLD_TIMEOUT", "7s", "MONITE_ENTITY_ID", monitetest.DemoEntityID), "check")
	if !strings.HasSuffix(output, "configuration is valid\n") {
		t.Errorf("check:\n%s", output)
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

func TestHealth(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	sim.SetTokenEndpointDown(true)
	s := start(t, defaultEnv(url))
	e := env{"MONITE_ADMIN_ADDR": strings.TrimPrefix(s.Admin, "http://")} // no credentials: it needs none
	for _, probe := range []string{"", "-ready", "-startup"} {
		wantCommand(t, 1, e, "health "+probe, "token")
	}
	wantCommand(t, 0, e, "health -live")
	sim.SetTokenEndpointDown(false)
	s.mustCall("GET", "/v1/entities", "")
	s.ready()
	for probe, code := range map[string]int{"": 0, "-ready": 0, "-startup": 0, "-live": 0, "-live -ready": 2, "surplus": 2, "-nonsense": 2} {
		if output := wantCommand(t, code, e, "health "+probe); output == "" {
			t.Errorf("health %s says nothing", probe)
		}
	}
	down := env{"MONITE_ADMIN_ADDR": freePort(t)}
	for _, probe := range []string{"-live", "-ready", "-startup"} {
		wantCommand(t, 1, down, "health "+probe, "MONITE_ADMIN_ADDR")
	}
	wantCommand(t, 2, env{"MONITE_ADMIN_ADDR": "nonsense"}, "health", "MONITE_ADMIN_ADDR: want")
}

// A listener that accepts and says nothing must not hang a probe for long.
func TestHealthGivesUpOnAListenerThatSaysNothing(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	wantCommand(t, 1, env{"MONITE_ADMIN_ADDR": listenOn(t, "127.0.0.1:0").Addr().String()}, "health -live")
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	e := defaultEnv(url).with("MONITE_ADMIN_ADDR", freePort(t))
	begin := time.Now()
	if output := wantCommand(t, 1, e, "wait -timeout 300ms"); !strings.HasPrefix(output, "not ready after 300ms: ") {
		t.Errorf("wait, with nobody there: %s", output)
	}
	if took := time.Since(begin); took < 300*time.Millisecond || took > 3*time.Second {
		t.Errorf("gave up after %v, want 300ms", took)
	}
	for _, arguments := range []string{"wait -timeout 0s", "wait -timeout -1s", "wait -timeout x", "wait surplus"} {
		wantCommand(t, 2, e, arguments)
	}

	// Started before the sidecar, as an app's entrypoint may be.
	var early sync.WaitGroup
	early.Go(func() {
		if output := wantCommand(t, 0, e, "wait -timeout 10s"); output != "ready\n" {
			t.Errorf("wait, before the start: %s", output)
		}
	})
	<-time.After(200 * time.Millisecond)
	s := start(t, e)
	early.Wait()
	s.wantProbe("/readyz", http.StatusOK)
}

func TestShutdownCommand(t *testing.T) {
	t.Parallel()
	url, arrived, gate := gated(t)
	s := start(t, defaultEnv(url)).ready()
	admin := env{"MONITE_ADMIN_ADDR": strings.TrimPrefix(s.Admin, "http://")}
	wantCommand(t, 1, admin, "shutdown", "MONITE_QUIT_ENDPOINT=true")
	s.wantProbe("/readyz", http.StatusOK)

	s = start(t, defaultEnv(url).with("MONITE_QUIT_ENDPOINT", "true")).ready()
	admin = env{"MONITE_ADMIN_ADDR": strings.TrimPrefix(s.Admin, "http://")}
	if a := s.admin("GET", "/quitquitquit"); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET /quitquitquit = %d, want 405", a.Status)
	}
	slow, _ := s.slowAndStreaming(arrived)
	for range 2 { // a second one while it drains is no second signal
		if output := wantCommand(t, 0, admin, "shutdown"); output != "draining\n" {
			t.Errorf("shutdown: %s", output)
		}
	}
	close(gate)
	if o := <-slow; o.err != nil || o.answer.Status != http.StatusOK {
		t.Errorf("the request under way: %d, %v", o.answer.Status, o.err)
	}
	s.ends(0, 5*time.Second)
	wantCommand(t, 1, admin, "shutdown") // nobody is there
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	if output := wantCommand(t, 0, env{}, "version"); !regexp.MustCompile(`^monite-proxy \S+\ncommit \S+\ngo1\.\S+ \w+/\w+\n$`).MatchString(output) {
		t.Errorf("version: %s", output)
	}
	for _, spelling := range []string{"help", "-h", "-help", "--help"} {
		wantCommand(t, 0, env{}, spelling,
			"serve", "check", "health", "wait", "shutdown", "version", "MONITE_CLIENT_ID", "MONITE_QUIT_ENDPOINT", "Exit codes")
	}
}

func TestUnknownCommandsAndSurplusArgumentsAreUsageErrors(t *testing.T) {
	t.Parallel()
	e := defaultEnv("http://127.0.0.1:1")
	for _, arguments := range []string{
		"nonsense", "Serve", "-port 1", "--versions", "serve x", "check x", "shutdown now", "version x",
	} {
		begin := time.Now()
		wantCommand(t, 2, e, arguments, "monite-proxy help")
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%s: took %v", arguments, took)
		}
	}
}

// The commands find the admin listener by the address that the sidecar was given.
func TestFormsOfTheAdminAddress(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	port := portOf(freePort(t))
	for _, address := range []string{":" + port, "0.0.0.0:" + port, "localhost:" + port, "unix:" + filepath.Join(shortDir(t), "admin.sock")} {
		e := defaultEnv(url).with("MONITE_ADMIN_ADDR", address, "MONITE_QUIT_ENDPOINT", "true")
		s := start(t, e)
		for _, command := range []string{"wait -timeout 5s", "health", "shutdown"} {
			wantCommand(t, 0, e, command)
		}
		s.ends(0, 5*time.Second)
	}
}

// addressesOf has a command look at this sidecar.
func (s *sidecar) addressesOf(e env) env {
	return e.with("MONITE_LISTEN_ADDR", strings.TrimPrefix(s.Data, "http://"), "MONITE_ADMIN_ADDR", strings.TrimPrefix(s.Admin, "http://"))
}

func TestDoctorFindsNothingWrongWithAHealthySidecar(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	e := defaultEnv(url).with("MONITE_ENTITY_ID", monitetest.DemoEntityID, "MONITE_ALLOWED_ENTITY_USER_IDS", monitetest.DemoEntityUserID,
		"MONITE_ALLOWED_HOSTS", "sidecar.internal")
	s := start(t, e).ready()
	text := wantCommand(t, 0, s.addressesOf(e), "doctor", "takes requests for the host localhost", "takes requests for the host sidecar.internal",
		"the running sidecar is ready", "token minted, role", "no problem found")
	for _, secret := range []string{monitetest.DemoClientID, monitetest.DemoClientSecret, monitetest.DemoEntityID, monitetest.DemoEntityUserID} {
		if strings.Contains(text, secret) {
			t.Errorf("the report holds %s", secret)
		}
	}
}

func TestDoctorReportsProblemsAsJSONAndExitsWithOne(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	bad := defaultEnv(url).with("MONITE_CLIENT_SECRET", "00000000-0000-4000-8000-000000000000")
	s := start(t, bad)
	text := wantCommand(t, 1, s.addressesOf(bad), "doctor -json")
	var report struct {
		Problems int
		Findings []struct{ Step, Result, What, Why, Next string }
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	problems := map[string]string{}
	for _, f := range report.Findings {
		if f.Result == "problem" {
			problems[f.Step] = f.What + f.Why
		}
	}
	// The credentials, and the sidecar that runs with them.
	if len(problems) != 2 || report.Problems != 2 || !strings.Contains(problems["credentials"], "secret is wrong") ||
		!strings.Contains(problems["readiness"], "refused the client id and secret") {
		t.Errorf("problems = %d %v", report.Problems, problems)
	}
	wantCommand(t, 2, bad, "doctor extra")
}

// A block is a piece of a page that a reader may copy.
type block struct {
	where, language, text string
	// skipped is the reason in the comment before it: <!-- not run: REASON -->.
	skipped string
}

var notRun = regexp.MustCompile(`^<!-- not run: (.+) -->$`)

// blocksOf returns the fenced and the indented blocks of a page.
func blocksOf(t *testing.T, page string) (all []block) {
	t.Helper()
	var current *block
	fenced, skipped, inList := false, "", false
	end := func() {
		if current != nil {
			all = append(all, *current)
		}
		current = nil
	}
	for _, line := range strings.Split(readFile(t, page), "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case fenced && strings.HasPrefix(trimmed, "```"):
			fenced = false
			end()
		case fenced:
			current.text += line + "\n"
		case strings.HasPrefix(trimmed, "```"):
			fenced = true
			current = &block{where: page, language: strings.TrimPrefix(trimmed, "```"), skipped: skipped}
			skipped = ""
		case strings.HasPrefix(line, "    ") && !inList:
			if current == nil {
				current = &block{where: page, language: "sh", skipped: skipped}
				skipped = ""
			}
			current.text += strings.TrimPrefix(line, "    ") + "\n"
		default:
			end()
			if m := notRun.FindStringSubmatch(trimmed); m != nil {
				skipped = m[1]
			}
			if trimmed != "" {
				inList = regexp.MustCompile(`^([0-9]+\.|-) `).MatchString(trimmed) || inList && strings.HasPrefix(line, "  ")
			}
		}
	}
	end()
	return all
}

// TestSnippetsOfThePagesRun takes README and docs/ at their word: commands are run
// against the sidecar and the simulator of make run, YAML is read. A block that
// cannot be run says why, in a comment before it.
func TestSnippetsOfThePagesRun(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	began, day := time.Now(), time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC) // before the days that the pages name
	_, upstream := simulate(t, monitetest.Config{Now: func() time.Time { return day.Add(time.Since(began)) }})
	at := freePort(t)
	s := start(t, defaultEnv(upstream).with("MONITE_VEND_ADDR", at)).ready()
	ran, skipped := 0, 0
	for _, page := range append(pages, "../README.md") {
		for _, b := range blocksOf(t, page) {
			switch {
			case b.skipped != "":
				skipped++
			case b.language == "yaml":
				ran++
				checkYAML(t, b)
			case b.language == "sh" || b.language == "bash":
				for _, line := range strings.Split(b.text, "\n") {
					if ranLine(t, s, at, upstream, b, strings.TrimSpace(line)) {
						ran++
					}
				}
			}
		}
	}
	if ran < 8 {
		t.Errorf("ran %d snippets: the pages have more", ran)
	}
	t.Logf("%d commands and files run, %d blocks marked as not run", ran, skipped)
}

// checkYAML reads a file as its own reader does, if it is one of ours.
func checkYAML(t *testing.T, b block) {
	t.Helper()
	var anything any
	if err := yaml.Unmarshal([]byte(b.text), &anything); err != nil {
		t.Errorf("%s: %v in:\n%s", b.where, err, b.text)
		return
	}
	if !strings.HasPrefix(b.text, "identities:") {
		return
	}
	file := filepath.Join(t.TempDir(), "identities.yaml")
	writeFile(t, file, b.text)
	if code, out := runCommand(t, defaultEnv("http://127.0.0.1:1").with("MONITE_IDENTITIES_FILE", file), "check"); code != 0 {
		t.Errorf("%s: check says of these identities:\n%s", b.where, out)
	}
}

var userID = "b5e1c0de-0001-4000-8000-0000000000a1"

// ranLine runs one line of a block, or checks what it names; false: it is no
// command.
func ranLine(t *testing.T, s *sidecar, vend, upstream string, b block, line string) bool {
	t.Helper()
	command, _, _ := strings.Cut(line, "   ") // what follows is for the reader
	words := strings.Fields(command)
	if len(words) == 0 {
		return false
	}
	switch words[0] {
	case "make":
		makefile := readFile(t, "../Makefile")
		for _, target := range words[1:] {
			if !strings.Contains(target, "=") && !strings.Contains(makefile, "\n"+target+":") {
				t.Errorf("%s: there is no target for %q", b.where, line)
			}
		}
	case "monite-proxy":
		if len(words) == 1 {
			return false
		}
		if code, out := runCommand(t, env{}, "help"); code != 0 || !strings.Contains(out, words[1]) {
			t.Errorf("%s: help does not know %q", b.where, line)
		}
	case "curl", "bin/monite-proxy", "bin/monite-sim":
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		text := strings.NewReplacer("curl ", "curl -fsS ", "http://localhost:8080", s.Data, "http://localhost:8081", s.Admin,
			"http://localhost:8082", "http://"+vend, "localhost:8090", strings.TrimPrefix(upstream, "http://"), "<uuid>", userID, "bin/", binaries+"/").Replace(command)
		sh := exec.CommandContext(ctx, "sh", "-c", text)
		sh.Env = defaultEnv("").with("MONITE_API_URL", "", "MONITE_LISTEN_ADDR", "", "MONITE_ADMIN_ADDR", strings.TrimPrefix(s.Admin, "http://")).list()
		if out, err := sh.CombinedOutput(); err != nil {
			t.Errorf("%s: %q: %v: %s", b.where, text, err, out)
		}
	case "go":
		path, _, _ := strings.Cut(strings.TrimPrefix(words[len(words)-1], "github.com/monite-proxy/monite-proxy/"), "@")
		if _, err := os.Stat(filepath.Join("..", path)); err != nil {
			t.Errorf("%s: %q: %v", b.where, line, err)
		}
	case "docker", "kubectl", "helm", "npm", "npx", "git":
		t.Errorf("%s: %q needs a comment <!-- not run: REASON --> before its block", b.where, line)
	default:
		return false
	}
	return true
}
