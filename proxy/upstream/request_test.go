package upstream

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// sent returns what upstream received of req, byte for byte.
func sent(t *testing.T, change func(*http.Request)) string {
	t.Helper()
	var raw bytes.Buffer
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		p.Reader.Reset(io.TeeReader(p.Conn, &raw))
		if _, _, err := p.Request(); err == nil {
			p.Say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		}
	})
	tr := transport(t, o)
	req := get(t, o)
	req.Host = "api.example.test"
	change(req)
	mustDo(t, tr, req)
	return raw.String()
}

func TestRequestOnTheWire(t *testing.T) {
	const host = "Host: api.example.test\r\n"
	for _, tc := range []struct {
		name   string
		change func(*http.Request)
		want   string
	}{
		{"opaque path byte for byte", func(r *http.Request) {
			r.URL.Opaque, r.URL.RawQuery = "/v1/a%2Fb//c/../d;x", "a=1;b=%zz"
		}, "GET /v1/a%2Fb//c/../d;x?a=1;b=%zz HTTP/1.1\r\n" + host + "\r\n"},
		{"empty path", func(r *http.Request) { r.URL.Path = "" }, "GET / HTTP/1.1\r\n" + host + "\r\n"},
		{"forced query", func(r *http.Request) { r.URL.ForceQuery = true }, "GET /v1/x? HTTP/1.1\r\n" + host + "\r\n"},
		{"empty method", func(r *http.Request) { r.Method = "" }, "GET /v1/x HTTP/1.1\r\n" + host + "\r\n"},
		{"POST without body", func(r *http.Request) { r.Method = "POST" },
			"POST /v1/x HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n"},
		{"PUT with NoBody", func(r *http.Request) { r.Method, r.Body = "PUT", http.NoBody },
			"PUT /v1/x HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n"},
		{"POST with empty memory", func(r *http.Request) { r.Method, r.Body = "POST", mem("") },
			"POST /v1/x HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n"},
		{"DELETE without body", func(r *http.Request) { r.Method = "DELETE" },
			"DELETE /v1/x HTTP/1.1\r\n" + host + "\r\n"},
		{"memory", func(r *http.Request) { r.Method, r.Body, r.ContentLength = "POST", mem("hello"), 5 },
			"POST /v1/x HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello"},
		{"memory of unknown length", func(r *http.Request) { r.Method, r.Body = "POST", mem("hello") },
			"POST /v1/x HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello"},
		{"stream with length", func(r *http.Request) { r.Method, r.Body, r.ContentLength = "POST", stream("hello"), 5 },
			"POST /v1/x HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello"},
		{"stream of unknown length", func(r *http.Request) { r.Method, r.Body = "POST", stream("hello") },
			"POST /v1/x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"stream with length -1", func(r *http.Request) { r.Method, r.Body, r.ContentLength = "POST", stream(""), -1 },
			"POST /v1/x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"close", func(r *http.Request) { r.Close = true }, "GET /v1/x HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n"},
		{"a field", func(r *http.Request) { r.Header["x-lower"] = []string{"1"} },
			"GET /v1/x HTTP/1.1\r\n" + host + "x-lower: 1\r\n\r\n"},
		{"fields that are ours", func(r *http.Request) {
			for _, name := range []string{
				"Connection", "Keep-Alive", "Proxy-Connection", "Te", "tE", "Trailer", "Transfer-Encoding",
				"transfer-encoding", "Upgrade", "Expect", "Host", "hOST", "Content-Length", "content-length",
			} {
				r.Header[name] = []string{"7"}
			}
			r.Trailer = http.Header{"X-T": {"1"}}
		}, "GET /v1/x HTTP/1.1\r\n" + host + "\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := sent(t, tc.change); got != tc.want {
				t.Errorf("wire:\n%q, want\n%q", got, tc.want)
			}
		})
	}
}

func TestChunksCarryEveryPiece(t *testing.T) {
	want := strings.Repeat("abcdefghijklmnop", 10_000)
	for _, length := range []int64{-1, int64(len(want))} {
		var got string
		o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
			_, got, _ = p.Request()
			p.Say(okEmpty)
			p.UntilCut()
		})
		tr := transport(t, o)
		mustDo(t, tr, newRequest(t.Context(), o, "POST", "/", stream(want), length))
		tr.CloseIdleConnections()
		if got != want {
			t.Errorf("length %d: upstream read %d bytes, want %d equal ones", length, len(got), len(want))
		}
	}
}

func TestInvalidRequestIsRefusedBeforeDialling(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*http.Request)
	}{
		{"no URL", func(r *http.Request) { r.URL = nil }},
		{"other host", func(r *http.Request) { r.URL.Host = "evil.test" }},
		{"other port", func(r *http.Request) { r.URL.Host = strings.Split(r.URL.Host, ":")[0] + ":1" }},
		{"other scheme", func(r *http.Request) { r.URL.Scheme = "https" }},
		{"method with space", func(r *http.Request) { r.Method = "GET /x" }},
		{"method CONNECT", func(r *http.Request) { r.Method = "CONNECT" }},
		{"absolute opaque", func(r *http.Request) { r.URL.Opaque = "http://evil.test/" }},
		{"asterisk", func(r *http.Request) { r.URL.Opaque = "*" }},
		{"opaque with space", func(r *http.Request) { r.URL.Opaque = "/a b" }},
		{"opaque with CRLF", func(r *http.Request) { r.URL.Opaque = "/a\r\nX: y" }},
		{"query with NUL", func(r *http.Request) { r.URL.RawQuery = "a=\x00" }},
		{"query with DEL", func(r *http.Request) { r.URL.RawQuery = "a=\x7f" }},
		{"host with CRLF", func(r *http.Request) { r.Host = "a\r\nX: y" }},
		{"field name", func(r *http.Request) { r.Header["X:"] = []string{"canary"} }},
		{"field value", func(r *http.Request) { r.Header["Authorization"] = []string{"canary\r\nX: y"} }},
		{"length without body", func(r *http.Request) { r.ContentLength = 3 }},
		{"memory too short", func(r *http.Request) { r.Body, r.ContentLength = mem("canary"), 7 }},
		{"memory too long", func(r *http.Request) { r.Body, r.ContentLength = mem("canary"), 5 }},
		{"memory longer than its Len", func(r *http.Request) { r.Body, r.ContentLength = wrongLen{mem("canary"), 5}, 5 }},
		{"memory shorter than its Len", func(r *http.Request) { r.Body, r.ContentLength = wrongLen{mem("canary"), 7}, 7 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
			tr := transport(t, o)
			req := get(t, o)
			tc.change(req)
			body, counted := req.Body.(*memBody)
			_, err := tr.RoundTrip(req)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Outcome != NotSent {
				t.Fatalf("err = %v, want an *Error with %s", err, NotSent)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("err = %q holds a value", err)
			}
			if got := o.Accepted.Load(); got != 0 {
				t.Errorf("connections = %d, want 0", got)
			}
			if counted && body.closed.Load() != 1 {
				t.Errorf("body closed %d times, want 1", body.closed.Load())
			}
		})
	}
}

// wrongLen is a body that does not tell the truth about its length.
type wrongLen struct {
	*memBody
	n int
}

func (b wrongLen) Len() int { return b.n }

func TestOriginIsRequired(t *testing.T) {
	for _, origin := range []*url.URL{nil, {Scheme: "ftp", Host: "a"}, {Scheme: "https"}} {
		tr := &Transport{Origin: origin}
		req, _ := http.NewRequest(http.MethodGet, "https://a/", nil)
		_, err := tr.RoundTrip(req)
		wantError(t, err, OpRequest, NotSent)
	}
}

// A body whose length is wrong, or whose Read fails, leaves a request that
// upstream cannot take for a complete one.
func TestBrokenBodyLeavesIncompleteRequest(t *testing.T) {
	broken := errors.New("app went away")
	failing := func(s string) io.ReadCloser {
		return &streamBody{Reader: io.MultiReader(strings.NewReader(s), errReader{broken})}
	}
	long := strings.Repeat("x", 100_000)
	for _, tc := range []struct {
		name   string
		body   io.ReadCloser
		length int64
		want   error
	}{
		{"too short", stream("12345"), 6, errBodyTooShort},
		{"too long", stream("1234567"), 6, errBodyTooLong},
		{"much too long", stream(long), 70_000, errBodyTooLong},
		{"much too short", stream(long), 100_001, errBodyTooShort},
		{"fails with length", failing("123"), 6, broken},
		{"fails at the end", failing("123456"), 6, broken},
		{"fails in chunks", failing("123"), -1, broken},
		{"never gives anything", &streamBody{Reader: idleReader{}}, -1, io.ErrNoProgress},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := make(chan error, 1)
			o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
				_, _, err := p.Request()
				seen <- err
			})
			tr := transport(t, o)
			_, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", tc.body, tc.length))
			wantError(t, err, OpBody, Unknown)
			if !errors.Is(err, tc.want) {
				t.Errorf("err = %v, want %v in it", err, tc.want)
			}
			if <-seen == nil || o.Complete.Load() != 0 {
				t.Error("upstream took it for a complete request")
			}
			if n := tc.body.(*streamBody).closed.Load(); n != 1 {
				t.Errorf("body closed %d times, want 1", n)
			}
		})
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

func TestRequestIsNotModified(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	tr := transport(t, o)
	body := mem("hello")
	req := newRequest(t.Context(), o, "POST", "/v1/x", body, 0)
	req.Header = http.Header{"Connection": {"close"}, "Accept": {"a"}}
	before := req.Clone(req.Context())
	mustDo(t, tr, req)
	if req.ContentLength != 0 || req.Body != io.ReadCloser(body) || len(req.Header) != len(before.Header) ||
		req.URL.String() != before.URL.String() || req.Host != before.Host {
		t.Errorf("request was modified: %+v", req)
	}
	if n := body.closed.Load(); n != 1 {
		t.Errorf("body closed %d times, want 1", n)
	}
}
