package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kinds has each operator once.
const kinds = `package toy

import "time"

type Count uint8

func Less(a, b int) bool                    { return a < b }
func LessOrEqual(a, b string) bool          { return a <= b }
func Greater(a, b float64) bool             { return a > b }
func GreaterOrEqual(a, b time.Duration) bool { return a >= 10*time.Second-b }
func Equal(a any, b error) bool             { return a == b }
func NotEqual(a *int) bool                  { return a != nil }
func Both(a, b func() bool) bool            { return a() && b() }
func Either(a, b func() bool) bool          { return a() || b() }
func Shift(n int) int64                     { return 1<<n + 3 }
func Ratio(a int) float64                   { return float64(a) / 2 }
func Negative(a Count) Count                { return -a }
func Text(a string) string                  { return a + "!" }

func Assign(m map[string]Count) [4]Count {
	m["a"]++
	m["b"]--
	m["c"] += 2
	m["d"] -= 2
	return [2 + 2]Count{m["a"], m["b"], m["c"], m["d"]}
}
func Scale(a, b float64) (float64, float64) { a *= 2; b /= 2; return a, b }

// Larger may return either of two that are equal.
func Larger(a, b int) int {
	if a > b {
		return a
	}
	return b
}
`

const kindsTest = `package toy

import (
	"testing"
	"time"
)

func TestKinds(t *testing.T) {
	is := func(b bool) { t.Helper(); if !b { t.Error() } }
	yes, no, boom := func() bool { return true }, func() bool { return false }, func() bool { panic("not reached") }
	is(Less(1, 2) && !Less(2, 2) && LessOrEqual("a", "a") && !LessOrEqual("b", "a"))
	is(Greater(2, 1) && !Greater(2, 2) && GreaterOrEqual(4*time.Second, 6*time.Second) && !GreaterOrEqual(1, 1))
	is(Equal(nil, nil) && !Equal(1, nil) && NotEqual(new(int)) && !NotEqual(nil))
	is(Both(yes, yes) && !Both(no, boom) && !Either(no, no) && Either(yes, boom))
	is(Shift(3) == 11 && Ratio(3) == 1.5 && Negative(1) == 255 && Text("a") == "a!")
	is(Assign(map[string]Count{"a": 1, "b": 1, "c": 1, "d": 9}) == [4]Count{2, 0, 3, 7})
	a, b := Scale(8, 8)
	is(a == 16 && b == 4)
	is(Larger(1, 2) == 2 && Larger(2, 1) == 2 && Larger(1, 1) == 1)
}
`

const survivor = "toy.go Larger: >= for > in a > b"

// run runs the tool on a module of its own, and returns the last lines.
func run(t *testing.T, code, tests, accepted string) (table string, exitCode int, err error) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module toy\n\ngo 1.26\n", "toy.go": code, "toy_test.go": tests} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	exitCode, err = mutation{out: &out, only: regexp.MustCompile(""), accepted: accepted}.run([]string{dir})
	t.Log(out.String())
	_, table, _ = strings.Cut(out.String(), "accepted\n")
	return strings.Join(strings.Fields(strings.ReplaceAll(table, dir, "")), " "), exitCode, err
}

func TestEveryKindOfChangeIsCaughtOrNamed(t *testing.T) {
	for name, row := range map[string]struct {
		accepted, table string
		exitCode        int
	}{
		"a change lived":    {"", "25 24 0 1 0 lived, and not accepted: " + survivor + " line 31", 1},
		"a change may live": {survivor + "\n\tthey are equal\n", "25 24 0 1 1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, exitCode, err := run(t, kinds, kindsTest, row.accepted)
			if table != row.table || exitCode != row.exitCode || err != nil {
				t.Errorf("%q, exit code %d (%v), want %q, %d", table, exitCode, err, row.table, row.exitCode)
			}
		})
	}
}

// A run in which the tests can see nothing is not one in which they caught everything.
func TestTestsThatSayNothingAreAnError(t *testing.T) {
	code := "package toy\n\nfunc Less(a, b int) bool { return a < b }\n"
	head := "package toy\n\nimport \"testing\"\n\n"
	for name, row := range map[string]struct{ tests, says string }{
		"no test":                  {head + "func helper(t *testing.T) { t.Error() }\n", "no test ran"},
		"tests that check nothing": {head + "func TestLess(t *testing.T) { Less(1, 2) }\n", "pass with all changes"},
		"tests that fail anyway":   {head + "func TestLess(t *testing.T) { t.Error() }\n", "fail without any change"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, exitCode, err := run(t, code, row.tests, ""); exitCode != 2 || err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("exit code %d: %v, want 2 and %q", exitCode, err, row.says)
			}
		})
	}
}

// A change that is accepted and does not exist may once have been another.
func TestAcceptedChangesExist(t *testing.T) {
	reasons, err := parseAccepted(accepted)
	if err != nil {
		t.Fatal(err)
	}
	exists, folders := map[string]bool{}, map[string]bool{}
	for name := range reasons {
		if folder := path.Dir(strings.Fields(name)[0]); !folders[folder] {
			folders[folder] = true
			p, err := load(filepath.Join("../../..", folder))
			if err != nil {
				t.Fatal(err)
			}
			_, changes, err := p.rewrite(nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				exists[c.String()] = true
			}
		}
	}
	for name := range reasons {
		if !exists[name] {
			t.Errorf("accepted.txt names a change that does not exist: %s", name)
		}
	}
}

func TestAnAcceptedChangeNeedsAReason(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"# head\n\na\nb\n\tone\n\ttwo\nc\n\tthree\n": {"a": "one two ", "b": "one two ", "c": "three "},
		"a\n":                  nil,
		"a\n\tone\nb\n":        nil,
		"a\n\tone\na\n\ttwo\n": nil,
	} {
		if got, err := parseAccepted(text); !cmp.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
