package proxy

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// To an HTTP/1.0 app an answer of unknown length ends with its connection: a
// plain end would make a part look like the whole.
func TestCutAnswerIsAResetToAnHTTP10App(t *testing.T) {
	for name, framing := range map[string]string{"chunked": "Transfer-Encoding: chunked\r\n\r\n6\r\n[1,2,3\r\n", "length": "Content-Length: 99\r\n\r\n[1,2,3"} {
		t.Run(name, func(t *testing.T) {
			o := listen(t, func(p *peer) {
				if _, _, err := p.request(); err == nil {
					p.say("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + framing)
				}
			})
			a := newRig(t, o.url).dial()
			a.say("GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
			if _, body, err := a.answer("GET"); err == nil {
				t.Errorf("the app takes %q for the whole answer", body)
			}
		})
	}
}

func TestWholeAnswerReachesAnHTTP10App(t *testing.T) {
	o := listen(t, answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n[1,2,3\r\n1\r\n]\r\n0\r\n\r\n"))
	a := newRig(t, o.url).dial()
	a.say("GET /v1/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
	if _, body, err := a.answer("GET"); err != nil || body != "[1,2,3]" {
		t.Errorf("answer = %q, %v", body, err)
	}
}

func TestRefusedTokenIsKnownInPackedAnswers(t *testing.T) {
	packed := func(pack func(io.Writer) io.WriteCloser) string {
		var out bytes.Buffer
		w := pack(&out)
		_, _ = io.WriteString(w, expiredText)
		_ = w.Close()
		return out.String()
	}
	for encoding, body := range map[string]string{
		"x-gzip": gzipped(expiredText), "identity": expiredText,
		"deflate": packed(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
		"Deflate": packed(func(w io.Writer) io.WriteCloser { bare, _ := flate.NewWriter(w, 9); return bare }),
	} {
		response := &http.Response{
			StatusCode: 400, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
			Header: http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {encoding}},
		}
		if got := rejected(response); got != "expired" {
			t.Errorf("rejected in %s = %q", encoding, got)
		}
	}
}

// Somebody may have to find out what became of a write whose app went away.
func TestWriteWhoseAppWentAwayIsSeenInTheLog(t *testing.T) {
	for _, c := range []struct {
		record Record
		want   zerolog.Level
	}{
		{Record{Status: statusClientGone, Method: "POST", Outcome: Unknown}, zerolog.WarnLevel},
		{Record{Status: statusClientGone, Method: "DELETE", Outcome: Unknown}, zerolog.WarnLevel},
		{Record{Status: statusClientGone, Method: "POST", Outcome: NotSent}, zerolog.DebugLevel},
		{Record{Status: statusClientGone, Method: "GET", Outcome: Unknown}, zerolog.DebugLevel},
	} {
		if got := level(&c.record); got != c.want {
			t.Errorf("level(%+v) = %v, want %v", c.record, got, c.want)
		}
	}
}

func TestNamesThatSomeUpstreamTakesForOursStayHere(t *testing.T) {
	for _, name := range []string{
		"Authorization-", "X-Original-Path", "X-Original-Proto", "X_original_for", "X.Forwarded.For", "X-Forwarded", "Cookie2", "Proxy",
		"X.Monite.Entity.Id", "X-Monite.Entity-Id", "X-Monite-Entity-Id-", "X~monite~version", "Remote_user", "X.Monite.Proxy.Token",
	} {
		if !refusedField(http.CanonicalHeaderKey(name)) {
			t.Errorf("%s is forwarded", name)
		}
	}
	for _, name := range []string{"X-Custom", "X_custom", "X.Custom", "X-Custom-", "Accept", "X-Monite-Sdk-Version", "Traceparent"} {
		if refusedField(http.CanonicalHeaderKey(name)) {
			t.Errorf("%s is not forwarded", name)
		}
	}
}
