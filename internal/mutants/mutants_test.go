package mutants

import (
	"encoding/json"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

const root = "../.."

// goVersion is that of the standard library whose lines the table quotes.
const goVersion = "go1.26"

// mutant is a broken build.
type mutant struct {
	name  string
	edits []edit
	pkg   string   // whose tests are run
	tests []string // each of these must fail
}

// edit replaces old, which occurs exactly once in file, by its successor. A file
// beginning with "std/" is one of the standard library.
type edit struct{ file, old, new string }

func (e edit) path() string {
	if rest, ok := strings.CutPrefix(e.file, "std/"); ok {
		return filepath.Join(goroot(), "src", filepath.FromSlash(rest))
	}
	return filepath.Join(root, filepath.FromSlash(e.file))
}

func goroot() string {
	out, _ := exec.Command("go", "env", "GOROOT").Output()
	return strings.TrimSpace(string(out))
}

// ofAnotherGo: the standard library at hand is not the one the mutant is of.
func (m mutant) ofAnotherGo() bool {
	return strings.HasPrefix(m.edits[0].file, "std/") && version.Lang(runtime.Version()) != goVersion
}

// regression finds the tests that are named after a published flaw, and its
// number.
var regression = regexp.MustCompile(`(?m)^func (Test\w+?_((?:CVE|GHSA|GO|golang_go|janos_singleflight|aws_sigv4)_\w+))\(`)

// regressions returns all such tests, each as "package name", and the number of
// different flaws.
func regressions(t *testing.T) (tests map[string]bool, flaws int) {
	tests, numbers := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		pkg, _ := filepath.Rel(root, filepath.Dir(path))
		for _, match := range regression.FindAllSubmatch(text, -1) {
			tests[filepath.ToSlash(pkg)+" "+string(match[1])] = true
			numbers[string(match[2])] = true
		}
		return nil
	})
	wiretest.Must(t, err)
	return tests, len(numbers)
}

// The table cannot rot: each line it quotes is there exactly once, each test it
// names exists, and each regression test is named.
func TestMutantsFitTheTree(t *testing.T) {
	tests, flaws := regressions(t)
	caught, names := map[string]bool{}, map[string]bool{}
	for _, m := range mutants {
		if names[m.name] || len(m.tests) == 0 {
			t.Errorf("%s: the name occurs twice, or no test is named", m.name)
		}
		names[m.name] = true
		for _, name := range m.tests {
			if !tests[m.pkg+" "+name] {
				t.Errorf("%s: package %s has no test %s", m.name, m.pkg, name)
			}
			caught[m.pkg+" "+name] = true
		}
		if m.ofAnotherGo() {
			continue
		}
		fits(t, m)
	}
	for name := range tests {
		if !caught[name] {
			t.Errorf("%s is not seen to fail on any mutant", name)
		}
	}
	if flaws < 60 {
		t.Errorf("tests for %d flaws, want 60", flaws)
	}
	t.Logf("%d mutants, %d tests for %d flaws", len(mutants), len(tests), flaws)
}

// fits reports each line that m quotes and that is not there exactly once.
func fits(t *testing.T, m mutant) {
	for _, e := range m.edits {
		text, err := os.ReadFile(e.path())
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		if n := strings.Count(string(text), e.old); n != 1 || e.old == e.new {
			t.Errorf("%s: %q occurs %d times in %s, want once", m.name, e.old, n, e.file)
		}
	}
}

func TestMutantsAreCaught(t *testing.T) {
	if os.Getenv("MUTANTS") == "" {
		t.Skip("MUTANTS is not set: make mutants")
	}
	builds, failing := 0, map[string]bool{}
	for _, m := range slices.Concat(mutants, writeMutants, shared) {
		t.Run(m.name, func(t *testing.T) {
			if m.ofAnotherGo() {
				t.Skip("it quotes the standard library of " + goVersion)
			}
			out := build(t, m)
			for _, name := range m.tests {
				if !strings.Contains(out, "--- FAIL: "+name+" ") && !(len(m.tests) == 1 && strings.Contains("\n"+out, "\npanic: ")) {
					t.Errorf("%s does not fail:\n%s", name, tail(out))
					continue
				}
				failing[m.pkg+" "+name] = true
			}
			builds++
		})
	}
	t.Logf("%d broken builds, %d tests seen to fail", builds, len(failing))
}

// build runs the named tests on the broken build and returns what they print. A
// build that is not one proves nothing, nor does a test that hangs.
func build(t *testing.T, m mutant) string {
	at := overlay(t, m)
	command := exec.Command("go", "test", "-overlay", at, "-vet=off", "-count=1", "-timeout=60s", "-run", "^("+strings.Join(m.tests, "|")+")$",
		"./"+m.pkg)
	command.Dir = root
	// A listener that refuses more by itself would hide what the steps behind it
	// no longer do.
	command.Env = append(os.Environ(), "MONITE_LISTENER=std")
	out, err := command.CombinedOutput()
	if text := string(out); err == nil || strings.Contains(text, "build failed") || strings.Contains(text, "setup failed") ||
		strings.Contains(text, "no tests to run") || strings.Contains(text, "panic: test timed out") {
		t.Fatalf("no failure of a test (%v):\n%s", err, tail(text))
	}
	return string(out)
}

// overlay writes the edited files and what go's -overlay wants to know of them,
// and returns the path of that.
func overlay(t *testing.T, m mutant) string {
	dir := t.TempDir()
	replace := map[string]string{}
	for i, e := range m.edits {
		path, err := filepath.Abs(e.path())
		wiretest.Must(t, err)
		from := path
		if replace[path] != "" {
			from = replace[path] // a second edit of one file
		}
		text, err := os.ReadFile(from)
		wiretest.Must(t, err)
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d.go", i))
		wiretest.Must(t, os.WriteFile(replace[path], []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600))
	}
	text, _ := json.Marshal(map[string]any{"Replace": replace})
	at := filepath.Join(dir, "overlay.json")
	wiretest.Must(t, os.WriteFile(at, text, 0o600))
	return at
}

// tail is the last lines of a long output.
func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}
