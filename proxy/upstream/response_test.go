package upstream

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// answered serves raw as the answer to every request and sends two requests.
// It returns the first answer and the number of connections both took.
func answered(t *testing.T, method, raw string, closing bool) (*http.Response, string, error, int64) {
	t.Helper()
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for {
			if _, _, err := p.Request(); err != nil {
				return
			}
			p.Say(raw)
			if closing {
				return
			}
		}
	})
	tr := transport(t, o)
	resp, body, err := do(tr, newRequest(t.Context(), o, method, "/", nil, 0))
	_, _, _ = do(tr, newRequest(t.Context(), o, method, "/", nil, 0))
	return resp, body, err, o.Accepted.Load()
}

func TestAnswerFraming(t *testing.T) {
	const chunked = "Transfer-Encoding: chunked\r\n\r\n"
	for _, tc := range []struct {
		name, method, raw string
		closing           bool
		body              string
		conns             int64 // 1: reused for the second request
	}{
		{"length", "GET", okBody("hello"), false, "hello", 1},
		{"chunks", "GET", "HTTP/1.1 200 OK\r\n" + chunked + "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", false, "hello", 1},
		{"chunks and trailer", "GET", "HTTP/1.1 200 OK\r\n" + chunked + "2\r\nhe\r\n0\r\nX-T: 1\r\n\r\n", false, "he", 1},
		{"until close", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", true, "hello", 2},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, "hello", 2},
		{"HTTP/1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", false, "hello", 2},
		{"HTTP/1.0 chunked is ignored", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n" + chunked + "he", false, "he", 2},
		{"Connection: close", "GET", "HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 2\r\n\r\nhe", false, "he", 2},
		{"HEAD with length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, "", 1},
		{"HEAD with chunked", "HEAD", "HTTP/1.1 200 OK\r\n" + chunked, false, "", 1},
		{"HEAD with a body", "HEAD", okBody("hello"), false, "", 2},
		{"204", "DELETE", "HTTP/1.1 204 No Content\r\n\r\n", false, "", 1},
		{"204 with length", "DELETE", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, "", 1},
		{"204 with a body", "DELETE", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", false, "", 2},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, "", 1},
		{"304 with chunked", "GET", "HTTP/1.1 304 Not Modified\r\n" + chunked, false, "", 1},
		{"bytes after the end", "GET", okBody("hello") + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false, "hello", 2},
		{"chunked and bytes after", "GET", "HTTP/1.1 200 OK\r\n" + chunked + "0\r\n\r\nX", false, "", 2},
		{"length and chunked", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + chunked + "2\r\nhe\r\n0\r\n\r\n", false, "he", 2},
		{"chunked and length", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ncOnTeNt-LeNgTh: 3\r\n\r\n2\r\nhe\r\n0\r\n\r\n", false, "he", 2},
		{"same length twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhe", false, "he", 2},
		{"bare LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhe", false, "he", 2},
		{"folded line", "GET", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nhe", false, "he", 2},
		{"head longer than the buffer", "GET", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", readBuffer) + "\r\nContent-Length: 2\r\n\r\nhe",
			false, "he", 2},
		{"interim answers", "GET",
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 199 What\r\n\r\n" +
				okBody("hello"), false, "hello", 1},
		{"odd status", "GET", "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", false, "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, body, err, conns := answered(t, tc.method, tc.raw, tc.closing)
			if err != nil || body != tc.body {
				t.Fatalf("body, err = %q, %v, want %q", body, err, tc.body)
			}
			if conns != tc.conns {
				t.Errorf("connections for two requests = %d, want %d", conns, tc.conns)
			}
		})
	}
}

func TestBadAnswerIsAnError(t *testing.T) {
	for _, tc := range []struct{ name, raw string }{
		{"nothing", ""},
		{"not HTTP", "SSH-2.0-canary\r\n\r\n"},
		{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n"},
		{"status 099", "HTTP/1.1 099 canary\r\n\r\n"},
		{"status text", "HTTP/1.1 canary\r\n\r\n"},
		{"field without colon", "HTTP/1.1 200 OK\r\ncanary\r\n\r\n"},
		{"field with bad byte", "HTTP/1.1 200 OK\r\nX-A: canary\x00\r\n\r\n"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\ncanary"},
		{"bad length", "HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n"},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"},
		{"unknown encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: canary\r\n\r\n"},
		{"two encodings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: canary\r\nConnection: upgrade\r\n\r\n"},
		{"101 before an answer", "HTTP/1.1 101 Switching Protocols\r\n\r\n" + okBody("canary")},
		{"17 x 103 before an answer", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 17) + okBody("canary")},
		{"10,000 x 103", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10_000)},
		{"huge head", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: canary\r\n", 40_000) + "\r\n"},
		{"huge line", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 400_000) + "\r\n\r\n"},
		{"bad chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n"},
		{"chunk line with bare LF", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nhe\r\n0\r\n\r\n"},
		{"bad trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\ncanary\r\n\r\n"},
		{"huge trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + strings.Repeat("a", 20_000) + "\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err, conns := answered(t, "POST", tc.raw, true)
			wantError(t, err, OpRead, Unknown)
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("err = %q quotes the answer", err)
			}
			if conns != 2 {
				t.Errorf("connections for two requests = %d, want 2", conns)
			}
		})
	}
}

func TestTrailerIsLeftAsTheParserGivesIt(t *testing.T) {
	resp, _, err, _ := answered(t, "GET",
		"HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\nX-T: 1\r\n\r\n", false)
	if err != nil || resp.Trailer.Get("X-T") != "1" {
		t.Errorf("Trailer, err = %v, %v, want X-T: 1", resp.Trailer, err)
	}
}

func TestNothingIsDecompressed(t *testing.T) {
	raw := "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
	resp, body, err, _ := answered(t, "GET", raw, false)
	if err != nil || body != "\x1f\x8b\x08\x00" || resp.Header.Get("Content-Encoding") != "gzip" || resp.Uncompressed {
		t.Errorf("body, err = %q, %v, want the bytes as sent", body, err)
	}
}

func TestConnectionIsIdleAtEOFBeforeClose(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okBody("hello")))
	tr := transport(t, o)
	resp, err := tr.RoundTrip(get(t, o))
	wiretest.Must(t, err)
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if s := tr.Stats(); s.Idle != 1 {
		t.Errorf("Idle = %d at EOF, want 1", s.Idle)
	}
	resp.Body.Close()
	if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read after EOF = %d, %v, want 0, EOF", n, err)
	}
	if s := tr.Stats(); s.Idle != 1 || s.Open != 1 {
		t.Errorf("Stats() = %+v after Close, want 1 idle, 1 open", s)
	}
}

func TestClosingUnreadBody(t *testing.T) {
	for _, tc := range []struct {
		name, raw string
		idle      int
	}{
		{"small and here: kept", okBody("hello"), 1},
		{"not all here: closed", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", 0},
		{"chunked: closed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := wiretest.Listen(t, nil, wiretest.Answering(tc.raw))
			tr := transport(t, o)
			resp, err := tr.RoundTrip(get(t, o))
			wiretest.Must(t, err)
			resp.Body.Close()
			resp.Body.Close()
			if s := tr.Stats(); s.Idle != tc.idle || s.Open != tc.idle {
				t.Errorf("Stats() = %+v, want %d idle and open", s, tc.idle)
			}
			_, err = resp.Body.Read(make([]byte, 1))
			wantError(t, err, OpRead, Unknown)
			if !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Errorf("Read after Close: %v, want ErrBodyReadAfterClose", err)
			}
		})
	}
}
