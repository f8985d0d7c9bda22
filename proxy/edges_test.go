package proxy

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// An app may close its sending side and still wait for the answer. It must
// never be told 200 when the proxy gave the request up.
func TestHalfClosedAppIsNeverToldSuccess(t *testing.T) {
	arrived := make(chan struct{})
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, _, err := p.Request(); err == nil {
			close(arrived)
			p.UntilCut()
		}
	})
	r := newRig(t, o.URL)
	a := r.dial()
	a.Say(post("/v1/payables", `{"a":1}`))
	<-arrived
	_ = a.Conn.(*net.TCPConn).CloseWrite()
	if response, body, err := a.Response("POST"); err == nil {
		t.Fatalf("answer = %d %q, want none", response.StatusCode, body)
	}
	if record := r.record(); record.Status != statusClientGone || record.Outcome != Unknown {
		t.Errorf("record = %d %s, want %d %s", record.Status, record.Outcome, statusClientGone, Unknown)
	}
}

// The app's body was good; it is upstream that broke.
func TestUpstreamThatBreaksAfterAStreamedBodyIsToBlame(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) { _, _, _ = p.Request() })
	r := newRig(t, o.URL)
	a := r.dial()
	a.Say(head("POST", "/v1/payables", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n0\r\n\r\n")
	response, body := a.WantStatus("POST", http.StatusBadGateway)
	if !strings.Contains(body, "proxy_upstream_broken") || response.Header.Get("X-Monite-Proxy-Outcome") != string(Unknown) {
		t.Errorf("answer = %s %s, want proxy_upstream_broken, unknown", response.Header.Get("X-Monite-Proxy-Outcome"), body)
	}
}

// An app that gets an early answer and stays silent must not keep a goroutine
// and a connection.
func TestEarlyAnswerEndsTheConnectionOfAStalledUpload(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
			if _, err := p.Head(); err == nil {
				p.Say(answer(422, "text/plain", "no"))
				p.UntilCut()
			}
		})
		r := newRig(t, o.URL)
		a := r.dial()
		_ = a.SetDeadline(time.Now().Add(2 * time.Second))
		if i%2 == 0 {
			a.Say(head("POST", "/v1/payables", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n")
		} else {
			a.Say(head("POST", "/v1/payables", "Content-Length: 100000") + "\r\n" + strings.Repeat("x", 70_000))
		}
		if response, _ := a.WantStatus("POST", 422); !response.Close {
			t.Error("the answer does not say that the connection ends")
		}
		a.Closed()
	}
}

// The parser of trailers quotes what it cannot parse.
func TestBrokenTrailerIsNotQuotedInTheLog(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) { _, _, _ = p.Request() })
	r := newRig(t, o.URL)
	a := r.dial()
	a.Say(head("POST", "/v1/payables", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n0\r\ncanary-bearer-text\r\n\r\n")
	_, body := a.WantStatus("POST", http.StatusBadRequest)
	_ = r.record()
	if strings.Contains(r.log.String()+body, "canary") {
		t.Errorf("the log quotes the app: %s", r.log)
	}
}

// The head of a streamed answer is news of its own.
func TestHeadReachesTheAppBeforeTheFirstByteOfTheBody(t *testing.T) {
	seen := make(chan struct{})
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, _, err := p.Request(); err != nil {
			return
		}
		p.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		<-seen
		p.Say("2\r\nhi\r\n0\r\n\r\n")
	})
	r := newRig(t, o.URL)
	a := r.dial()
	_ = a.SetDeadline(time.Now().Add(2 * time.Second))
	a.Say(get("/v1/payables"))
	response, err := http.ReadResponse(a.Reader, nil)
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
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, err := p.Head(); err == nil {
			p.Cut(true)
		}
	})
	r := newRig(t, o.URL)
	a := r.dial()
	a.Say(head("POST", "/v1/payables", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n")
	if response, _ := a.WantStatus("POST", http.StatusBadGateway); !response.Close {
		t.Error("the answer does not say that the connection ends")
	}
	a.Closed()
}
