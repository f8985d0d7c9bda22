package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const okEmpty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

func answer(status int, contentType, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", status, contentType, len(body), body)
}

// origin is an upstream made of a script that sees raw bytes.
type origin struct {
	url      *url.URL
	accepted atomic.Int64
	open     atomic.Int64 // connections whose script has not ended
	requests atomic.Int64 // heads that were read
	complete atomic.Int64 // requests that were read to their end
}

// peer is upstream's end of one connection.
type peer struct {
	net.Conn
	br    *bufio.Reader
	o     *origin
	index int // 1 for the first connection
}

// listen runs script on every connection, and closes it afterwards.
func listen(t testing.TB, script func(*peer)) *origin {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{url: &url.URL{Scheme: "http", Host: listener.Addr().String()}}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			p := &peer{Conn: conn, br: bufio.NewReader(conn), o: o, index: int(o.accepted.Add(1))}
			o.open.Add(1)
			all.Go(func() {
				defer func() {
					mu.Lock()
					delete(open, conn)
					mu.Unlock()
					_ = conn.Close()
				}()
				script(p)
				o.open.Add(-1)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return o
}

// head reads the head of one request.
func (p *peer) head() (*http.Request, error) {
	in, err := http.ReadRequest(p.br)
	if err == nil {
		p.o.requests.Add(1)
	}
	return in, err
}

// request reads one whole request.
func (p *peer) request() (*http.Request, string, error) {
	in, err := p.head()
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(in.Body)
	if err == nil {
		p.o.complete.Add(1)
	}
	return in, string(body), err
}

func (p *peer) say(text string) { _, _ = io.WriteString(p.Conn, text) }

// cut ends the connection at once, with FIN or RST.
func (p *peer) cut(rst bool) {
	if rst {
		_ = p.Conn.(*net.TCPConn).SetLinger(0)
	}
	_ = p.Close()
}

// untilCut blocks until the proxy is gone.
func (p *peer) untilCut() { _, _ = io.Copy(io.Discard, p.br) }

// answering is the script of a good upstream.
func answering(text string) func(*peer) {
	return func(p *peer) {
		for {
			if _, _, err := p.request(); err != nil {
				return
			}
			p.say(text)
		}
	}
}

// app is a client that sees raw bytes.
type app struct {
	net.Conn
	t  testing.TB
	br *bufio.Reader
}

func (r *rig) dial() *app {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &app{Conn: conn, t: r.t, br: bufio.NewReader(conn)}
}

func (a *app) say(text string) {
	a.t.Helper()
	if _, err := io.WriteString(a.Conn, text); err != nil {
		a.t.Fatalf("the app cannot write: %v", err)
	}
}

// answer reads one whole answer to a request with method. An error is one of
// the connection or of the framing.
func (a *app) answer(method string) (*http.Response, string, error) {
	response, err := http.ReadResponse(a.br, &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

// want reads one whole answer and checks its status.
func (a *app) want(method string, status int) (*http.Response, string) {
	a.t.Helper()
	response, body, err := a.answer(method)
	if err != nil {
		a.t.Fatalf("answer: %v", err)
	}
	if response.StatusCode != status {
		a.t.Fatalf("status = %d, want %d; body %s", response.StatusCode, status, body)
	}
	return response, body
}

// closed checks that the proxy ends the connection without a further byte.
func (a *app) closed() {
	a.t.Helper()
	if n, err := a.br.Read(make([]byte, 1)); n != 0 || err == nil {
		a.t.Fatalf("the connection gave %d bytes, %v; want its end", n, err)
	} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		a.t.Fatal("the connection stays open")
	}
}

// get is a plain request.
func get(target string, fields ...string) string { return head("GET", target, fields...) + "\r\n" }

// head is a request line and fields, without the blank line.
func head(method, target string, fields ...string) string {
	text := method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n"
	for _, field := range fields {
		text += field + "\r\n"
	}
	return text
}

func post(target, body string, fields ...string) string {
	return head("POST", target, append(fields, fmt.Sprintf("Content-Length: %d", len(body)))...) + "\r\n" + body
}
