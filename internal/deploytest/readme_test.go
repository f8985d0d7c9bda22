package deploytest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const readme = "deploy/README.md"

// TestReadmeShowsTheThreeLines: the sample, the change and the result in the README are the files that
// "deploy/verify.sh kustomization" runs.
func TestReadmeShowsTheThreeLines(t *testing.T) {
	text := read(t, readme)
	for _, file := range []string{"invoicing.yaml", "three-lines.diff", "result.yaml"} {
		if content := read(t, "deploy/kustomize/three-lines/"+file); !strings.Contains(text, "\n"+content+"```\n") {
			t.Errorf("%s does not show three-lines/%s as it is", readme, file)
		}
	}
}

func TestThreeLinesAreThree(t *testing.T) {
	diff := read(t, "deploy/kustomize/three-lines/three-lines.diff")
	added := regexp.MustCompile(`(?m)^\+[^+]`).FindAllString(diff, -1)
	removed := regexp.MustCompile(`(?m)^-[^-]`).FindAllString(diff, -1)
	if len(added) != 3 || len(removed) != 0 {
		t.Errorf("three-lines.diff adds %d lines and removes %d, want 3 and 0", len(added), len(removed))
	}
}

// filesTable is the table of the README that says what verified which file.
type filesTable struct {
	files    []string
	commands []string
}

var (
	inCode = regexp.MustCompile("`([^`]+)`")
	row    = regexp.MustCompile(`(?m)^\| (.+?) \| (.+?) \| .+ \|$`)
)

func readFilesTable(text string) filesTable {
	var table filesTable
	_, text, _ = strings.Cut(text, "\n| file | verified by | result |\n")
	text, _, _ = strings.Cut(text, "\n\n")
	for _, cells := range row.FindAllStringSubmatch(text, -1) {
		for _, m := range inCode.FindAllStringSubmatch(cells[1], -1) {
			table.files = append(table.files, m[1])
		}
		for _, m := range inCode.FindAllStringSubmatch(cells[2], -1) {
			table.commands = append(table.commands, m[1])
		}
	}
	return table
}

// problemsOfFilesTable compares the table with the files that are there, and its commands with those that exist.
func problemsOfFilesTable(t *testing.T, text string) []string {
	t.Helper()
	there := filesOfDeploy(t)
	var problems []string
	table := readFilesTable(text)
	for _, file := range there {
		if !slices.Contains(table.files, file) {
			problems = append(problems, file+" is not in the table")
		}
	}
	for _, file := range table.files {
		if !slices.Contains(there, file) {
			problems = append(problems, file+" is in the table and not in deploy/")
		}
	}
	for _, command := range table.commands {
		if !exists(t, command) {
			problems = append(problems, "there is no "+command)
		}
	}
	return problems
}

// filesOfDeploy leaves out what a .gitignore above names: credentials, and what helm builds.
func filesOfDeploy(t *testing.T) (files []string) {
	t.Helper()
	var ignored []string
	err := filepath.WalkDir(filepath.Join(root, "deploy"), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(ignored, path):
			return fs.SkipDir
		case d.IsDir() || slices.Contains(ignored, path):
			return nil
		}
		if d.Name() == ".gitignore" {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for name := range strings.FieldsSeq(string(content)) {
				ignored = append(ignored, filepath.Join(filepath.Dir(path), name))
			}
		}
		files = append(files, strings.TrimPrefix(filepath.ToSlash(path), root+"/deploy/"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// exists knows the checks of verify.sh, the targets of the Makefile, and Go tests by name.
func exists(t *testing.T, command string) bool {
	t.Helper()
	words := strings.Fields(command)
	switch last := words[len(words)-1]; {
	case strings.HasPrefix(command, "deploy/verify.sh "):
		scripts, err := filepath.Glob(filepath.Join(root, "deploy/verify*", "*.sh"))
		if err != nil {
			t.Fatal(err)
		}
		for _, script := range append(scripts, filepath.Join(root, "deploy/verify.sh")) {
			content, err := os.ReadFile(script)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(content), "\n"+last+"() {\n") {
				return true
			}
		}
	case strings.HasPrefix(command, "make "):
		return strings.Contains(read(t, "Makefile"), "\n"+last+": ")
	case strings.HasPrefix(command, "go test ./"):
		_, err := os.Stat(filepath.Join(root, words[2]))
		return err == nil
	}
	return false
}

func TestEveryFileIsInTheTable(t *testing.T) {
	testFile(t, readme, problemsOfFilesTable, []breakage{
		{"`policy/pod.yaml`", "", "policy/pod.yaml is not in the table"},
		{"`policy/pod.yaml`", "`policy/pod.yml`", "policy/pod.yml is in the table and not in deploy/"},
		{"| `deploy/verify.sh demo`", "| `deploy/verify.sh dem`", "there is no deploy/verify.sh dem"},
		{"monite.conf` | `make recipes`", "monite.conf` | `make recipe`", "there is no make recipe"},
	})
}
