package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

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
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var current *block
	fenced, skipped, inList := false, "", false
	end := func() {
		if current != nil {
			all = append(all, *current)
		}
		current = nil
	}
	for _, line := range strings.Split(string(text), "\n") {
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
	if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
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
		makefile, err := os.ReadFile("../Makefile")
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range words[1:] {
			if !strings.Contains(target, "=") && !strings.Contains(string(makefile), "\n"+target+":") {
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
