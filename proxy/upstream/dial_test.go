package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestDialFailuresAreNotSent(t *testing.T) {
	refused := wiretest.Nobody(t)
	failing := func(err error) func(*Transport) {
		return func(tr *Transport) {
			tr.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, err }
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*Transport)
		is     error
	}{
		{"refused", func(*Transport) {}, syscall.ECONNREFUSED},
		{"no such name", failing(&net.DNSError{Err: "no such host", Name: "origin.test", IsNotFound: true}), nil},
		{"no descriptor left", failing(&net.OpError{Op: "dial", Err: syscall.EMFILE}), syscall.EMFILE},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := &Transport{Origin: &url.URL{Scheme: "http", Host: refused}}
			tc.change(tr)
			for range 3 {
				body := stream("x")
				req, _ := http.NewRequest("POST", "http://"+refused+"/", body)
				_, err := tr.RoundTrip(req)
				wantError(t, err, OpDial, NotSent)
				if tc.is != nil && !errors.Is(err, tc.is) {
					t.Errorf("err = %v, want %v in it", err, tc.is)
				}
				if n := body.closed.Load(); n != 1 {
					t.Errorf("body closed %d times, want 1", n)
				}
			}
			if s := tr.Stats(); s.Open != 0 {
				t.Errorf("Stats() = %+v, want nothing open", s)
			}
		})
	}
}

// Failed dials (here for want of descriptors) leave nothing behind: with one
// connection allowed, the next request still gets it.
func TestRecoveryAfterFailedDials(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okBody("hello")))
	var out atomic.Bool
	tr := transport(t, o, func(tr *Transport) {
		tr.MaxConns = 1
		tr.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if out.Load() {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.EMFILE}
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	})
	out.Store(true)
	for range 10 {
		_, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", nil, 0))
		wantError(t, err, OpDial, NotSent)
	}
	out.Store(false)
	mustDo(t, tr, newRequest(t.Context(), o, "POST", "/", nil, 0))
	if s := tr.Stats(); s.Open != 1 {
		t.Errorf("Stats() = %+v, want 1 open", s)
	}
}

// recorder is a forward proxy that keeps every byte from the client.
type recorder struct {
	*wiretest.Origin
	mu   sync.Mutex
	seen bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.Write(p)
}

func forwardProxy(t *testing.T, config *tls.Config, answer string) *recorder {
	r := &recorder{}
	r.Origin = wiretest.Listen(t, config, func(p *wiretest.Peer) {
		p.Reader = bufio.NewReader(io.TeeReader(p.Conn, r))
		req, err := http.ReadRequest(p.Reader)
		if err != nil {
			return
		}
		p.Say(answer)
		if !strings.HasPrefix(answer, "HTTP/1.1 200") {
			return
		}
		up, err := net.Dial("tcp", req.Host)
		if err != nil {
			return
		}
		defer up.Close()
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(up, p.Reader); up.(*net.TCPConn).CloseWrite() })
		_, _ = io.Copy(p.Conn, up)
		_ = p.TCP.Close()
		both.Wait()
	})
	return r
}

func through(proxyURL *url.URL) func(*Transport) {
	return func(tr *Transport) {
		trusting(tr)
		tr.Proxy = func(*url.URL) (*url.URL, error) { return proxyURL, nil }
	}
}

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

func TestProxySeesOnlyTLS(t *testing.T) {
	for name, config := range map[string]*tls.Config{"http proxy": nil, "https proxy": ca().Server()} {
		t.Run(name, func(t *testing.T) {
			r := forwardProxy(t, config, established)
			o := wiretest.Listen(t, ca().Server(), wiretest.Answering(okBody("hello")))
			proxyURL := *r.URL
			proxyURL.User = url.UserPassword("user", "canary-password")
			tr := transport(t, o, through(&proxyURL))
			for range 3 {
				req := newRequest(t.Context(), o, "POST", "/v1/canary-path", mem("canary-body"), 11)
				req.Header.Set("Authorization", "Bearer canary-token")
				if _, body := mustDo(t, tr, req); body != "hello" {
					t.Errorf("body = %q, want hello", body)
				}
			}
			tr.CloseIdleConnections()
			r.mu.Lock()
			defer r.mu.Unlock()
			seen := r.seen.String()
			head, rest, _ := strings.Cut(seen, "\r\n\r\n")
			want := "CONNECT " + o.URL.Host + " HTTP/1.1\r\nHost: " + o.URL.Host + "\r\nProxy-Authorization: Basic " +
				base64.StdEncoding.EncodeToString([]byte("user:canary-password"))
			if head != want {
				t.Errorf("proxy saw the head %q, want %q", head, want)
			}
			if strings.Contains(rest, "canary") || len(rest) < 100 || rest[0] != 0x16 {
				t.Error("proxy saw something other than TLS after CONNECT")
			}
			if r.Accepted.Load() != 1 || o.Accepted.Load() != 1 {
				t.Errorf("connections = %d and %d, want 1 and 1", r.Accepted.Load(), o.Accepted.Load())
			}
		})
	}
}

func TestProxyTroubleIsNotSentAndTellsNoPassword(t *testing.T) {
	user := url.UserPassword("user", "canary")
	for _, tc := range []struct{ name, answer string }{
		{"refused", "HTTP/1.1 407 canary\r\nX: canary\r\n\r\n"},
		{"malformed", "canary\r\n\r\n"},
		{"speaks first", established + "canary"},
		{"endless head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("canary", 20_000)},
		{"hangs up", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var hits atomic.Int64
			r := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
				if _, err := http.ReadRequest(p.Reader); err == nil {
					hits.Add(1)
					p.Say(tc.answer)
				}
			})
			proxyURL := *r.URL
			proxyURL.User = user
			tr := &Transport{Origin: &url.URL{Scheme: "https", Host: "origin.test"}}
			through(&proxyURL)(tr)
			req, _ := http.NewRequest("POST", "https://origin.test/", nil)
			_, err := tr.RoundTrip(req)
			wantError(t, err, OpProxy, NotSent)
			if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "dXNlcj") {
				t.Errorf("err = %q tells too much", err)
			}
			if hits.Load() != 1 || tr.Stats().Open != 0 {
				t.Errorf("CONNECTs = %d, %+v, want 1 and nothing open", hits.Load(), tr.Stats())
			}
		})
	}
	for _, tc := range []struct {
		name, origin string
		proxy        func(*url.URL) (*url.URL, error)
	}{
		{"plaintext origin", "http://origin.test", func(*url.URL) (*url.URL, error) { return url.Parse("http://user:canary@127.0.0.1:1") }},
		{"socks", "https://origin.test", func(*url.URL) (*url.URL, error) { return url.Parse("socks5://user:canary@127.0.0.1:1") }},
		{"refused", "https://origin.test", func(*url.URL) (*url.URL, error) { return url.Parse("http://user:canary@127.0.0.1:1") }},
		{"function fails", "https://origin.test", func(*url.URL) (*url.URL, error) { return nil, errors.New("canary") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u, _ := url.Parse(tc.origin)
			tr := &Transport{Origin: u, Proxy: tc.proxy}
			req, _ := http.NewRequest("POST", tc.origin+"/", nil)
			_, err := tr.RoundTrip(req)
			wantError(t, err, OpProxy, NotSent)
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("err = %q tells too much", err)
			}
		})
	}
}

func TestEnvironmentIsNotRead(t *testing.T) {
	r := forwardProxy(t, nil, established)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, r.URL.String())
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	o := wiretest.Listen(t, ca().Server(), wiretest.Answering(okBody("hello")))
	tr := transport(t, o, trusting)
	mustDo(t, tr, get(t, o))
	if got := r.Accepted.Load(); got != 0 {
		t.Errorf("connections to the proxy = %d, want 0", got)
	}
}

func TestOnlyTheOriginIsDialled(t *testing.T) {
	var dialled []string
	tr := &Transport{Origin: &url.URL{Scheme: "https", Host: "api.example.test"}}
	tr.Dial = func(_ context.Context, network, addr string) (net.Conn, error) {
		dialled = append(dialled, network+" "+addr)
		return nil, errors.New("no")
	}
	for _, change := range []func(*http.Request){
		func(*http.Request) {},
		func(r *http.Request) { r.Host = "evil.test" },
		func(r *http.Request) { r.URL.Opaque = "//evil.test/x" },
		func(r *http.Request) { r.URL.Host = "evil.test" },
		func(r *http.Request) { r.URL.Host = "api.example.test:444" },
		func(r *http.Request) { r.Header.Set("X-Forwarded-Host", "evil.test") },
	} {
		req, _ := http.NewRequest("GET", "https://api.example.test/", nil)
		change(req)
		_, _ = tr.RoundTrip(req)
	}
	for _, addr := range dialled {
		if addr != "tcp api.example.test:443" {
			t.Errorf("dialled %s, want only the origin", addr)
		}
	}
	if len(dialled) != 4 {
		t.Errorf("dialled %d times, want 4: two requests name another host", len(dialled))
	}
}
