// Command mutation changes one operator at a time and runs the tests of its package
// alone: a change that lives is one that these tests do not see.
//
//	go run ./internal/mutants/mutation [-only REGEXP] [-v] FOLDER|FILE...
//
// All changes of a package are in one build, and a variable of the environment switches
// one of them on. The build goes through go test -overlay, so no file of the working tree
// changes. The files, in the order of the walk:
//
//   - change.go: one change, and its name, which survives a move to another line
//   - rewrite.go: a file of Go as text that has all of its changes
//   - build.go: the package as a test binary, and one run of it
//   - accepted.go: accepted.txt, the changes that may live, each with its reason
//   - main.go: each change in turn, and the table
//
// Three checks come before the first change, or "all caught" could mean that no test ran:
// the tests pass without a change, at least one ran, and they fail with all changes at once.
//
// The exit code is 0 if each change is caught or accepted, 1 if another one lived, and 2
// if the question has no result.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// atOnce limits the test runs that go on at once.
const atOnce = 2

func main() {
	only := flag.String("only", "", "run only the changes whose name matches this regular expression")
	verbose := flag.Bool("v", false, "print each change, with the test that caught it")
	flag.Parse()
	code, err := mutation{out: os.Stdout, only: regexp.MustCompile(*only), verbose: *verbose, accepted: accepted}.run(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
	}
	os.Exit(code)
}

type mutation struct {
	out      io.Writer
	only     *regexp.Regexp
	verbose  bool
	accepted string
}

// row is a line of the closing table.
type row struct{ changes, caught, timedOut, lived int }

func (m mutation) run(args []string) (exitCode int, err error) {
	reasons, err := parseAccepted(m.accepted)
	if err != nil {
		return 2, err
	}
	total := 0
	var table, unexpected strings.Builder
	for _, dir := range folders(args) {
		r, lived, err := m.folder(dir, args)
		if err != nil {
			return 2, fmt.Errorf("%s: %w", dir, err)
		}
		total += r.changes
		others := slices.DeleteFunc(lived, func(c change) bool { return reasons[c.String()] != "" })
		for _, c := range others {
			fmt.Fprintf(&unexpected, "%s\n\tline %d\n", c, c.line)
		}
		fmt.Fprintf(&table, "%-20s %8d %8d %10d %8d %10d\n", dir, r.changes, r.caught, r.timedOut, r.lived, r.lived-len(others))
	}
	if total == 0 {
		return 2, errors.New("no change was made")
	}
	fmt.Fprintf(m.out, "\n%-20s %8s %8s %10s %8s %10s\n%s", "package", "changes", "caught", "timed out", "lived", "accepted", &table)
	if unexpected.Len() > 0 {
		fmt.Fprintf(m.out, "\nlived, and not accepted:\n%s", &unexpected)
		return 1, nil
	}
	return 0, nil
}

// folders returns the folder of each argument, each once.
func folders(args []string) (dirs []string) {
	for _, arg := range args {
		if strings.HasSuffix(arg, ".go") {
			arg = filepath.Dir(arg)
		}
		if arg = filepath.Clean(arg); !slices.Contains(dirs, arg) {
			dirs = append(dirs, arg)
		}
	}
	return dirs
}

// folder runs each change of one package: of the files that args name, or of all of them.
func (m mutation) folder(dir string, args []string) (r row, lived []change, err error) {
	p, err := load(dir)
	if err != nil {
		return r, nil, err
	}
	var files []string
	for _, arg := range args {
		if filepath.Dir(arg) == dir && strings.HasSuffix(arg, ".go") {
			files = append(files, filepath.Base(arg))
		}
	}
	texts, changes, err := p.rewrite(files)
	chosen := slices.DeleteFunc(changes, func(c change) bool { return !m.only.MatchString(c.String()) })
	if err != nil || len(chosen) == 0 {
		return r, nil, err
	}
	b, err := p.build(texts)
	if err != nil {
		return r, nil, err
	}
	defer b.close()
	if err := b.check(); err != nil {
		return r, nil, err
	}
	fmt.Fprintf(m.out, "%s: %d changes, %d tests\n", dir, len(chosen), b.tests)
	results, err := b.each(chosen, func(c change, was result) {
		if m.verbose || was.verdict != caught {
			fmt.Fprintf(m.out, "%-9s %s (line %d) %s\n", was.verdict, c, c.line, was.by)
		}
	})
	for i, c := range chosen {
		r.changes++
		switch results[i].verdict {
		case caught:
			r.caught++
		case timedOut:
			r.timedOut++
		case alive:
			r.lived++
			lived = append(lived, c)
		}
	}
	return r, lived, err
}

// each runs the changes, a few at once, and tells of each result when it comes.
func (b *build) each(changes []change, tell func(change, result)) ([]result, error) {
	results := make([]result, len(changes))
	next := make(chan int)
	var mu sync.Mutex // guards failed, and keeps what is told apart
	var failed error
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range next {
				was, err := b.run(changes[i].number)
				mu.Lock()
				if results[i] = was; err != nil {
					failed = err
				} else {
					tell(changes[i], was)
				}
				mu.Unlock()
			}
		})
	}
	for i := range changes {
		next <- i
	}
	close(next)
	workers.Wait()
	return results, failed
}
