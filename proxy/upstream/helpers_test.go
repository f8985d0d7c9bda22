package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const okEmpty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

func okBody(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// origin is a server made of a script that sees raw bytes.
type origin struct {
	url      *url.URL
	accepted atomic.Int64
	executed atomic.Int64 // complete requests
}

// peer is the server's end of one connection.
type peer struct {
	net.Conn
	tcp   *net.TCPConn
	br    *bufio.Reader
	o     *origin
	index int // 1 for the first connection
}

// listen runs script for every connection and closes the connection after it.
func listen(t testing.TB, config *tls.Config, script func(*peer)) *origin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{url: &url.URL{Scheme: "http", Host: ln.Addr().String()}}
	if config != nil {
		o.url.Scheme = "https"
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			p := &peer{Conn: c, tcp: c.(*net.TCPConn), o: o, index: int(o.accepted.Add(1))}
			if config != nil {
				p.Conn = tls.Server(c, config)
			}
			p.br = bufio.NewReader(p.Conn)
			all.Go(func() {
				defer p.tcp.Close()
				script(p)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return o
}

// request reads one whole request and counts it as executed.
func (p *peer) request() (*http.Request, []byte, error) {
	req, err := http.ReadRequest(p.br)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return req, body, err
	}
	p.o.executed.Add(1)
	return req, body, nil
}

func (p *peer) say(text string) { _, _ = io.WriteString(p.Conn, text) }

// cut ends the connection at once, with FIN or RST.
func (p *peer) cut(rst bool) {
	if rst {
		_ = p.tcp.SetLinger(0)
	}
	_ = p.tcp.Close()
}

// untilCut blocks until the client is gone.
func (p *peer) untilCut() { _, _ = io.Copy(io.Discard, p.br) }

// answering is the script of a good server.
func answering(answer string) func(*peer) {
	return func(p *peer) {
		for {
			if _, _, err := p.request(); err != nil {
				return
			}
			p.say(answer)
		}
	}
}

func transport(t testing.TB, o *origin, change ...func(*Transport)) *Transport {
	t.Helper()
	tr := &Transport{Origin: o.url}
	for _, f := range change {
		f(tr)
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if s := tr.Stats(); s.Open != 0 || s.Waiting != 0 {
			t.Errorf("Stats() = %+v at the end, want nothing open and nobody waiting", s)
		}
	})
	return tr
}

// memBody is a body in memory that counts its Close calls.
type memBody struct {
	*bytes.Reader
	closed atomic.Int64
}

func (b *memBody) Close() error { b.closed.Add(1); return nil }

// streamBody is any reader as a streamed body.
type streamBody struct {
	io.Reader
	closed atomic.Int64
}

func (b *streamBody) Close() error {
	b.closed.Add(1)
	if c, ok := b.Reader.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func mem(s string) *memBody { return &memBody{Reader: bytes.NewReader([]byte(s))} }

func stream(s string) *streamBody {
	return &streamBody{Reader: struct{ io.Reader }{bytes.NewReader([]byte(s))}}
}

func newRequest(ctx context.Context, o *origin, method, path string, body io.ReadCloser, length int64) *http.Request {
	u := *o.url
	u.Path = path
	return (&http.Request{
		Method: method, URL: &u, Header: http.Header{}, Body: body, ContentLength: length,
	}).WithContext(ctx)
}

func get(t testing.TB, o *origin) *http.Request {
	return newRequest(t.Context(), o, http.MethodGet, "/v1/x", nil, 0)
}

// do sends req and reads the answer to its end.
func do(tr *Transport, req *http.Request) (*http.Response, string, error) {
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(resp.Body)
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	return resp, string(body), err
}

func mustDo(t testing.TB, tr *Transport, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, body, err := do(tr, req)
	if err != nil {
		t.Fatalf("round trip: %v", err)
	}
	return resp, body
}

func wantError(t testing.TB, err error, op Op, outcome Outcome) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("err = %v (%T), want an *Error", err, err)
	}
	if e.Op != op || e.Outcome != outcome {
		t.Fatalf("err = %v, want %s (%s)", e, op, outcome)
	}
	return e
}

// eventually waits for something that another goroutine or the kernel does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(5 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("never happened: %s", what)
		}
	}
}

func bytesOf(n int) *bytes.Reader { return bytes.NewReader(bytes.Repeat([]byte("x"), n)) }
