package targettest

import (
	"strings"

	"github.com/monite-proxy/monite-proxy/internal/routes"
)

const id = "11111111-aaaa-4aaa-8aaa-111111111111"

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

// AuthTargets are request targets that some upstream takes for the token endpoint.
func AuthTargets() []string {
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

// LegitimatePaths are the published templates, filled in, and what may stand in a
// later segment.
func LegitimatePaths() []string {
	var all []string
	for _, route := range routes.Published {
		if strings.HasPrefix(route.Template, "/v1/auth/") {
			continue
		}
		var filled []string
		for segment := range strings.SplitSeq(route.Template, "/") {
			if strings.HasPrefix(segment, "{") {
				segment = id
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

// Hosts are values of Host, and whether a proxy accepts them that is also known as
// monite-proxy and monite-proxy.billing.svc.cluster.local, is bound to 10.1.2.3 and
// was reached at 192.0.2.7.
var Hosts = []struct {
	Host string
	OK   bool
}{
	{"localhost", true}, {"LOCALHOST", true}, {"LocalHost:8080", true}, {"localhost.", true}, {"localhost.:8080", true}, {"localhost:", true}, {"localhost:0", true}, {"localhost:65535", true},
	{"127.0.0.1", true}, {"127.0.0.1:8080", true}, {"127.0.0.1.", true}, {"127.1.2.3", true}, {"127.255.255.255:1", true},
	{"[::1]", true}, {"[::1]:8080", true}, {"[0:0:0:0:0:0:0:1]", true}, {"[0000::0001]:80", true},
	{"monite-proxy", true}, {"Monite-Proxy:8080", true}, {"monite-proxy.billing.svc.cluster.local", true}, {"monite-proxy.billing.svc.cluster.local.", true},
	{"10.1.2.3", true}, {"10.1.2.3:8080", true}, // bound
	{"192.0.2.7", true}, {"[::ffff:192.0.2.7]:80", true}, // reached at

	{"", false}, {".", false}, {":", false}, {":8080", false}, {"localhost..", false}, {".localhost", false},
	{"localhost.evil.example", false}, {"evil.localhost", false}, {"localhost.localdomain", false}, {"evil.example", false}, {"evil.example:8080", false}, {"api.monite.com", false},
	{"127.0.0.1.nip.io", false}, {"127-0-0-1.nip.io", false}, {"127.0.0.1.evil.example:8080", false}, {"a.127.0.0.1", false},
	{"monite-proxy.evil.example", false}, {"xmonite-proxy", false}, {"monite-proxy.billing", false}, {"monite-proxy.billing.svc.cluster.local.evil.example", false}, {"monite_proxy", false},
	{"0.0.0.0", false}, {"0.0.0.0:8080", false}, {"0", false}, {"[::]", false}, {"[::]:8080", false},
	{"2130706433", false}, {"0x7f000001", false}, {"0x7f.0.0.1", false}, {"017700000001", false}, {"0177.0.0.1", false}, {"127.1", false}, {"127.0.1", false}, {"127.0.0.01", false}, {"127.0.0.1.1", false}, {"256.0.0.1", false},
	{"10.1.2.4", false}, {"192.0.2.8", false}, {"192.168.0.1", false}, {"169.254.169.254", false}, {"128.0.0.1", false}, {"126.255.255.255", false},
	{"[::2]", false}, {"[::1%25lo]", false}, {"[::1%lo]:80", false}, {"[fe80::1%25eth0]", false}, {"[fe80::1]", false}, {"::1", false}, {"::1:8080", false}, {"[::1", false}, {"::1]", false}, {"[::1].", false}, {"[::1]x", false},
	{"[127.0.0.1]", false}, {"[localhost]", false}, {"[]", false}, {"[::ffff:7f00:2]", false}, {"[64:ff9b::7f00:1]", false},
	{"user@localhost", false}, {"localhost@evil.example", false}, {"user:pass@localhost:80", false}, {"localhost:80@evil.example", false}, {"localhost:80:80", false}, {"localhost:8080x", false}, {"localhost:-1", false},
	{"localhost:+80", false}, {"localhost:080080", false}, {"localhost/x", false}, {"localhost?x", false}, {"localhost#x", false}, {"localhost\\x", false}, {"localhost%00", false}, {"localhost%2eevil", false}, {"http://localhost", false},
	{"localhost localhost", false}, {" localhost", false}, {"localhost\t", false}, {"localhost,evil", false}, {"localhost;x", false},
	{"xn--localhost-9za", false}, {"loc\u00e4lhost", false}, {"\uff4cocalhost", false}, {"localhost\u3002", false}, {"loca\u00adlhost", false}, {"127\u30020\u30020\u30021", false},
}
