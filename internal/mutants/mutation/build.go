package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pkg is a package as go list describes it.
type pkg struct {
	ImportPath, Dir, Name, Export string
	GoFiles                       []string
	DepOnly                       bool
	Module                        *struct{ Path string }

	exports map[string]string // of each import, the file with its types
}

func load(dir string) (found pkg, err error) {
	list := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Name,Export,GoFiles,DepOnly,Module", ".")
	list.Dir, list.Stderr = dir, os.Stderr
	out, err := list.Output()
	if err != nil {
		return pkg{}, err
	}
	exports := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return pkg{}, err
		}
		if exports[p.ImportPath] = p.Export; !p.DepOnly {
			found = p
		}
	}
	found.exports = exports
	return found, nil
}

// rewrite returns the chosen files with their changes; none chosen means all.
func (p pkg) rewrite(chosen []string) (texts map[string]string, changes []change, err error) {
	r := &rewriter{fset: token.NewFileSet(), info: &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}, alike: map[string]int{}}
	sources := make([]string, len(p.GoFiles))
	files := make([]*ast.File, len(p.GoFiles))
	for i, name := range p.GoFiles {
		source, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return nil, nil, err
		}
		sources[i] = string(source)
		if files[i], err = parser.ParseFile(r.fset, name, source, parser.SkipObjectResolution); err != nil {
			return nil, nil, err
		}
	}
	lookup := func(imported string) (io.ReadCloser, error) { return os.Open(p.exports[imported]) }
	conf := types.Config{Importer: importer.ForCompiler(r.fset, "gc", lookup)}
	if _, err := conf.Check(p.ImportPath, r.fset, files, r.info); err != nil {
		return nil, nil, err
	}
	folder := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, p.Module.Path), "/")
	texts = map[string]string{}
	for i, name := range p.GoFiles {
		if len(chosen) == 0 || slices.Contains(chosen, name) {
			texts[name] = r.file(path.Join(folder, name), sources[i], files[i])
		}
	}
	if len(texts) < len(chosen) {
		return nil, nil, fmt.Errorf("not all files exist: %s", strings.Join(chosen, ", "))
	}
	return texts, r.changes, nil
}

// build is a package's test binary with all changes in it.
type build struct {
	dir, binary, scratch string
	tests                int
	phases               []phase
}

// phase is a part of the tests: first the fast ones, then those that need more than a
// second, which run only if the others see nothing.
type phase struct {
	arg string
	cpu time.Duration // at most: it says more than the clock does on a machine with other work
}

func (p pkg) build(texts map[string]string) (*build, error) {
	scratch, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return nil, err
	}
	b := &build{dir: p.Dir, scratch: scratch, binary: filepath.Join(scratch, "test")}
	texts["mutation_switches.go"] = fmt.Sprintf(switches, p.Name)
	replace := map[string]string{}
	for name, text := range texts {
		at := filepath.Join(scratch, name)
		replace[filepath.Join(p.Dir, name)] = at
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	overlay := filepath.Join(scratch, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return nil, err
	}
	compile := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", b.binary, ".")
	compile.Dir = p.Dir
	if out, err := compile.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w, in the files of %s:\n%s", err, scratch, out)
	}
	return b, nil
}

func (b *build) close() { _ = os.RemoveAll(b.scratch) }

var passed = regexp.MustCompile(`(?m)^--- PASS: (\w+) \((\d+\.\d+)s\)`)

// check runs the tests without a change, and with all of them: what they say of one change
// means something only if they exist, pass, and fail.
func (b *build) check() error {
	out, _, err := b.test(0, phase{"-test.v", 10 * time.Minute})
	if err != nil {
		return fmt.Errorf("the tests fail without any change: %w\n%s", err, out)
	}
	var slow []string
	for _, match := range passed.FindAllStringSubmatch(out, -1) {
		b.tests++
		if seconds, _ := strconv.ParseFloat(match[2], 64); seconds > 1 {
			slow = append(slow, match[1])
		}
	}
	if b.tests == 0 {
		return errors.New("no test ran")
	}
	names := "^(" + strings.Join(slow, "|") + ")$"
	b.phases = []phase{{"-test.skip=" + names, 10 * time.Minute}, {"-test.run=" + names, 10 * time.Minute}}
	if slow == nil {
		b.phases = b.phases[:1]
	}
	for i := range b.phases {
		out, used, err := b.test(0, b.phases[i])
		if err != nil {
			return fmt.Errorf("the tests passed without any change, but not in two parts: %w\n%s", err, out)
		}
		b.phases[i].cpu = (5*time.Second + 3*used).Round(time.Second)
	}
	all, _ := strconv.Atoi(everything)
	if was, err := b.run(all); err != nil || was.verdict == alive {
		return errors.Join(errors.New("the tests pass with all changes at once"), err)
	}
	return nil
}

type verdict string

const (
	caught   verdict = "caught"
	timedOut verdict = "timed out"
	alive    verdict = "lived"
)

type result struct {
	verdict verdict
	by      string // the test that failed first
}

// run runs the tests with one change.
func (b *build) run(number int) (was result, err error) {
	for _, p := range b.phases {
		out, used, runErr := b.test(number, p)
		if was, err = judge(out, runErr, used > p.cpu-time.Second); err != nil || was.verdict != alive {
			break
		}
	}
	return was, err
}

// test runs a part of the tests, and tells how much of a processor it used. A change that
// makes a test wait for ever uses little: that one ends by the clock.
func (b *build) test(number int, p phase) (out string, used time.Duration, err error) {
	command := exec.Command("sh", "-c", `ulimit -t "$0" && exec "$@"`, strconv.Itoa(int(p.cpu.Seconds())),
		b.binary, p.arg, "-test.failfast", "-test.timeout="+(time.Minute+5*p.cpu).String())
	command.Dir = b.dir
	command.Env = append(os.Environ(), variable+"="+strconv.Itoa(number))
	command.WaitDelay = time.Second // a child of a test may hold the output open
	text, err := command.CombinedOutput()
	if state := command.ProcessState; state != nil {
		used = state.UserTime() + state.SystemTime()
	}
	return string(text), used, err
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^(panic: .*|fatal error: .*)$`)

// judge counts as caught only what the tests themselves ended: a run that did not start,
// or that a signal ended, says nothing.
func judge(out string, err error, usedUp bool) (result, error) {
	by := ""
	if match := failed.FindStringSubmatch(out); match != nil {
		by = match[1] + match[2]
	}
	exit, isExit := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return result{alive, ""}, nil
	case strings.Contains(out, "panic: test timed out after"):
		return result{timedOut, by}, nil
	case isExit && exit.ExitCode() > 0:
		return result{caught, by}, nil
	case usedUp:
		return result{timedOut, by}, nil
	default:
		return result{}, fmt.Errorf("%w:\n%s", err, out)
	}
}
