package proxy

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/routes"
)

// authSpellings are segments that some upstream takes for "auth".
var authSpellings = []string{
	"auth", "AUTH", "Auth", "aUtH", "%61uth", "a%75th", "au%74h", "aut%68", "%61%75%74%68", "%41UTH", "%41%55%54%48", "a%55th",
	"%2561uth", "%25%36%31uth", "%252561uth", "a%2575th", "%2541uth",
	"auth;", "auth;x=1", "auth;jsessionid=1", "auth%3bx=1", "auth%3Bx", "auth%253bx",
	"auth%20", "%20auth", "auth+", "+auth", "auth%09", "auth%0a", "auth%0d", "%0aauth", "auth%c2%a0", "auth%20%20", "auth%2b",
	"auth%00", "auth%00x", "auth%2500", "auth%3f", "auth%3fx", "auth%253f", "auth%23", "auth%2523",
	"auth.", "auth..", "auth%2e", "auth%20.",
	"%EF%BD%81uth", "%ef%bd%81%ef%bd%95%ef%bd%94%ef%bd%88", "a%EF%BD%95th", "%f0%9d%90%9auth", "%e2%93%90uth", "%c2%aauth", "%e1%b5%83uth",
	"au%e1%b5%97h", "aut%ca%b0", "%c3%a1uth", "a%cc%81uth", "a%c3%bcth", "aut%e1%ba%96",
	"au%c2%adth", "au%e2%80%8bth", "au%ef%bb%bfth", "auth%e2%80%8e", "a%cd%8futh", "au%ef%b8%8fth", "au%e3%85%a4th",
	"%c1%a1uth", "%c1%a1%c1%b5%c1%b4%c1%a8", "%e0%81%a1uth", "au%fft%68", "auth%ff",
}

// wayBack are prefixes that some upstream resolves away.
var wayBack = []string{
	"/v1/./%s/token", "/v1/../v1/%s/token", "/v1/payables/../%s/token", "/v1/payables/%%2e%%2e/%s/token", "/v1/payables/%%2E./%s/token",
	"/v1/a/b/%%c0%%ae%%c0%%ae/%%c0%%ae%%c0%%ae/%s/token", "/v1/a/b/%%ef%%bc%%8e%%ef%%bc%%8e/%%e2%%80%%a5/%s/token",
	"/v1/a/..%%2f%s/token", "/v1/a/..%%5c%s/token", "/v1/payables/..;/%s/token", "/v1/payables/..;a=b/%s/token", "/v1/payables/..%%20/%s/token",
	"/v1/payables/%%252e%%252e/%s/token", "//%s/token", "//v1/%s/token", "/v1//%s/token", "/v1/%s//token", "/v1/%%2f%s/token", "/%%2e/v1/%s/token",
	`/v1\%s\token`, "/v1%%5c%s%%5ctoken", "/v1%%2f%s%%2ftoken", "/v1%%2F%s/token", "/v1%%252f%s/token", "/v1/%s%%2ftoken", "/v1/%s%%00/token",
	"/%s/token", "/v1/%s/revoke", "/v1/%s", "/v1/%s/", "/v1/%s/token/", "/v1/%s/token/x/..", "/v1/x/%%e2%%84%%80/../../../%s/token", "/V1/%s/token", "/%%761/%s/token",
	"/v1/a/b%%ef%%bc%%8f..%%ef%%bc%%8f../..%%ef%%bc%%8f%s/token", "/v1/a/b/%%ef%%b8%%b0/%%ef%%b9%%92%%ef%%b9%%92/%s/token", "/v1%%ef%%bc%%bc%s/token",
	"/v1/;/%s/token", "/v1;x/%s/token", "/v1%%3b/%s/token", "/v1/%s/%%74oken", "/v1/%s/TOKEN", "/v1/%s/token;x", "/v1/%s/token%%00.json", "/v1/%s/token%%20",
	"/v1/%s/token%%3fx", "/./%s/token", "/../%s/token", "/v1/%%20/../%s/token", "/x/..%%00/%s/token",
}

func authTargets() []string {
	var all []string
	for _, spelling := range authSpellings {
		for _, shape := range []string{"/v1/%s/token", "/v1/%s/revoke", "/%s/token", "/v1/payables/x/../../%s/token", "/v1/a/b/%%c0%%ae%%c0%%ae/%%c0%%ae%%c0%%ae/%s/token"} {
			all = append(all, strings.ReplaceAll(strings.ReplaceAll(shape, "%s", spelling), "%%", "%"))
		}
	}
	for _, shape := range wayBack {
		for _, spelling := range []string{"auth", "%61uth", "%c1%a1uth", "%ef%bd%81uth"} {
			all = append(all, strings.ReplaceAll(strings.ReplaceAll(shape, "%s", spelling), "%%", "%"))
		}
	}
	return all
}

// accepted is the guard's verdict on a target.
func accepted(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	return targetSafe(target) && pathSafe(path) && !pathTouchesAuth(path)
}

func TestNoSpellingOfTheTokenEndpointPasses(t *testing.T) {
	targets := authTargets()
	if len(targets) < 400 {
		t.Fatalf("%d rows, want 400", len(targets))
	}
	for _, target := range targets {
		if !reachesToken(target) {
			t.Errorf("%s reaches the token endpoint nowhere: a row that proves nothing", target)
		}
		if accepted(target) {
			t.Errorf("%s passes, and some upstream takes it for %s", target, authForm(target))
		}
	}
	t.Logf("%d rows", len(targets))
}

// Published templates, and what may stand in a later segment.
func legitimatePaths() []string {
	var all []string
	for _, route := range routes.Published {
		if strings.HasPrefix(route.Template, "/v1/auth/") {
			continue
		}
		var filled []string
		for segment := range strings.SplitSeq(route.Template, "/") {
			if strings.HasPrefix(segment, "{") {
				segment = entityA
			}
			filled = append(filled, segment)
		}
		all = append(all, strings.Join(filled, "/"))
	}
	for _, rest := range []string{
		"", "/", "/x/", "/a.b", "/a..b", "/.a", "/a.", "/a...", "/...", "/a:b", "/a:cancel", "/~me", "/a~b", "/a+b", "/+", "/a@b.example", "/a,b,c", "/a=b", "/a&b", "/(a)", "/a'b",
		"/a!b", "/$a", "/*", "/a_b", "/a-b", "/-", "/_", "/%20", "/a%20b", "/a%2bb", "/a%40b", "/a%3Ab", "/a%2Cb", "/%24", "/a%21", "/A%7Eb", "/%41",
		"/authors", "/author", "/oauth", "/auths", "/auth-x", "/auth_token", "/x.auth", "/au", "/aut", "/auto", "/authority", "/token", "/revoke",
		"/x/y/z/" + strings.Repeat("a", 4000),
	} {
		all = append(all, "/v1/payables"+rest)
	}
	return append(all, "/", "/v1", "/v1/", "/v2/payables", "/healthz")
}

func TestLegitimatePathsPass(t *testing.T) {
	paths := legitimatePaths()
	for _, path := range paths {
		if !accepted(path) {
			t.Errorf("%s is refused", path)
		}
		if form := authForm(path); form != "" {
			t.Errorf("%s can become %s: the oracle is against this row", path, form)
		}
	}
	t.Logf("%d rows", len(paths))
}

func TestTargetsThatAreNoOriginFormAreRefused(t *testing.T) {
	for _, target := range []string{
		"", "*", "v1/payables", "http://evil.example/v1/payables", "https://api.monite.com/v1", "evil.example:443", "?a", "/a b", "/a\tb", "/a\x00b", "/a\x7f", "/ä", "/a#b", "/a?b#c", "/#", "/a\r\nX: y",
		"/a?b c", "/a?\xff",
	} {
		if targetSafe(target) {
			t.Errorf("targetSafe(%q) = true", target)
		}
	}
	for _, target := range []string{"/", "/?", "/a?b=c", "/a?b=%zz;c=d&e", "/a??", "/a?//..\\", "/a?{}|^`\"<>"} {
		if !targetSafe(target) {
			t.Errorf("targetSafe(%q) = false", target)
		}
	}
}

func TestPathsThatSomebodyCouldReadOtherwiseAreRefused(t *testing.T) {
	for _, path := range []string{
		"//", "//v1", "/v1//payables", "/v1/payables//", "/.", "/..", "/v1/.", "/v1/..", "/v1/./payables", "/v1/../x", "/v1/payables/..", "/v1/x/..%20/y", "/v1/x/+./y", "/v1/x/%20..+/y", `/v1\payables`, "/v1;a/payables", "/v1/payables;a=b",
		"/v1/%", "/v1/%2", "/v1/%zz", "/v1/%2g", "/v1/a%", "/v1/a%4", "/v1/%2f", "/v1/%2F", "/v1/%5c", "/v1/%2e", "/v1/a%2eb", "/v1/%25", "/v1/%3b", "/v1/%23", "/v1/%3f", "/v1/%00", "/v1/%0a", "/v1/%0D",
		"/v1/%1f", "/v1/%7f", "/v1/%c3%bc", "/%c3%bc", "/v1/x/%ff", "/v1/x/y/%ff", "/v1/x/y/%c3", "/v1/x/y/%c0%ae", "/v1/x/y/%c0%af", "/v1/x/y/%e0%80%af", "/v1/x/y/%ed%a0%80", "/v1/x/y/%f4%90%80%80",
		"/v1/x/y/%c2%85", "/v1/x/y/%c2%a0", "/v1/x/y/%e2%80%a4", "/v1/x/y/%e2%80%a5", "/v1/x/y/%ef%bc%8f", "/v1/x/y/%ef%bc%bc", "/v1/x/y/%e2%84%80", "/v1/x/y/%e3%80%82", "/v1/x/y/%e2%80%ae", "/v1/x/y/%ef%bc%85",
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
	for _, path := range append(authTargets(), legitimatePaths()...) {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if len(path) > 300 || !accepted(path) {
			return
		}
		path, _, _ = strings.Cut(path, "?")
		if form := authForm(path); form != "" {
			t.Errorf("%q passes, and some upstream takes it for %q", path, form)
		}
	})
}
