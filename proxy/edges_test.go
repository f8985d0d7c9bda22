package proxy

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An app may close its sending side and still wait for the answer. It must
// never be told 200 when the proxy gave the request up.
func TestHalfClosedAppIsNeverToldSuccess(t *testing.T) {
	arrived := make(chan struct{})
	o := listen(t, func(p *peer) {
		if _, _, err := p.request(); err == nil {
			close(arrived)
			p.untilCut()
		}
	})
	r := newRig(t, o.url)
	a := r.dial()
	a.say(post("/v1/payables", `{"a":1}`))
	<-arrived
	_ = a.Conn.(*net.TCPConn).CloseWrite()
	if response, body, err := a.answer("POST"); err == nil {
		t.Fatalf("answer = %d %q, want none", response.StatusCode, body)
	}
	if record := r.record(); record.Status != statusClientGone || record.Outcome != Unknown {
		t.Errorf("record = %d %s, want %d %s", record.Status, record.Outcome, statusClientGone, Unknown)
	}
}

// The app's body was good; it is upstream that broke.
func TestUpstreamThatBreaksAfterAStreamedBodyIsToBlame(t *testing.T) {
	o := listen(t, func(p *peer) { _, _, _ = p.request() })
	r := newRig(t, o.url)
	a := r.dial()
	a.say(head("POST", "/v1/payables", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n0\r\n\r\n")
	response, body := a.want("POST", http.StatusBadGateway)
	if !strings.Contains(body, "proxy_upstream_broken") || response.Header.Get("X-Monite-Proxy-Outcome") != string(Unknown) {
		t.Errorf("answer = %s %s, want proxy_upstream_broken, unknown", response.Header.Get("X-Monite-Proxy-Outcome"), body)
	}
}

// An app that gets an early answer and stays silent must not keep a goroutine
// and a connection.
func TestEarlyAnswerEndsTheConnectionOfAStalledUpload(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		o := listen(t, func(p *peer) {
			if _, err := p.head(); err == nil {
				p.say(answer(422, "text/plain", "no"))
				p.untilCut()
			}
		})
		r := newRig(t, o.url, streaming)
		a := r.dial()
		_ = a.SetDeadline(time.Now().Add(readOnIdle + 2*time.Second))
		if i%2 == 0 {
			a.say(head("POST", "/v1/payables", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n")
		} else {
			a.say(head("POST", "/v1/payables", "Content-Length: 100000") + "\r\n" + strings.Repeat("x", 70_000))
		}
		if response, _ := a.want("POST", 422); !response.Close {
			t.Error("the answer does not say that the connection ends")
		}
		a.closed()
	}
}

// The parser of trailers quotes what it cannot parse.
func TestBrokenTrailerIsNotQuotedInTheLog(t *testing.T) {
	o := listen(t, func(p *peer) { _, _, _ = p.request() })
	r := newRig(t, o.url)
	a := r.dial()
	a.say(head("POST", "/v1/payables", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n0\r\ncanary-bearer-text\r\n\r\n")
	_, body := a.want("POST", http.StatusBadRequest)
	_ = r.record()
	if strings.Contains(r.log.String()+body, "canary") {
		t.Errorf("the log quotes the app: %s", r.log)
	}
}

// The head of a streamed answer is news of its own.
func TestHeadReachesTheAppBeforeTheFirstByteOfTheBody(t *testing.T) {
	seen := make(chan struct{})
	o := listen(t, func(p *peer) {
		if _, _, err := p.request(); err != nil {
			return
		}
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		<-seen
		p.say("2\r\nhi\r\n0\r\n\r\n")
	})
	r := newRig(t, o.url)
	a := r.dial()
	_ = a.SetDeadline(time.Now().Add(2 * time.Second))
	a.say(get("/v1/payables"))
	response, err := http.ReadResponse(a.br, nil)
	close(seen)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); string(body) != "hi" || err != nil {
		t.Errorf("body = %q, %v", body, err)
	}
}

// After an answer of ours to half an upload the connection is of no use; the
// app must be told.
func TestOwnAnswerToAnUnfinishedUploadEndsTheConnection(t *testing.T) {
	t.Parallel()
	o := listen(t, func(p *peer) {
		if _, err := p.head(); err == nil {
			p.cut(true)
		}
	})
	r := newRig(t, o.url, streaming)
	a := r.dial()
	a.say(head("POST", "/v1/payables", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n")
	if response, _ := a.want("POST", http.StatusBadGateway); !response.Close {
		t.Error("the answer does not say that the connection ends")
	}
	a.closed()
}
