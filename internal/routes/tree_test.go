package routes

import "testing"

// Two templates at one place: the name as published wins, and where its branch
// has no end, the parameter is tried after all.
func TestStaticSegmentWinsOverParameter(t *testing.T) {
	published := []Route{{"/a/{id}", ""}, {"/a/new", ""}, {"/a/{id}/end", ""}, {"/a/new/other", ""}, {"/{x}/b", ""}}
	tree := newTree(published)
	for path, want := range map[string]string{"a/new": "/a/new", "a/1": "/a/{id}", "a/new/end": "/a/{id}/end", "a/new/other": "/a/new/other",
		"a/1/other": "", "a": "", "z/b": "/{x}/b", "a/b": "/a/{id}"} {
		got := ""
		if i := tree.match(path); i != Other {
			got = published[i].Template
		}
		if got != want {
			t.Errorf("match(%s) = %q, want %q", path, got, want)
		}
	}
}
