package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestNamesOfFieldsAreThoseOfUpstream(t *testing.T) {
	o := upstreamSays(t, map[string]string{"/v1/x": "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nWWW-Authenticate: Bearer\r\nx-amzn-RequestId: 1\r\nVary: a\r\n" +
		"x-twice: 1\r\nX-Twice: 2\r\nset-cookie: a=b\r\nx-request-id: 7\r\nconnection: x-hop\r\nx-hop: canary\r\nkeep-alive: timeout=7\r\ncontent-type: text/plain\r\n" +
		"content-length: 2\r\ndate: Tue, 15 Nov 1994 08:12:31 GMT\r\n\r\nok"})
	r := newRig(t, o.url)
	a := r.dial()
	for range 2 {
		a.say(get("/v1/x"))
		head := a.head()
		_, _ = a.br.Discard(len("ok"))
		for _, want := range []string{"ETag: \"x\"", "WWW-Authenticate: Bearer", "x-amzn-RequestId: 1", "Vary: a", "x-twice: 1", "x-twice: 2", "Content-Length: 2", "Content-Type: text/plain"} {
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

// head reads the head of an answer as it is.
func (a *app) head() (text string) {
	a.t.Helper()
	for !strings.HasSuffix(text, "\r\n\r\n") {
		line, err := a.br.ReadString('\n')
		if err != nil {
			a.t.Fatal(err)
		}
		text += line
	}
	return text
}

func TestRespellTouchesWhatPassesAlone(t *testing.T) {
	header := http.Header{"Etag": {"x"}, "X-Request-Id": {"ours"}, "Content-Length": {"2"}}
	respell(header, "Etag:ETag\nX-Request-Id:x-request-id\nX-Gone:x-gone\nContent-Length:content-length\n")
	if got := slices.Sorted(maps.Keys(header)); !slices.Equal(got, []string{"Content-Length", "ETag", "X-Request-Id"}) {
		t.Errorf("names = %q", got)
	}
	respell(header, "")
}
