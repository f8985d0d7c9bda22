package upstream

import (
	"crypto/tls"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// Published flaws of HTTP clients: a test per flaw, as in proxy/flaw_*_test.go.

// net/http's client took odd Transfer-Encoding values for chunked.
func TestTransferEncodingOfAnAnswerIsExactlyChunked_CVE_2022_1705(t *testing.T) {
	for _, value := range []string{"\vchunked", "xchunked", "chunked, identity", "chunked;q=1", "gzip, chunked", "\"chunked\""} {
		o := wiretest.Listen(t, nil,
			wiretest.Answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: "+value+"\r\nContent-Length: 15\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
		tr := transport(t, o)
		resp, body, err := do(tr, newRequest(t.Context(), o, "POST", "/", nil, 0))
		if err == nil {
			t.Errorf("%q: answer %v %q, want an error", value, resp.Status, body)
			continue
		}
		wantError(t, err, OpRead, Unknown)
	}
}

// Go's HTTP/2 client looped for ever on a bad SETTINGS frame, and an HTTP/2
// upstream can have a write repeated (golang/go#52459): HTTP/2 is not offered.
func TestHTTP2IsNotOffered_CVE_2026_33814(t *testing.T) {
	offered := make(chan []string, 1)
	config := ca().Server()
	config.NextProtos = []string{"h2", "http/1.1"}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered <- hello.SupportedProtos
		return nil, nil
	}
	o := wiretest.Listen(t, config, wiretest.Answering(okBody("hello")))
	tr := transport(t, o, trusting)
	tr.TLS.NextProtos = []string{"h2"} // of whoever configures it
	resp, body := mustDo(t, tr, newRequest(t.Context(), o, "POST", "/", nil, 0))
	if got := <-offered; len(got) != 1 || got[0] != "http/1.1" {
		t.Errorf("offered %q, want http/1.1 alone", got)
	}
	if body != "hello" || resp.TLS.NegotiatedProtocol != "http/1.1" || resp.ProtoMajor != 1 {
		t.Errorf("%q over %q", body, resp.TLS.NegotiatedProtocol)
	}
}

// crypto/tls resumed sessions although the roots had changed: a session that
// one configuration has verified serves no other.
func TestSessionsAreNotSharedBetweenConfigurations_CVE_2025_68121(t *testing.T) {
	o := wiretest.Listen(t, ca().Server(), wiretest.Answering(okEmpty))
	shared := tls.NewLRUClientSessionCache(0)
	for i := range 2 {
		tr := transport(t, o, trusting)
		tr.TLS.ClientSessionCache = shared
		if resp, _ := mustDo(t, tr, get(t, o)); resp.TLS.DidResume {
			t.Errorf("transport %d resumed a session that it has not verified", i+1)
		}
		tr.CloseIdleConnections()
	}
}
