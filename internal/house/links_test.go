package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`(?:\]\(|\bsrc="|\bsrcset=")([^)\s"]+)[")]`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	dropped = regexp.MustCompile("[^a-z0-9 _-]")
)

// anchors returns the names under which GitHub shows the headings of a page.
func anchors(markdown string) map[string]bool {
	names := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(markdown, -1) {
		name := dropped.ReplaceAllString(strings.ToLower(match[1]), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}

// TestLinksLeadSomewhere follows every relative link of the Markdown files, to a file
// and to a heading in it.
func TestLinksLeadSomewhere(t *testing.T) {
	count := 0
	for _, file := range tracked(t, "*.md", "") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			target := match[1]
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			count++
			path, anchor, _ := strings.Cut(target, "#")
			to := file
			if path != "" {
				to = filepath.Join(filepath.Dir(file), path)
			}
			page, err := os.ReadFile(to)
			if info, statErr := os.Stat(to); statErr != nil {
				t.Errorf("%s: the link to %s leads nowhere", file, target)
			} else if anchor != "" && !info.IsDir() && (err != nil || !anchors(string(page))[anchor]) {
				t.Errorf("%s: %s has no heading #%s", file, path, anchor)
			}
		}
	}
	t.Logf("%d links followed", count)
}
