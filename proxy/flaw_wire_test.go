package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/http2"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// Flaws of framing and of protocols: where one request ends, and what may speak
// on its connection.

// stockRefused sends requests that net/http refuses by itself: a 4xx or 5xx
// that closes, nothing minted, nothing sent.
func (s *scene) stockRefused(requests ...string) {
	s.t.Helper()
	for _, request := range requests {
		a := s.dial()
		_, _ = io.WriteString(a.Conn, request)
		response, body, err := a.Response("GET")
		if err != nil || response.StatusCode < 400 || !response.Close {
			s.t.Errorf("%.200q: answer %v %s, %v", request, response, body, err)
		}
		_ = a.Close()
	}
	s.untouched()
}

// net/http took "Transfer-Encoding : chunked" for the field without the blank,
// and others did not.
func TestBlankBeforeTheColonIsRefused_CVE_2019_16276(t *testing.T) {
	newScene(t).stockRefused(
		head("POST", "/v1/x", "Transfer-Encoding : chunked", "Content-Length: 5")+"\r\n0\r\n\r\n", head("POST", "/v1/x", "Content-Length : 3")+"\r\nabc",
		get("/v1/x", identity.HeaderEntity+" : "+entityB), get("/v1/x", identity.HeaderEntity+"\t: "+entityB))
}

// Node.js took the first of two Transfer-Encoding fields, its upstreams the last.
func TestTwoTransferEncodingsAreRefused_CVE_2020_8287(t *testing.T) {
	newScene(t).stockRefused(
		head("POST", "/v1/x", "Transfer-Encoding: chunked", "Transfer-Encoding: identity")+"\r\n0\r\n\r\n",
		head("POST", "/v1/x", "Transfer-Encoding: identity", "Transfer-Encoding: chunked")+"\r\n0\r\n\r\n",
		head("POST", "/v1/x", "Transfer-Encoding: chunked, chunked")+"\r\n0\r\n\r\n")
}

// HAProxy did not know "\vchunked" for chunked and went by Content-Length.
func TestTransferEncodingIsExactlyChunked_CVE_2019_18277(t *testing.T) {
	s := newScene(t)
	for _, value := range []string{"\vchunked", "xchunked", "chunked;q=1", "\"chunked\"", "gzip, chunked", "chunked, identity", "cow"} {
		s.stockRefused(head("POST", "/v1/x", "Transfer-Encoding: "+value, "Content-Length: 5") + "\r\n0\r\n\r\n")
	}
}

// rawHeads is an upstream that keeps the heads of requests as they came.
func rawHeads(t *testing.T) (*wiretest.Origin, func() []string) {
	var mu sync.Mutex
	var heads []string
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		reader := textproto.NewReader(p.Reader)
		for {
			var lines []string
			for {
				line, err := reader.ReadLine()
				if err != nil {
					return
				}
				if line == "" {
					break
				}
				lines = append(lines, line)
			}
			mu.Lock()
			heads = append(heads, strings.Join(lines, "\n"))
			mu.Unlock()
			for _, line := range lines {
				var n int64
				if _, err := fmt.Sscanf(line, "Content-Length: %d", &n); err == nil {
					_, _ = io.CopyN(io.Discard, p.Reader, n)
				}
				if strings.EqualFold(line, "Transfer-Encoding: chunked") {
					for chunk, err := reader.ReadLine(); err == nil && chunk != "0"; chunk, err = reader.ReadLine() {
						_, _ = reader.ReadLine()
					}
					_, _ = reader.ReadLine()
				}
			}
			p.Say(okEmpty)
		}
	})
	return o, func() []string { mu.Lock(); defer mu.Unlock(); return heads }
}

// Pingora took Content-Length where Transfer-Encoding stood too, in HTTP/1.0:
// one front and one server disagreed where the request ends.
func TestFramingIsMadeAnew_CVE_2026_2835(t *testing.T) {
	o, heads := rawHeads(t)
	r := newRig(t, o.URL, streaming) // a body that is kept goes out with its length
	smuggled := "GET /v1/canary HTTP/1.1\r\nHost: localhost\r\n\r\n"
	r.gets(head("POST", "/v1/x", "Transfer-Encoding: chunked")+"\r\n3\r\nabc\r\n0\r\n\r\n", 200)
	// Both, and in HTTP/1.0, where there are no chunks: refused, or read in one way
	// and told so.
	for _, request := range []string{
		head("POST", "/v1/x", fmt.Sprintf("Content-Length: %d", 5+len(smuggled)), "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST /v1/x HTTP/1.0\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
	} {
		if response, body, err := r.say(request); err != nil || response.StatusCode != 200 && response.StatusCode != 400 {
			t.Errorf("%q: %v %s, %v", request, response, body, err)
		}
	}
	for _, h := range heads() {
		framing := strings.Count(strings.ToLower(h), "content-length:") + strings.Count(strings.ToLower(h), "transfer-encoding:")
		if framing != 1 || strings.Contains(h, "canary") {
			t.Errorf("upstream saw %d framing fields in %q", framing, h)
		}
	}
	if n := len(heads()); n < 1 || n > 3 {
		t.Errorf("%d requests reached upstream", n)
	}
}

// net/http took a bare LF for the end of a chunk's line.
func TestBareLineFeedEndsNoChunk_CVE_2025_22871(t *testing.T) {
	for _, body := range []string{"3\nabc\r\n0\r\n\r\n", "3;x\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\r\nabc\r\n0\n\r\n"} {
		o, seen := recording(t)
		r := newRig(t, o.URL)
		if _, text := r.gets(head("POST", "/v1/x", "Transfer-Encoding: chunked")+"\r\n"+body, 400); !strings.Contains(text, "proxy_body_read") {
			t.Errorf("%q: %s", body, text)
		}
		select {
		case end := <-seen:
			if end.err == nil {
				t.Errorf("%q: upstream saw a whole request with body %q", body, end.body)
			}
		default: // it saw no more than a head
		}
	}
}

// net/http read chunk extensions without a limit: a gigabyte of them for a few
// bytes of body.
func TestChunkExtensionsAreLimited_CVE_2023_39326(t *testing.T) {
	o, seen := recording(t)
	r := newRig(t, o.URL)
	a := r.dial()
	var body strings.Builder
	for range 100 {
		body.WriteString("1;" + strings.Repeat("x", 3000) + "\r\na\r\n")
	}
	a.Say(head("POST", "/v1/x", "Transfer-Encoding: chunked") + "\r\n" + body.String() + "0\r\n\r\n")
	if _, text := a.WantStatus("POST", 400); !strings.Contains(text, "proxy_body_read") {
		t.Errorf("answer %s", text)
	}
	select {
	case end := <-seen:
		if end.err == nil {
			t.Errorf("upstream saw a whole request of %d bytes", len(end.body))
		}
	default:
	}
}

// speaksNoHTTP2 opens HTTP/2 with prior knowledge, says more in it, and expects
// one HTTP/1.1 refusal and the end of the connection.
func speaksNoHTTP2(t *testing.T, attack func(*http2.Framer)) {
	t.Parallel()
	s := newScene(t)
	a := s.dial()
	_, _ = io.WriteString(a.Conn, http2.ClientPreface)
	framer := http2.NewFramer(a.Conn, nil)
	_ = framer.WriteSettings()
	attack(framer)
	line, err := a.Reader.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 405 ") {
		t.Fatalf("answer %q, %v; want 405 in HTTP/1.1", line, err)
	}
	_, _ = io.Copy(io.Discard, a.Reader)
	wiretest.Eventually(t, "the connection is gone", func() bool { return s.open.Load() == 0 })
	s.untouched()
}

// Rapid reset: streams opened and reset at once cost an HTTP/2 server more than
// their sender (published for all servers as CVE-2023-44487).
func TestHTTP2RapidResetMeetsNoServer_CVE_2023_39325(t *testing.T) {
	speaksNoHTTP2(t, func(f *http2.Framer) {
		for id := uint32(1); id < 2000; id += 2 {
			if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x82, 0x84, 0x86, 0x41, 0x01, 'x'}, EndHeaders: true,
				EndStream: true}) != nil ||
				f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return
			}
		}
	})
}

// Endless CONTINUATION frames kept an HTTP/2 server reading a head for ever.
func TestHTTP2ContinuationFloodMeetsNoServer_CVE_2023_45288(t *testing.T) {
	speaksNoHTTP2(t, func(f *http2.Framer) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
		for range 200 {
			if f.WriteContinuation(1, false, make([]byte, 4096)) != nil {
				return
			}
		}
	})
}

// Large keys filled the table that an HTTP/2 server keeps of header names.
func TestHTTP2HeaderTableMeetsNoServer_CVE_2022_41717(t *testing.T) {
	speaksNoHTTP2(t, func(f *http2.Framer) {
		for id := uint32(1); id < 100; id += 2 {
			if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: append([]byte{0x40, 0x7f, 0x81, 0x1e}, make([]byte, 4000)...),
				EndHeaders: true, EndStream: true}) != nil {
				return
			}
		}
	})
}

// Go's client left a connection in a bad state when upstream answered at once
// to Expect: 100-continue; through a proxy everybody shares that connection.
func TestExpectIsNotForwarded_CVE_2024_24791(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for {
			in, err := p.Head()
			if err != nil {
				return
			}
			if in.Header.Get("Expect") != "" {
				p.Say("HTTP/1.1 417 X\r\nContent-Length: 0\r\n\r\n")
				continue // and the body is taken for the next request
			}
			body, err := io.ReadAll(in.Body)
			if err != nil {
				return
			}
			p.Say(answer(200, "a/b", in.RequestURI+" "+string(body)))
		}
	})
	r := newRig(t, o.URL)
	for i := range 5 {
		a := r.dial()
		a.Say(head("POST", fmt.Sprintf("/v1/%d", i), "Expect: 100-continue", "Content-Length: 3") + "\r\n")
		for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} {
			if line, err := a.Reader.ReadString('\n'); line != want {
				t.Fatalf("line %q, %v; want %q", line, err, want)
			}
		}
		a.Say("abc")
		if _, body := a.WantStatus("POST", 200); body != fmt.Sprintf("/v1/%d abc", i) {
			t.Errorf("body = %q", body)
		}
		_ = a.Close()
	}
}

// Traefik forwarded CONNECT with its body, and what followed went to whoever
// came next on the shared connection.
func TestConnectIsRefusedWithItsBody_GHSA_3ccp_42pg_hgv6(t *testing.T) {
	s := newScene(t)
	smuggled := get("/v1/canary")
	for _, request := range []string{
		"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n", "CONNECT localhost HTTP/1.1\r\nHost: localhost\r\n",
		"CONNECT / HTTP/1.1\r\nHost: localhost\r\n", "CONNECT /v1/x HTTP/1.1\r\nHost: localhost\r\n",
	} {
		for _, body := range []string{"\r\n" + smuggled, fmt.Sprintf("Content-Length: %d\r\n\r\n", len(smuggled)) + smuggled,
			"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled} {
			a := s.dial()
			a.Say(request + body)
			if response, _ := a.WantStatus("GET", http.StatusMethodNotAllowed); !response.Close {
				t.Errorf("%q: the connection goes on", request+body)
			}
			_, _ = io.Copy(io.Discard, a.Reader)
			_ = a.Close()
		}
	}
	s.untouched()
}

// Kubernetes' API server kept the authenticated connection open when an upgrade
// failed, and forwarded whatever came next.
func TestNothingRawFollowsAFailedUpgrade_CVE_2018_1002105(t *testing.T) {
	s := newScene(t)
	for _, protocol := range []string{"websocket", "WebSocket", "TLS/1.0, websocket"} {
		a := s.dial()
		a.Say(get("/v1/x", "Connection: Upgrade", "Upgrade: "+protocol) + get("/v1/auth/token"))
		if _, body := a.WantStatus("GET", http.StatusNotImplemented); !strings.Contains(body, "proxy_upgrade_refused") {
			t.Errorf("body %s", body)
		}
		// What follows is a request like any other, or nothing at all.
		if response, body, err := a.Response("GET"); err == nil && (response.StatusCode != 403 || !strings.Contains(body, "proxy_route_refused")) {
			t.Errorf("after the refusal: %d %s", response.StatusCode, body)
		}
		_ = a.Close()
	}
	s.untouched()
}

// net/http looked for an HTTP/2 preface without its time-out for the head.
func TestConnectionThatSaysLittleIsClosed_CVE_2026_56853(t *testing.T) {
	for _, said := range []string{"", "PRI * HT", "PRI * HTTP/2.0\r\n", "GET /v1/x HTTP/1.1\r\nHost: localh"} {
		synctest.Test(t, func(t *testing.T) {
			front := wiretest.NewPipes()
			origin := &url.URL{Scheme: "http", Host: "upstream.test"}
			server := NewServer(New(Config{Origin: origin, Tokens: &tokenBook{}, Upstream: &upstream.Transport{Origin: origin}, MaxInFlight: 1,
				Log: zerolog.Nop()}), "", nil)
			var all sync.WaitGroup
			all.Go(func() { _ = server.Serve(front) })
			conn, _ := front.Dial(t.Context(), "", "")
			_ = conn.SetDeadline(time.Now().Add(time.Hour))
			start := time.Now()
			_, _ = io.WriteString(conn, said)
			_, _ = io.Copy(io.Discard, bufio.NewReader(conn))
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("%q: closed after %v", said, took)
			}
			_ = conn.Close()
			_ = server.Close()
			all.Wait()
		})
	}
}

// An HTTP/1.1 client that gives up leaves an answer on the connection, and a
// pool that gives it to the next one crosses them (go-redis, on its own
// protocol).
func TestAnswerOfACancelledRequestReachesNobody_CVE_2025_29923(t *testing.T) {
	arrived := make(chan struct{})
	release := make(chan struct{})
	o := wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, _ string) string {
		if in.URL.Path == "/v1/slow" {
			arrived <- struct{}{}
			<-release
		}
		// A second answer that nobody asked for, in the same segment.
		return answer(200, "a/b", in.URL.Path) + answer(200, "a/b", "canary")
	}))
	r := newRig(t, o.URL)
	a := r.dial()
	a.Say(get("/v1/slow"))
	<-arrived
	_ = a.Close()
	_ = r.record()
	close(release)
	for i := range 20 {
		target := fmt.Sprintf("/v1/%d", i)
		if _, body := r.do("GET", target, ""); body != target {
			t.Fatalf("answer %q to %s", body, target)
		}
	}
}
