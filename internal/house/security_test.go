package house

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// A promise whose test was renamed or removed would be held by nothing.
func TestPromisesNameTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 10 {
		t.Errorf("SECURITY.md names %d tests, want at least 10", len(names))
	}
	for _, name := range names {
		grep := exec.Command("grep", "-rqE", "--include=*_test.go", `^func `+name[1]+`\(`, "../..")
		if err := grep.Run(); err != nil {
			t.Errorf("SECURITY.md names %s, which does not exist", name[1])
		}
	}
}
