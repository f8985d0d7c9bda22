package house

import (
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A newcomer reads the walk of a package in its doc.go. A file that it does not
// name is found by nobody.
func TestEveryFileIsNamedInItsPackageComment(t *testing.T) {
	for _, p := range listPackages(t) {
		var files []string
		for _, file := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
			if file != "doc.go" && !strings.HasSuffix(file, "_test.go") {
				files = append(files, file)
			}
		}
		if len(files) < 2 { // a package of one file is its own walk
			continue
		}
		text := packageComment(t, p)
		missing := slices.DeleteFunc(files, func(file string) bool { return isNamed(text, file) })
		if len(missing) > 0 {
			t.Errorf("the package comment of %s does not name %s", p.ImportPath, strings.Join(missing, ", "))
		}
	}
}

// isNamed reports whether the text has the file, or peer_*.go for a file like
// peer_linux.go.
func isNamed(text, file string) bool {
	base, _, found := strings.Cut(file, "_")
	return strings.Contains(text, file) || found && strings.Contains(text, base+"_*.go")
}

func packageComment(t *testing.T, p goPackage) string {
	t.Helper()
	var text strings.Builder
	for _, file := range p.GoFiles {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(parsed.Doc.Text())
	}
	return text.String()
}

// maxFiles is how many names a reader takes in at once. The tests of a folder
// are a list of their own.
const maxFiles = 40

func TestNoFolderHasMoreThanFortyFiles(t *testing.T) {
	list := exec.Command("git", "ls-files", "../..")
	list.Dir = "."
	out, err := list.Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	count := map[string]int{}
	for _, file := range strings.Fields(string(out)) {
		folder := path.Dir(strings.TrimPrefix(file, "../../"))
		if strings.HasSuffix(file, "_test.go") {
			folder += " (tests)"
		}
		count[folder]++
	}
	for _, folder := range slices.Sorted(maps.Keys(count)) {
		if n := count[folder]; n > maxFiles && !slices.Contains(strings.Split(folder, "/"), "testdata") {
			t.Errorf("%s has %d files, want at most %d: which of them belong into a folder of their own?", folder, n, maxFiles)
		}
	}
}
