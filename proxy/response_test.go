package proxy

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/routes"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// upstreamSays answers every request with the raw text for its path.
func upstreamSays(t testing.TB, answers map[string]string) *wiretest.Origin {
	return wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, _ string) string { return answers[in.URL.Path] }))
}

// One table: what upstream says, and what the app gets, head and body. "-" for
// a field: it must be absent.
func TestAnswerOfUpstream(t *testing.T) {
	rows := []struct {
		name, method, says string
		status             int
		fields             map[string]string
		body               string
	}{
		{"plain", "GET", answer(200, "application/json", `{"a":1}`), 200,
			map[string]string{"Content-Type": "application/json", "Content-Length": "7"}, `{"a":1}`},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 200,
			map[string]string{"Content-Length": "-", "Content-Type": "-"}, "abcde"},
		{"until close", "GET", "HTTP/1.0 200 OK\r\n\r\nabc", 200, nil, "abc"},
		{"HTTP/1.0 with length", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, map[string]string{"Content-Length": "3"}, "abc"},
		{"type is not guessed", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html><script/>", 200,
			map[string]string{"Content-Type": "-"}, "<html><script/>"},
		{"empty body, no type", "GET", okEmpty, 200, map[string]string{"Content-Type": "-", "Content-Length": "0"}, ""},
		{"HEAD with length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1234\r\n\r\n", 200,
			map[string]string{"Content-Length": "1234", "Content-Type": "application/json"}, ""},
		{"HEAD without length", "HEAD", "HTTP/1.1 200 OK\r\nEtag: \"x\"\r\n\r\n", 200, map[string]string{"Etag": `"x"`}, ""},
		{"HEAD, chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, nil, ""},
		{"HEAD 404", "HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", 404, map[string]string{"Content-Length": "9"}, ""},
		{"204", "DELETE", "HTTP/1.1 204 No Content\r\nX-Monite-Version: 2024-05-25\r\n\r\n", 204,
			map[string]string{"X-Monite-Version": "2024-05-25", "Content-Length": "-"}, ""},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\nCache-Control: max-age=1\r\n\r\n", 304,
			map[string]string{"Etag": `"x"`, "Cache-Control": "max-age=1"}, ""},
		{"1xx before", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" +
			answer(200, "text/plain", "x"), 200, map[string]string{"Link": "-"}, "x"},
		{"trailers", "GET", "HTTP/1.1 200 OK\r\nTrailer: X-T, Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-T: canary\r\n" +
			"Set-Cookie: canary=1\r\n\r\n", 200, map[string]string{"Trailer": "-", "X-T": "-"}, "x"},
		{"gzip", "GET", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\nContent-Length: " +
			fmt.Sprint(len(gzipped("abc"))) + "\r\n\r\n" + gzipped("abc"), 200,
			map[string]string{"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}, gzipped("abc")},
		{"hop-by-hop", "GET",
			"HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive, content-type\r\nKeep-Alive: timeout=5\r\nX-Hop: canary\r\nProxy-Connection: x\r\n" +
				"Upgrade: h2c\r\nTe: x\r\nContent-Type: a/b\r\nContent-Length: 0\r\n" +
				"\r\n", 200,
			map[string]string{"X-Hop": "-", "Proxy-Connection": "-", "Upgrade": "-", "Te": "-",
				"Content-Type": "a/b"}, ""},
		{"hop-by-hop, of the last response on a connection", "GET",
			"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nConnection: X-Hop-2\r\nX-Hop: canary\r\nX-Hop-2: canary\r\nContent-Length: 0\r\n\r\n", 200,
			map[string]string{"X-Hop": "-", "X-Hop-2": "-"}, ""},
		{"fields that pass", "GET",
			"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nRateLimit-Limit: 5\r\n" +
				"WWW-Authenticate: Bearer\r\nContent-Disposition: inline; filename=\"x\"\r\nContent-Length: 0\r\n\r\n", 200,
			map[string]string{"X-A": "1", "Date": "Tue, 15 Nov 1994 08:12:31 GMT", "Ratelimit-Limit": "5",
				"Www-Authenticate": "Bearer", "Content-Disposition": `inline; filename="x"`}, ""},
		{"307 to itself", "GET",
			"HTTP/1.1 307 X\r\nLocation: http://ORIGIN/v1/payables?a=%zz\r\nContent-Location: //ORIGIN/v1/y\r\nContent-Length: 0\r\n\r\n", 307,
			map[string]string{"Location": "/v1/payables?a=%zz", "Content-Location": "/v1/y"}, ""},
		{"302 elsewhere", "GET", "HTTP/1.1 302 X\r\nLocation: https://evil.example/x\r\nContent-Length: 0\r\n\r\n", 302,
			map[string]string{"Location": "https://evil.example/x"}, ""},
		{"429", "POST", "HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 429,
			map[string]string{"Retry-After": "7", "Proxy-Status": "-"}, "{}"},
		{"503", "GET", "HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}", 503,
			map[string]string{"Retry-After": "7", "X-Monite-Proxy-Outcome": "-"}, "{}"},
		{"403", "GET", answer(403, "application/json", `{"error":{"message":"no"}}`), 403, nil, `{"error":{"message":"no"}}`},
		{"names with a blank", "GET", "HTTP/1.1 200 OK\r\nSet-Cookie : a=b\r\nca nary: x\r\nContent-Length: 0\r\n\r\n", 200,
			map[string]string{"Set-Cookie": "-", "Set-Cookie ": "-", "ca nary": "-", "Ca Nary": "-"}, ""},
		{"418", "GET", answer(418, "a/b", "x"), 418, nil, "x"}, {"599", "GET", answer(599, "a/b", "x"), 599, nil, "x"},
	}
	answers := map[string]string{}
	o := upstreamSays(t, answers)
	for i, c := range rows {
		answers[fmt.Sprintf("/v1/%d", i)] = strings.ReplaceAll(c.says, "ORIGIN", o.URL.Host)
	}
	// These end the connection by what they are.
	for i, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			o := o
			if c.name == "until close" {
				o = wiretest.Listen(t, nil, func(p *wiretest.Peer) { _, _, _ = p.Request(); p.Say(c.says) })
			}
			r := newRig(t, o.URL)
			for range 2 { // the second on the same connection of the app
				response, body := r.do(c.method, fmt.Sprintf("/v1/%d", i), "")
				if response.StatusCode != c.status || body != c.body {
					t.Errorf("answer = %d %q, want %d %q", response.StatusCode, body, c.status, c.body)
				}
				for name, want := range c.fields {
					if got, ok := response.Header[name]; want == "-" && ok || want != "-" && (len(got) == 0 || got[0] != want) {
						t.Errorf("%s = %q, want %q", name, got, want)
					}
				}
				if len(response.Trailer) > 0 {
					t.Errorf("trailers %v", response.Trailer)
				}
				if record := r.record(); record.Origin != OriginUpstream || record.Status != c.status || record.ResponseBytes != int64(len(c.body)) ||
					record.Outcome != "" {
					t.Errorf("record = %+v", record)
				}
			}
			if got := r.open.Load(); got != 1 {
				t.Errorf("%d connections of the app for two requests", got)
			}
		})
	}
}

func TestEveryValueOfAFieldPasses(t *testing.T) {
	o := upstreamSays(t, map[string]string{"/v1/x": "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nLink: <a>\r\nLink: <b>\r\nContent-Length: 0\r\n\r\n"})
	response, _ := newRig(t, o.URL).do("GET", "/v1/x", "")
	if !slices.Equal(response.Header["X-A"], []string{"1", "2"}) || !slices.Equal(response.Header["Link"], []string{"<a>", "<b>"}) {
		t.Errorf("header = %v", response.Header)
	}
}

func TestRequestIDIsOursAndUpstreamsIsNamed(t *testing.T) {
	o := upstreamSays(t, map[string]string{"/v1/x": "HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n",
		"/v1/odd": "HTTP/1.1 200 OK\r\nX-Request-Id: a b\x1b[31m\r\nContent-Length: 0\r\n\r\n"})
	r := newRig(t, o.URL)
	for _, c := range []struct{ path, given, id, theirs string }{{"/v1/x", "app-1", "app-1", "theirs"},
		{"/v1/x", strings.Repeat("a", 129), "", "theirs"}, {"/v1/x", "two words", "", "theirs"}, {"/v1/x", "theirs", "theirs", ""}} {
		response, _ := r.do("GET", c.path, "", "X-Request-Id", c.given)
		got := response.Header["X-Request-Id"]
		if len(got) != 1 || c.id != "" && got[0] != c.id || c.id == "" && (got[0] == c.given || len(got[0]) != 32) {
			t.Errorf("given %q: id = %q", c.given, got)
		}
		if got := response.Header.Get("X-Monite-Proxy-Upstream-Request-Id"); got != c.theirs {
			t.Errorf("given %q: upstream's id = %q", c.given, got)
		}
	}
}

func TestProblemsForHeadHaveNoBody(t *testing.T) {
	r := newRig(t, wiretest.Listen(t, nil, wiretest.Answering(okEmpty)).URL)
	a := r.dial()
	a.Say(head("HEAD", "/v1//x") + "\r\n")
	response, _ := a.WantStatus("HEAD", http.StatusBadRequest)
	if response.ContentLength <= 0 {
		t.Errorf("Content-Length = %d", response.ContentLength)
	}
	if record := r.record(); record.ResponseBytes != 0 {
		t.Errorf("%d bytes of body", record.ResponseBytes)
	}
	if rest, err := io.ReadAll(a.Reader); len(rest) > 0 || err != nil {
		t.Errorf("after the head: %q, %v", rest, err)
	}
}

func TestOwnLocation(t *testing.T) {
	h := &Handler{config: Config{Origin: &url.URL{Scheme: "https", Host: "api.monite.com"}}}
	for _, c := range [][2]string{
		{"https://api.monite.com/v1/x", "/v1/x"}, {"http://api.monite.com/v1/x?a=%zz;b#c", "/v1/x?a=%zz;b#c"},
		{"https://API.Monite.com/v1/x", "/v1/x"}, {"https://api.monite.com:443/v1/x", "/v1/x"}, {"//api.monite.com/v1/x", "/v1/x"},
		{"https://user:pw@api.monite.com/v1/x", "/v1/x"}, {"https://api.monite.com", "/"}, {"https://api.monite.com/", "/"},
		{"https://api.monite.com?a=b", "/?a=b"}, {"https://api.monite.com#x", "/#x"},
		{"https://api.monite.com//evil.example/x", "/evil.example/x"}, {"https://api.monite.com///evil.example", "/evil.example"},
		{"https://api.monite.com/%2fevil", "/%2fevil"},
		{`https://api.monite.com/\evil.example`, "/evil.example"}, {`https://api.monite.com/\/evil.example`, "/evil.example"},
		{"https://api.monite.com/v1//x", "/v1//x"},
		{"/v1/x", "/v1/x"}, {"x/y", "x/y"}, {"?a=b", "?a=b"}, {"", ""}, {"https://evil.example/v1/x", "https://evil.example/v1/x"},
		{"https://api.monite.com.evil.example/", "https://api.monite.com.evil.example/"},
		{"https://api.monite.com@evil.example/", "https://api.monite.com@evil.example/"},
		{"https://evil.example/https://api.monite.com/", "https://evil.example/https://api.monite.com/"},
		{"https://xapi.monite.com/", "https://xapi.monite.com/"},
		{"mailto:a@api.monite.com", "mailto:a@api.monite.com"}, {"https://files.monite.com/f.pdf?sig=1", "https://files.monite.com/f.pdf?sig=1"},
		{"https://api.monite.com/%zz", "https://api.monite.com/%zz"}, {"http://[::1", "http://[::1"},
	} {
		if got := h.ownLocation(c[0]); got != c[1] {
			t.Errorf("ownLocation(%q) = %q, want %q", c[0], got, c[1])
		}
	}
}

func TestConnectionFieldsOfTheAnswer(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   map[string]bool
	}{
		{nil, nil}, {[]string{"close"}, nil}, {[]string{""}, nil},
		{[]string{"keep-alive, X-Internal"}, map[string]bool{"Keep-Alive": true, "X-Internal": true}},
		{[]string{"x-a", " x-b ,\tX-C"}, map[string]bool{"X-A": true, "X-B": true, "X-C": true}},
		{[]string{"content-length, content-type, Content-Encoding, close"}, nil},
	} {
		if got := connectionFields(c.values); !reflect.DeepEqual(got, c.want) {
			t.Errorf("connectionFields(%q) = %v, want %v", c.values, got, c.want)
		}
	}
}

// The app's request carries no Authorization, so that a cache between it and
// the proxy does not know that the answer is somebody's (RFC 9111 section 3.5).
func TestAnswerIsNotForCachesUnlessUpstreamSaysSo(t *testing.T) {
	says := map[string]string{
		"/v1/silent":   okEmpty,
		"/v1/own":      "HTTP/1.1 200 OK\r\nCache-Control: max-age=5\r\nX-Content-Type-Options: sniff\r\nContent-Length: 0\r\n\r\n",
		"/v1/twice":    "HTTP/1.1 200 OK\r\nCache-Control: private\r\ncache-control: max-age=5\r\nContent-Length: 0\r\n\r\n",
		"/v1/empty":    "HTTP/1.1 200 OK\r\nCache-Control:\r\nContent-Length: 0\r\n\r\n",
		"/v1/error":    answer(404, "application/json", "{}"),
		"/v1/modified": "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n",
		"/v1/hop":      "HTTP/1.1 200 OK\r\nConnection: cache-control\r\nCache-Control: public, max-age=99\r\nContent-Length: 0\r\n\r\n",
	}
	r := newRig(t, upstreamSays(t, says).URL)
	for path, want := range map[string]struct{ cache, sniff []string }{
		"/v1/silent": {[]string{"no-store"}, []string{"nosniff"}}, "/v1/error": {[]string{"no-store"}, []string{"nosniff"}},
		"/v1/hop": {[]string{"no-store"}, []string{"nosniff"}},
		"/v1/own": {[]string{"max-age=5"}, []string{"sniff"}}, "/v1/twice": {[]string{"private", "max-age=5"}, []string{"nosniff"}},
		"/v1/empty": {[]string{""}, []string{"nosniff"}},
		// It would change the answer that the app has stored.
		"/v1/modified": {nil, nil},
	} {
		response, _ := r.do("GET", path, "")
		if got := response.Header["Cache-Control"]; !slices.Equal(got, want.cache) {
			t.Errorf("%s: Cache-Control = %q, want %q", path, got, want.cache)
		}
		if got := response.Header["X-Content-Type-Options"]; !slices.Equal(got, want.sniff) {
			t.Errorf("%s: X-Content-Type-Options = %q, want %q", path, got, want.sniff)
		}
	}
}

// Upstream says all at once what it must not say to the app, also in the
// interim answers and trailers around it, in odd spellings and twice.
func TestHostileFieldsOfTheAnswerStayHere(t *testing.T) {
	names := []string{
		"Set-Cookie", "Set-Cookie2", "Alt-Svc", "Strict-Transport-Security", "Public-Key-Pins", "Public-Key-Pins-Report-Only", "Clear-Site-Data",
		"NEL", "Report-To", "Reporting-Endpoints", "Refresh",
		"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods", "Access-Control-Allow-Private-Network",
		"Access-Control-Expose-Headers",
		"Proxy-Status", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Connection", "Proxy-Support", "Proxy-Anything",
		"X-Monite-Proxy-Outcome", "X-Monite-Proxy-Upstream-Request-Id", "X-Monite-Proxy-Token", "Keep-Alive", "Upgrade", "Trailer", "TE",
	}
	var fields strings.Builder
	for _, name := range names {
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			fmt.Fprintf(&fields, "%s: canary\r\n", spelling)
		}
	}
	for name, says := range map[string]string{
		"plain":   "HTTP/1.1 200 OK\r\n" + fields.String() + "Content-Length: 2\r\n\r\nok",
		"error":   "HTTP/1.1 500 X\r\n" + fields.String() + "Content-Length: 2\r\n\r\nok",
		"interim": "HTTP/1.1 103 X\r\n" + fields.String() + "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + strings.NewReplacer("Trailer: canary\r\n", "",
			"trailer: canary\r\n", "", "TRAILER: canary\r\n", "").Replace(fields.String()) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, wiretest.Listen(t, nil, wiretest.Answering(says)).URL)
			response, body := r.do("GET", "/v1/x", "")
			if body != "ok" || response.StatusCode != 200 && response.StatusCode != 500 {
				t.Errorf("answer = %d %q", response.StatusCode, body)
			}
			for field, values := range response.Header {
				if strings.Contains(strings.Join(values, ""), "canary") {
					t.Errorf("%s: %q reaches the app", field, values)
				}
			}
			if len(response.Trailer) > 0 {
				t.Errorf("trailers %v", response.Trailer)
			}
		})
	}
	t.Logf("%d names, 3 spellings, 4 places", len(names))
}

// Upstream, or what stands in front of it, echoes what it got: the app learns
// the answer and not the token.
func TestEchoedTokenIsNotInAFieldOfTheAnswer(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, _ string) string {
		token := strings.TrimPrefix(in.Header.Get("Authorization"), "Bearer ")
		status := "HTTP/1.1 200 OK\r\n"
		if strings.HasSuffix(in.URL.Path, "/error") {
			status = "HTTP/1.1 502 Bad Gateway\r\n"
		}
		return status + "X-Echo-Authorization: Bearer " + token + "\r\nX-Echo: a\r\nX-Echo: b" + token + "c\r\nLink: </x?token=" + token +
			">\r\nX-Fine: yes\r\nContent-Length: 0\r\n\r\n"
	}))
	r := newRig(t, o.URL)
	for _, path := range []string{"/v1/x", "/v1/error"} {
		response, _ := r.do("GET", path, "")
		for name, values := range response.Header {
			if strings.Contains(strings.Join(values, ""), "tok-") {
				t.Errorf("%s: %q holds the token", name, values)
			}
		}
		if response.Header.Get("X-Fine") != "yes" {
			t.Error("a field without the token is gone")
		}
	}
}

// A token as short as that is in a field by chance. The request id goes to the log too.
func TestShortTokenIsLookedForInTheRequestIDAlone(t *testing.T) {
	for length, want := range map[int]int{minEcho - 1: 1, minEcho: 0} {
		text := strings.Repeat("t", length)
		header := http.Header{"X-Echo": {text}, "X-Request-Id": {text}}
		dropEchoes(header, secret.New(text))
		if _, left := header["X-Request-Id"]; left || len(header) != want {
			t.Errorf("of a token of %d bytes, %v is left", length, header)
		}
	}
}

type anyID struct{}

func (anyID) Contains(string) bool { return true }

var policies = map[string]identity.Policy{
	"partner": {Default: partner},
	"pinned":  {Default: partner, EntityID: entityA, Entities: idSet{entityA: true}},
	"allow":   {Default: partner, EntityID: entityA, Entities: idSet{entityA: true, entityB: true}, EntityUsers: idSet{userA: true}},
	"open":    {Default: partner, Entities: anyID{}, EntityUsers: anyID{}},
}

var (
	asUserA = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: userA}
	partner = tokencache.Grant{Type: tokencache.ClientCredentials}
	asUserB = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: userB}
)

// people is a policy with two identities of the file.
func people() identity.Policy {
	return identity.Policy{
		Default: partner, EntityID: entityA, Entities: idSet{entityA: true, entityB: true}, EntityUsers: idSet{userA: true, userB: true},
		Named: []identity.Named{
			{Name: "billing", Grant: asUserB, EntityID: entityB, Entities: idSet{entityB: true}, PathPrefix: "/as/billing", Listener: "billing:1",
				ByName: true},
			{Name: "shop", Grant: partner, Entities: idSet{entityA: true, entityB: true}, PathPrefix: "/shop", ByName: true},
		},
	}
}

func TestLocationUnderPrefix(t *testing.T) {
	billing := &identity.Named{PathPrefix: "/as/billing"}
	for _, c := range [][2]string{
		{"/v1/x", "/as/billing/v1/x"}, {"/v1/x?a=b#c", "/as/billing/v1/x?a=b#c"}, {"/", "/as/billing/"}, {"x/y", "/as/billing/v1/payables/x/y"},
		{"../x", "/as/billing/v1/x"}, {"../../../../../v1/x", "/as/billing/v1/x"}, {"/../v1/x", "/as/billing/v1/x"},
		{"/as/billing/v1/x", "/as/billing/as/billing/v1/x"},
		{"?a=b", "?a=b"}, {"", ""}, {"#x", "#x"}, {"https://evil.example/v1/x", "https://evil.example/v1/x"},
		{"//evil.example/x", "//evil.example/x"}, {"mailto:a@b", "mailto:a@b"}, {"/v1/%2e%2e/x", ""}, {"/%2E./v1/x", ""}, {"/v1\\x", ""},
		{"/v1/\tx", ""}, {"http:/v1/x", ""}, {"https:v1/x", ""}, {"/v1/a%20b", "/as/billing/v1/a%20b"},
	} {
		under := &call{arrival: identity.Arrival{Prefix: billing}, path: "/v1/payables/p"}
		if got := under.underPrefix(c[0]); got != c[1] {
			t.Errorf("underPrefix(%q) = %q, want %q", c[0], got, c[1])
		}
		if got := (&call{path: "/v1/x"}).underPrefix(c[0]); got != c[0] {
			t.Errorf("without a prefix: underPrefix(%q) = %q", c[0], got)
		}
	}
}

func denyPayables(t testing.TB) *routes.Rules {
	t.Helper()
	rule, err := routes.ParseRule("* payables")
	if err != nil {
		t.Fatal(err)
	}
	return routes.Compile(nil, []routes.Rule{rule})
}

// The steps of a named identity cost no allocation.
func BenchmarkNamedIdentity(b *testing.B) {
	rule, err := routes.ParseRule("DELETE *")
	if err != nil {
		b.Fatal(err)
	}
	policy := people()
	for i := range policy.Named {
		policy.Named[i].Rules = routes.Compile(nil, []routes.Rule{rule})
	}
	h := &Handler{guard: testGuard()}
	h.SetPolicy(policy)
	for name, c := range map[string]struct {
		target string
		fields []string
	}{
		"by prefix": {"/as/billing/v1/payables/" + entityA + "/approve_payment_operation?limit=5", nil},
		"by name":   {"/v1/payables/" + entityA + "/approve_payment_operation?limit=5", []string{identity.HeaderName + ": billing"}},
	} {
		b.Run(name, func(b *testing.B) {
			fields := append([]string{"Accept: application/json", "User-Agent: axios/1.7", "Connection: keep-alive",
				identity.HeaderEntity + ": " + entityB}, c.fields...)
			in, err := http.ReadRequest(bufio.NewReader(strings.NewReader(get(c.target, fields...))))
			if err != nil {
				b.Fatal(err)
			}
			c := newTestCall(nil, nil)
			c.handler, c.in = h, in
			b.ReportAllocs()
			for b.Loop() {
				c.locate()
				if failure := c.guard(); failure != nil {
					b.Fatal(failure)
				}
				if p := c.identify(); p != nil {
					b.Fatal(p)
				}
				h.guard.inside.leave(c.arrival.Listener, !c.view.HasListeners())
			}
		})
	}
}

func TestNamesOfFieldsAreThoseOfUpstream(t *testing.T) {
	o := upstreamSays(t, map[string]string{"/v1/x": "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nWWW-Authenticate: Bearer\r\nx-amzn-RequestId: 1\r\nVary: a\r\n" +
		"x-twice: 1\r\nX-Twice: 2\r\nset-cookie: a=b\r\nx-request-id: 7\r\nconnection: x-hop\r\nx-hop: canary\r\nkeep-alive: timeout=7\r\n" +
		"content-type: text/plain\r\n" +
		"content-length: 2\r\ndate: Tue, 15 Nov 1994 08:12:31 GMT\r\n\r\nok"})
	r := newRig(t, o.URL)
	a := r.dial()
	for range 2 {
		a.Say(get("/v1/x"))
		head := a.Head()
		_, _ = a.Reader.Discard(len("ok"))
		for _, want := range []string{"ETag: \"x\"", "WWW-Authenticate: Bearer", "x-amzn-RequestId: 1", "Vary: a", "x-twice: 1", "x-twice: 2",
			"Content-Length: 2", "Content-Type: text/plain"} {
			if strings.Count(head, "\r\n"+want+"\r\n") != 1 {
				t.Errorf("%q is not there once in:\n%s", want, head)
			}
		}
		for _, never := range []string{"etag:", "set-cookie:", "x-hop:", "keep-alive: timeout=7"} {
			if n := strings.Count(strings.ToLower(head), "\r\n"+never); never != "etag:" && n > 0 || n > 1 {
				t.Errorf("%q is there %d times in:\n%s", never, n, head)
			}
		}
	}
}

func TestRespellTouchesWhatPassesAlone(t *testing.T) {
	header := http.Header{"Etag": {"x"}, "X-Request-Id": {"ours"}, "Content-Length": {"2"}}
	respell(header, "Etag:ETag\nX-Request-Id:x-request-id\nX-Gone:x-gone\nContent-Length:content-length\n")
	if got := slices.Sorted(maps.Keys(header)); !slices.Equal(got, []string{"Content-Length", "ETag", "X-Request-Id"}) {
		t.Errorf("names = %q", got)
	}
	respell(header, "")
}

func TestLinksLeadHere(t *testing.T) {
	for i, row := range []struct {
		given, want, under []string // under a prefix
	}{
		{[]string{`<https://ORIGIN/v1/payables?limit=1&p=a%2Fb>; rel="next"`}, []string{`</v1/payables?limit=1&p=a%2Fb>; rel="next"`},
			[]string{`</as/shop/v1/payables?limit=1&p=a%2Fb>; rel="next"`}},
		{[]string{`<http://ORIGIN/v1/a>; rel=next, <//ORIGIN/v1/b>; rel=prev`}, []string{`</v1/a>; rel=next, </v1/b>; rel=prev`},
			[]string{`</as/shop/v1/a>; rel=next, </as/shop/v1/b>; rel=prev`}},
		{[]string{`<https://ORIGIN/v1/a>; rel=next`, `<https://evil.example/v1/b>; rel=x`},
			[]string{`</v1/a>; rel=next`, `<https://evil.example/v1/b>; rel=x`}, []string{`</as/shop/v1/a>; rel=next`, `<https://evil.example/v1/b>; rel=x`}},
		{[]string{`<https://evil-ORIGIN/v1/a>; rel=next`}, []string{`<https://evil-ORIGIN/v1/a>; rel=next`},
			[]string{`<https://evil-ORIGIN/v1/a>; rel=next`}},
		{[]string{`<https://user@ORIGIN/v1/a>`}, []string{`</v1/a>`}, []string{`</as/shop/v1/a>`}},
		{[]string{`</v1/a>; rel=next`}, []string{`</v1/a>; rel=next`}, []string{`</as/shop/v1/a>; rel=next`}},
		{[]string{`<?page=2>; rel=next`}, []string{`<?page=2>; rel=next`}, []string{`<?page=2>; rel=next`}},
		{[]string{`<a>; title="<https://ORIGIN/v1/x>, \"<https://ORIGIN>"; rel=x, <https://ORIGIN/v1/b>`},
			[]string{`<a>; title="<https://ORIGIN/v1/x>, \"<https://ORIGIN>"; rel=x, </v1/b>`}, nil},
		{[]string{`x="never closed, <https://ORIGIN/v1/b>; rel=next`}, []string{`x="never closed, </v1/b>; rel=next`}, nil},
		{[]string{`< https://ORIGIN/v1/b >; rel=next`}, []string{`</v1/b>; rel=next`}, []string{`</as/shop/v1/b>; rel=next`}},
		{[]string{`<>; rel=self`}, []string{`<>; rel=self`}, []string{`<>; rel=self`}},
		{[]string{`<unclosed`}, []string{`<unclosed`}, []string{`<unclosed`}},
		{[]string{`</v1/%2e%2e/x>; rel=next`}, []string{`</v1/%2e%2e/x>; rel=next`}, []string{}},
		{[]string{`<\evil>; rel=next`, `</v1/a>; rel=x`}, nil, []string{`</as/shop/v1/a>; rel=x`}},
	} {
		var says string
		o := wiretest.Listen(t, nil, wiretest.Responding(func(*http.Request, string) string { return says }))
		origin := func(values []string) (all []string) {
			for _, value := range values {
				all = append(all, strings.ReplaceAll(value, "ORIGIN", o.URL.Host))
			}
			return all
		}
		says = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
		for _, link := range origin(row.given) {
			says += fmt.Sprintf("Link: %s\r\n", link)
		}
		says += "\r\n"
		r := newRig(t, &url.URL{Scheme: "http", Host: o.URL.Host}, func(c *Config, _ *upstream.Transport) {
			c.Policy.Named = []identity.Named{{Name: "shop", Grant: tokencache.Grant{Type: tokencache.ClientCredentials}, PathPrefix: "/as/shop"}}
		})
		for path, want := range map[string][]string{"/v1/payables": row.want, "/as/shop/v1/payables": row.under} {
			if want == nil {
				continue
			}
			if response, _ := r.do("GET", path, ""); !slices.Equal(response.Header["Link"], origin(want)) {
				t.Errorf("%d %s: Link = %q, want %q", i, path, response.Header["Link"], origin(want))
			}
		}
	}
}
