package target

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/target/targettest"
)

// accepted is the verdict of all rules on a target.
func accepted(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	return OriginForm(target) && SafePath(path) && !TouchesAuth(path)
}

func TestNoSpellingOfTheTokenEndpointPasses(t *testing.T) {
	targets := targettest.AuthTargets()
	if len(targets) < 400 {
		t.Fatalf("%d rows, want 400", len(targets))
	}
	for _, target := range targets {
		if !targettest.ReachesToken(target) {
			t.Errorf("%s reaches the token endpoint nowhere: a row that proves nothing", target)
		}
		if accepted(target) {
			t.Errorf("%s passes, and some upstream takes it for %s", target, targettest.AuthForm(target))
		}
	}
	t.Logf("%d rows", len(targets))
}

func TestLegitimatePathsPass(t *testing.T) {
	paths := targettest.LegitimatePaths()
	for _, path := range paths {
		if !accepted(path) {
			t.Errorf("%s is refused", path)
		}
		if form := targettest.AuthForm(path); form != "" {
			t.Errorf("%s can become %s: the oracle is against this row", path, form)
		}
	}
	t.Logf("%d rows", len(paths))
}

func TestTargetsThatAreNoOriginFormAreRefused(t *testing.T) {
	for _, target := range []string{
		"", "*", "v1/payables", "http://evil.example/v1/payables", "https://api.monite.com/v1", "evil.example:443", "?a", "/a b", "/a\tb",
		"/a\x00b", "/a\x7f", "/ä", "/a#b", "/a?b#c", "/#", "/a\r\nX: y",
		"/a?b c", "/a?\xff",
	} {
		if OriginForm(target) {
			t.Errorf("OriginForm(%q) = true", target)
		}
	}
	for _, target := range []string{"/", "/?", "/a?b=c", "/a?b=%zz;c=d&e", "/a??", "/a?//..\\", "/a?{}|^`\"<>"} {
		if !OriginForm(target) {
			t.Errorf("OriginForm(%q) = false", target)
		}
	}
}

func TestPathsThatSomebodyCouldReadOtherwiseAreRefused(t *testing.T) {
	for _, path := range []string{
		"//", "//v1", "/v1//payables", "/v1/payables//", "/.", "/..", "/v1/.", "/v1/..", "/v1/./payables", "/v1/../x", "/v1/payables/..",
		"/v1/x/..%20/y", "/v1/x/+./y", "/v1/x/%20..+/y", `/v1\payables`, "/v1;a/payables", "/v1/payables;a=b",
		"/v1/%", "/v1/%2", "/v1/%zz", "/v1/%2g", "/v1/a%", "/v1/a%4", "/v1/%2f", "/v1/%2F", "/v1/%5c", "/v1/%2e", "/v1/a%2eb", "/v1/%25",
		"/v1/%3b", "/v1/%23", "/v1/%3f", "/v1/%00", "/v1/%0a", "/v1/%0D",
		"/v1/%1f", "/v1/%7f", "/v1/%c3%bc", "/%c3%bc", "/v1/x/%ff", "/v1/x/y/%ff", "/v1/x/y/%c3", "/v1/x/y/%c0%ae", "/v1/x/y/%c0%af",
		"/v1/x/y/%e0%80%af", "/v1/x/y/%ed%a0%80", "/v1/x/y/%f4%90%80%80",
		"/v1/x/y/%c2%85", "/v1/x/y/%c2%a0", "/v1/x/y/%e2%80%a4", "/v1/x/y/%e2%80%a5", "/v1/x/y/%ef%bc%8f", "/v1/x/y/%ef%bc%bc",
		"/v1/x/y/%e2%84%80", "/v1/x/y/%e3%80%82", "/v1/x/y/%e2%80%ae", "/v1/x/y/%ef%bc%85",
	} {
		if accepted(path) {
			t.Errorf("%s passes", path)
		}
	}
}

// One reader makes a dot, a slash or an ASCII letter of what is beyond ASCII
// (NFKC, case folding: a sharp s is two letters), and no published path has any.
func TestEscapesBeyondASCIIAreRefusedAtAnyDepth(t *testing.T) {
	for c := 0x80; c <= 0xff; c++ {
		for _, shape := range []string{"/%%%02x", "/v1/%%%02x", "/v1/payables/a%%%02X", "/v1/a/b/c/%%%02xz", "/v1/a/b/c/d/%%c3%%%02x/"} {
			if path := fmt.Sprintf(shape, c); accepted(path) {
				t.Errorf("%s passes", path)
			}
		}
	}
	for _, name := range []string{"Zürich", "Straße", "日本語", "résumé", "\u212a", "\u017f"} {
		if path := "/v1/payables/x/" + url.PathEscape(name); accepted(path) {
			t.Errorf("%s passes", path)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, path := range append(targettest.AuthTargets(), targettest.LegitimatePaths()...) {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if len(path) > 300 || !accepted(path) {
			return
		}
		path, _, _ = strings.Cut(path, "?")
		if form := targettest.AuthForm(path); form != "" {
			t.Errorf("%q passes, and some upstream takes it for %q", path, form)
		}
	})
}
