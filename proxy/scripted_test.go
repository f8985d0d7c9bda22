package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// scripted is the real server and handler over connections in memory whose whole
// input is known: no sockets, no waiting, so that a fuzz target gets through.
type scripted struct {
	conns chan net.Conn
	open  atomic.Int64
}

// sentUp is one request as upstream saw it.
type sentUp struct {
	method, target        string
	authorization, entity int
	whole                 bool
}

func newScripted(t testing.TB) *scripted {
	s := &scripted{conns: make(chan net.Conn)}
	server := NewServer(New(Config{
		Origin: &url.URL{Scheme: "http", Host: "upstream.test"}, Tokens: &tokenBook{}, Upstream: tripFunc(s.answer), APIVersion: "2024-05-25", Policy: policies["allow"],
		MaxInFlight: 1000, MaxBodyBytes: 1 << 20, ReplayBodyBytes: 1 << 10, Log: zerolog.Nop(),
	}), "", nil)
	server.ErrorLog = nil
	inner := server.ConnContext
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(inner(ctx, conn), scriptedKey{}, conn)
	}
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.open.Add(1)
		case http.StateClosed:
			s.open.Add(-1)
		}
	}
	listener := &pipes{conns: s.conns, done: make(chan struct{})}
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		eventually(t, "every connection has ended", func() bool { return s.open.Load() == 0 })
		_ = server.Close()
		done.Wait()
	})
	return s
}

type scriptedKey struct{}

// answer is upstream: it reads the body and says 200.
func (s *scripted) answer(out *http.Request) (*http.Response, error) {
	conn := out.Context().Value(scriptedKey{}).(*scriptedConn)
	target := out.URL.Opaque
	if out.URL.ForceQuery || out.URL.RawQuery != "" {
		target += "?" + out.URL.RawQuery
	}
	_, err := io.Copy(io.Discard, out.Body)
	conn.mu.Lock()
	conn.upstream = append(conn.upstream, sentUp{out.Method, target, len(out.Header["Authorization"]), len(out.Header[identity.HeaderEntity]), err == nil})
	conn.mu.Unlock()
	if err != nil {
		return nil, &upstream.Error{Op: upstream.OpBody, Outcome: upstream.Unknown, Err: err}
	}
	return &http.Response{StatusCode: http.StatusOK, ContentLength: 0, Header: http.Header{"Content-Length": {"0"}}, Body: http.NoBody}, nil
}

// serve plays raw, and returns when the server has ended the connection.
func (s *scripted) serve(raw string) *scriptedConn {
	conn := &scriptedConn{in: raw, done: make(chan struct{})}
	conn.woken.L = &conn.mu
	s.conns <- conn
	<-conn.done
	return conn
}

// scriptedConn is an app that has said all it will ever say.
type scriptedConn struct {
	mu       sync.Mutex // guards all below
	woken    sync.Cond
	in       string
	out      strings.Builder
	upstream []sentUp
	late     bool // the read deadline has passed
	closed   bool
	once     sync.Once
	done     chan struct{} // closed when nothing more will be written
}

// Read gives the end when there is no more, but to the one-byte read by which
// net/http watches for an app that leaves: the app is there and silent.
func (c *scriptedConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) == 1 && c.in == "" && !c.late && !c.closed {
		c.woken.Wait()
	}
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.late:
		return 0, os.ErrDeadlineExceeded
	case c.in == "":
		return 0, io.EOF
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *scriptedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return c.out.Write(p)
}

// CloseWrite is what net/http does half a second before Close.
func (c *scriptedConn) CloseWrite() error { c.once.Do(func() { close(c.done) }); return nil }

func (c *scriptedConn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.woken.Broadcast()
	return c.CloseWrite()
}

func (c *scriptedConn) answers() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// SetReadDeadline knows two: already past, and never.
func (c *scriptedConn) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	c.late = !at.IsZero() && at.Before(time.Now())
	c.mu.Unlock()
	c.woken.Broadcast()
	return nil
}

func (c *scriptedConn) SetDeadline(at time.Time) error { return c.SetReadDeadline(at) }
func (*scriptedConn) SetWriteDeadline(time.Time) error { return nil }
func (*scriptedConn) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "scripted"} }
func (*scriptedConn) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "app"} }
