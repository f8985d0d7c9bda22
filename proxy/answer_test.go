package proxy

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// upstreamSays answers every request with the raw text for its path.
func upstreamSays(t testing.TB, answers map[string]string) *origin {
	return listen(t, func(p *peer) {
		for {
			in, _, err := p.request()
			if err != nil {
				return
			}
			p.say(answers[in.URL.Path])
		}
	})
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
		{"plain", "GET", answer(200, "application/json", `{"a":1}`), 200, map[string]string{"Content-Type": "application/json", "Content-Length": "7"}, `{"a":1}`},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 200, map[string]string{"Content-Length": "-", "Content-Type": "-"}, "abcde"},
		{"until close", "GET", "HTTP/1.0 200 OK\r\n\r\nabc", 200, nil, "abc"},
		{"HTTP/1.0 with length", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, map[string]string{"Content-Length": "3"}, "abc"},
		{"type is not guessed", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html><script/>", 200, map[string]string{"Content-Type": "-"}, "<html><script/>"},
		{"empty body, no type", "GET", okEmpty, 200, map[string]string{"Content-Type": "-", "Content-Length": "0"}, ""},
		{"HEAD with length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1234\r\n\r\n", 200, map[string]string{"Content-Length": "1234", "Content-Type": "application/json"}, ""},
		{"HEAD without length", "HEAD", "HTTP/1.1 200 OK\r\nEtag: \"x\"\r\n\r\n", 200, map[string]string{"Etag": `"x"`}, ""},
		{"HEAD, chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, nil, ""},
		{"HEAD 404", "HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", 404, map[string]string{"Content-Length": "9"}, ""},
		{"204", "DELETE", "HTTP/1.1 204 No Content\r\nX-Monite-Version: 2024-05-25\r\n\r\n", 204, map[string]string{"X-Monite-Version": "2024-05-25", "Content-Length": "-"}, ""},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\nCache-Control: max-age=1\r\n\r\n", 304, map[string]string{"Etag": `"x"`, "Cache-Control": "max-age=1"}, ""},
		{"1xx before", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + answer(200, "text/plain", "x"), 200, map[string]string{"Link": "-"}, "x"},
		{"trailers", "GET", "HTTP/1.1 200 OK\r\nTrailer: X-T, Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-T: canary\r\nSet-Cookie: canary=1\r\n\r\n", 200, map[string]string{"Trailer": "-", "X-T": "-"}, "x"},
		{"gzip", "GET", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\nContent-Length: " + fmt.Sprint(len(gzipped("abc"))) + "\r\n\r\n" + gzipped("abc"), 200, map[string]string{"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}, gzipped("abc")},
		{"fields that end here", "GET", "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\nAlt-Svc: h3=\":443\"\r\nStrict-Transport-Security: max-age=1\r\nClear-Site-Data: \"*\"\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nNEL: {}\r\nReport-To: {}\r\nRefresh: 0;url=x\r\nProxy-Status: evil\r\nX-Monite-Proxy-Outcome: not_sent\r\nPublic-Key-Pins: x\r\nContent-Length: 0\r\n\r\n", 200,
			map[string]string{"Set-Cookie": "-", "Alt-Svc": "-", "Strict-Transport-Security": "-", "Clear-Site-Data": "-", "Access-Control-Allow-Origin": "-", "Access-Control-Allow-Credentials": "-", "Nel": "-", "Report-To": "-", "Refresh": "-", "Proxy-Status": "-", "X-Monite-Proxy-Outcome": "-", "Public-Key-Pins": "-"}, ""},
		{"hop-by-hop", "GET", "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive, content-type\r\nKeep-Alive: timeout=5\r\nX-Hop: canary\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nTe: x\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n", 200, map[string]string{"X-Hop": "-", "Proxy-Connection": "-", "Upgrade": "-", "Te": "-", "Content-Type": "a/b"}, ""},
		{"fields that pass", "GET", "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nRateLimit-Limit: 5\r\nWWW-Authenticate: Bearer\r\nContent-Disposition: inline; filename=\"x\"\r\nContent-Length: 0\r\n\r\n", 200, map[string]string{"X-A": "1", "Date": "Tue, 15 Nov 1994 08:12:31 GMT", "Ratelimit-Limit": "5", "Www-Authenticate": "Bearer", "Content-Disposition": `inline; filename="x"`}, ""},
		{"307 to itself", "GET", "HTTP/1.1 307 X\r\nLocation: http://ORIGIN/v1/payables?a=%zz\r\nContent-Location: //ORIGIN/v1/y\r\nContent-Length: 0\r\n\r\n", 307, map[string]string{"Location": "/v1/payables?a=%zz", "Content-Location": "/v1/y"}, ""},
		{"302 elsewhere", "GET", "HTTP/1.1 302 X\r\nLocation: https://evil.example/x\r\nContent-Length: 0\r\n\r\n", 302, map[string]string{"Location": "https://evil.example/x"}, ""},
		{"429", "POST", "HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 429, map[string]string{"Retry-After": "7", "Proxy-Status": "-"}, "{}"},
		{"503", "GET", "HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}", 503, map[string]string{"Retry-After": "7", "X-Monite-Proxy-Outcome": "-"}, "{}"},
		{"403", "GET", answer(403, "application/json", `{"error":{"message":"no"}}`), 403, nil, `{"error":{"message":"no"}}`},
		{"names with a blank", "GET", "HTTP/1.1 200 OK\r\nSet-Cookie : a=b\r\nca nary: x\r\nContent-Length: 0\r\n\r\n", 200, map[string]string{"Set-Cookie": "-", "Set-Cookie ": "-", "ca nary": "-", "Ca Nary": "-"}, ""},
		{"418", "GET", answer(418, "a/b", "x"), 418, nil, "x"}, {"599", "GET", answer(599, "a/b", "x"), 599, nil, "x"},
	}
	answers := map[string]string{}
	o := upstreamSays(t, answers)
	for i, c := range rows {
		answers[fmt.Sprintf("/v1/%d", i)] = strings.ReplaceAll(c.says, "ORIGIN", o.url.Host)
	}
	// These end the connection by what they are.
	for i, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			o := o
			if c.name == "until close" {
				o = listen(t, func(p *peer) { _, _, _ = p.request(); p.say(c.says) })
			}
			r := newRig(t, o.url)
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
				if record := r.record(); record.Origin != OriginUpstream || record.Status != c.status || record.ResponseBytes != int64(len(c.body)) || record.Outcome != "" {
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
	response, _ := newRig(t, o.url).do("GET", "/v1/x", "")
	if !slices.Equal(response.Header["X-A"], []string{"1", "2"}) || !slices.Equal(response.Header["Link"], []string{"<a>", "<b>"}) {
		t.Errorf("header = %v", response.Header)
	}
}

func TestRequestIDIsOursAndUpstreamsIsNamed(t *testing.T) {
	o := upstreamSays(t, map[string]string{"/v1/x": "HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n", "/v1/odd": "HTTP/1.1 200 OK\r\nX-Request-Id: a b\x1b[31m\r\nContent-Length: 0\r\n\r\n"})
	r := newRig(t, o.url)
	for _, c := range []struct{ path, given, id, theirs string }{{"/v1/x", "app-1", "app-1", "theirs"}, {"/v1/x", strings.Repeat("a", 129), "", "theirs"}, {"/v1/x", "two words", "", "theirs"}, {"/v1/x", "theirs", "theirs", ""}} {
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

// What no answer may be: the app gets a 502, and never a byte of it.
func TestBrokenHeadOfUpstreamIs502(t *testing.T) {
	for name, says := range map[string]string{
		"101": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\ncanary", "endless 1xx": strings.Repeat("HTTP/1.1 103 X\r\nLink: <canary>\r\n\r\n", 10_000),
		"no HTTP": "SSH-2.0-canary\r\n\r\n", "status": "HTTP/1.1 99 X\r\n\r\n", "letters": "HTTP/1.1 abc X\r\n\r\n", "version": "HTTP/2.0 200 OK\r\n\r\n", "huge head": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("canary", 200_000) + "\r\n\r\n",
		"two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "bad length": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: canary\r\n\r\n", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			o := listen(t, func(p *peer) {
				if _, _, err := p.request(); err == nil {
					p.say(says)
				}
			})
			r := newRig(t, o.url)
			response, body := r.do("POST", "/v1/x", "{}")
			checkOurs(t, response, body, &problemUpstreamBroken, Unknown, "")
			if o.requests.Load() != 1 {
				t.Errorf("sent %d times", o.requests.Load())
			}
			_ = r.record()
			if strings.Contains(r.log.String(), "canary") {
				t.Errorf("the log quotes upstream: %s", r.log)
			}
		})
	}
}

func TestTokensOfTheRequestNeverReachARedirectsTarget(t *testing.T) {
	evil := listen(t, func(p *peer) { p.untilCut() })
	o := listen(t, func(p *peer) {
		for range 4 {
			in, _, err := p.request()
			if err != nil {
				return
			}
			p.say("HTTP/1.1 " + in.URL.Query().Get("s") + " X\r\nLocation: http://" + evil.url.Host + "/x\r\nContent-Length: 0\r\n\r\n")
		}
	})
	r := newRig(t, o.url)
	for _, status := range []string{"301", "302", "307", "308"} {
		if response, _ := r.do("POST", "/v1/x?s="+status, "{}"); fmt.Sprint(response.StatusCode) != status {
			t.Errorf("status = %d, want %s", response.StatusCode, status)
		}
	}
	if evil.accepted.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestProblemsForHeadHaveNoBody(t *testing.T) {
	r := newRig(t, listen(t, answering(okEmpty)).url)
	a := r.dial()
	a.say(head("HEAD", "/v1//x") + "\r\n")
	response, _ := a.want("HEAD", http.StatusBadRequest)
	if response.ContentLength <= 0 {
		t.Errorf("Content-Length = %d", response.ContentLength)
	}
	if record := r.record(); record.ResponseBytes != 0 {
		t.Errorf("%d bytes of body", record.ResponseBytes)
	}
	if rest, err := io.ReadAll(a.br); len(rest) > 0 || err != nil {
		t.Errorf("after the head: %q, %v", rest, err)
	}
}
