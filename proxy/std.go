package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
	"github.com/monite-proxy/monite-proxy/proxy/strict"
)

// StdServer is Go's own server, made to tell what strict.Server tells: whether an app
// has taken a response (deliver). net/http itself does not say how a connection ended.
type StdServer struct {
	// ConnState is as in http.Server.
	ConnState func(net.Conn, http.ConnState)

	http     http.Server
	stopping atomic.Bool // Shutdown has been called
	cut      atomic.Bool // Close has
}

// Serve is as in http.Server.
func (s *StdServer) Serve(l net.Listener) error { return s.http.Serve(stdListener{l, s}) }

// Shutdown is as in http.Server.
func (s *StdServer) Shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	return s.http.Shutdown(ctx)
}

// Close is as in http.Server.
func (s *StdServer) Close() error {
	s.cut.Store(true)
	return s.http.Close()
}

// stdKeepAlive has apps close an idle connection a little before the server does.
var stdKeepAlive = "timeout=" + strconv.Itoa(int((idleTimeout-5*time.Second)/time.Second))

// sayKeepAlive gives a response the field that package strict writes by itself.
func (c *call) sayKeepAlive() {
	_, strict := c.w.(tellsTaken)
	if header := c.w.Header(); !strict && byStdServer(c.in) && !c.in.Close && c.in.ProtoMinor > 0 && header.Get("Connection") != "close" {
		header.Set("Keep-Alive", stdKeepAlive)
	}
}

func (s *StdServer) observe(nc net.Conn, state http.ConnState) {
	if c, ok := nc.(interface{ turn(http.ConnState) }); ok {
		c.turn(state)
	}
	if s.ConnState != nil {
		s.ConnState(nc, state)
	}
}

type stdListener struct {
	net.Listener
	server *StdServer
}

// Accept implements net.Listener.
func (l stdListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &stdConn{Conn: nc, server: l.server}
	if _, ok := nc.(*tls.Conn); ok {
		return stdTLSConn{c}, nil
	}
	return c, nil
}

// stdConn is the connection of an app to a StdServer.
type stdConn struct {
	net.Conn
	server *StdServer

	mu       sync.Mutex // guards the rest
	owed     func(taken bool)
	idle     bool // between two requests
	sent     bool // the app has sent something since then
	early    bool // the app has closed its side before that
	broken   bool // and not in order
	ourEnd   bool // CloseWrite was called
	isClosed bool
}

// OnTaken has taken called once, when it is known whether the app has the response:
// as strict's does.
func (c *stdConn) OnTaken(taken func(bool)) {
	c.pay(false) // this request was sent ahead, and nothing is known of the one before
	c.mu.Lock()
	late := c.isClosed
	if !late {
		c.owed = taken
	}
	c.mu.Unlock()
	if late {
		taken(false)
	}
}

func (c *stdConn) pay(taken bool) {
	c.mu.Lock()
	owed := c.owed
	c.owed = nil
	c.mu.Unlock()
	if owed != nil {
		owed(taken)
	}
}

// turn is told where the connection is.
func (c *stdConn) turn(state http.ConnState) {
	c.mu.Lock()
	c.idle = state == http.StateIdle
	ahead := !c.sent // the next request was here before the last response had left
	c.sent = c.sent && !c.idle
	c.mu.Unlock()
	if state == http.StateActive && !ahead {
		c.pay(true)
	}
}

// NetConn returns what it wraps, as that of tls.Conn does.
func (c *stdConn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *stdConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = c.sent || n > 0
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.early = c.early || !c.idle
		c.broken = c.broken || !inOrder(err)
	}
	return n, err
}

// inOrder reports whether a connection that ends with err was closed, and not reset.
// A bare FIN will do: few clients say close_notify.
func inOrder(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// Write implements net.Conn.
func (c *stdConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		c.mu.Lock()
		c.broken = true
		c.mu.Unlock()
	}
	return n, err
}

// CloseWrite is called by net/http if it has not read all of a body.
func (c *stdConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	gone := socket.Gone(c) // later its state says less
	err := half.CloseWrite()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ourEnd = true
	c.broken = c.broken || gone || err != nil
	return err
}

// Close implements net.Conn. net/http calls it in the goroutine of the connection,
// where it waits for the app if the response says that the connection ends.
func (c *stdConn) Close() error {
	c.mu.Lock()
	again, asked := c.isClosed, c.owed != nil
	c.isClosed = true
	c.mu.Unlock()
	if !again && asked {
		c.pay(c.took())
	}
	return c.Conn.Close()
}

// took reports whether the app has taken the last response, before our end is closed:
// afterwards the kernel does not tell.
func (c *stdConn) took() bool {
	c.mu.Lock()
	broken, early, idle, ourEnd := c.broken, c.early, c.idle, c.ourEnd
	c.mu.Unlock()
	switch {
	case broken, !ourEnd && socket.Gone(c):
		return false
	case early: // it may have gone because it wanted no more than this response
		return socket.KnowsGone
	case idle: // it has closed in order, or others need the place
		return true
	case c.server.cut.Load():
		return false
	}
	return c.linger(ourEnd)
}

const (
	// stdLinger limits the time for which an app may keep a connection of which its
	// response says that it ends; stdLingerStep is the interval at which linger notices
	// Shutdown.
	stdLinger     = 5 * time.Second
	stdLingerStep = 500 * time.Millisecond
)

// linger waits for the app's end of the connection. It is called by the goroutine of
// the connection: others close only an idle one, and Close when it says so.
func (c *stdConn) linger(ourEnd bool) (taken bool) {
	if !ourEnd && c.CloseWrite() != nil {
		return false
	}
	rest := make([]byte, 512)
	for begun := time.Now(); time.Since(begun) < stdLinger; {
		_ = c.SetReadDeadline(time.Now().Add(stdLingerStep))
		_, err := c.Conn.Read(rest)
		silent := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case err != nil && !silent:
			return inOrder(err) && !c.server.cut.Load()
		case silent && c.server.stopping.Load():
			return true
		}
		taken = silent // else it still sends, and its connection will be reset
	}
	return taken
}

// stdTLSConn is one that speaks TLS. net/http asks a connection that is not a *tls.Conn
// for its state before it reads, and leaves the handshake to it.
type stdTLSConn struct{ *stdConn }

// ConnectionState makes the handshake.
func (c stdTLSConn) ConnectionState() tls.ConnectionState {
	secured, _ := c.Conn.(*tls.Conn)
	_ = strict.Handshake(context.Background(), secured, readHeaderTimeout, c.server.http.ErrorLog) // reads fail then
	return secured.ConnectionState()
}
