package strict

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// The states of a connection.
const (
	fresh     int32 = iota // has sent nothing
	active                 // a head has begun, or its request is under way
	partial                // a head has begun, and its rest has to be waited for
	inBody                 // the handler waits for more of the body
	idle                   // between two requests
	lingering              // has its response, and may still be sending (linger.go)
	closing
)

// conn is one connection. Its goroutine owns all of it, but for what says so.
type conn struct {
	server   *Server
	nc       net.Conn
	stream   io.ReadWriter        // of nc's bytes
	tlsState *tls.ConnectionState // nil: no TLS
	remote   string
	local    bool            // nc is a unix socket
	base     context.Context //nolint:containedctx // of every request; never ends, so that nothing is registered on it
	opened   time.Time
	state    atomic.Int32
	since    atomic.Int64 // when it became fresh, partial, idle or lingering, or fell behind with its body; ns

	reads, writes deadline

	// buf[r:w] is read and not yet taken: by the head, then by the body, then by
	// the watch of gone.go. There is one of them at a time.
	buf  []byte
	r, w int
	// large is by how much buf is larger than smallBuffer. The server has the sum.
	large atomic.Int64
	// afterPOST says that an empty line that comes now belongs to the request before.
	// Old clients send one behind their body (RFC 9112 section 2.2).
	afterPOST bool

	gone gone
	// owed is called with whether the app has taken the response of the request
	// before. nil: that was not asked.
	owed func(taken bool)

	mu     sync.Mutex         // guards cancel and isCut
	cancel context.CancelFunc // of the request under way
	isCut  bool
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, nc: nc, stream: socket.Of(nc), opened: time.Now()}
	c.reads.set, c.writes.set = nc.SetReadDeadline, nc.SetWriteDeadline
	c.gone.init(c)
	_, c.local = nc.LocalAddr().(*net.UnixAddr)
	c.since.Store(c.opened.UnixNano())
	c.base = context.WithValue(context.Background(), http.LocalAddrContextKey, nc.LocalAddr())
	if s.ConnContext != nil {
		c.base = s.ConnContext(c.base, nc)
	}
	if addr := nc.RemoteAddr(); addr != nil {
		c.remote = addr.String()
	}
	return c
}

func (c *conn) serve() {
	defer c.server.ended(c)
	defer func() { c.server.large.Add(-c.large.Swap(0)) }()
	defer func() { _ = c.nc.Close() }()
	defer c.pay(false) // nothing is known
	defer func() {     // a fault of ours, on this connection alone
		if recover() != nil {
			c.cancelRequest()
			c.server.logf("http: panic on the connection of %s", c.remote)
		}
	}()
	if !c.handshake() {
		return
	}
	for c.next() {
		c.begin()
	}
}

func (c *conn) handshake() bool {
	secured, ok := c.nc.(*tls.Conn)
	if !ok {
		return true
	}
	if Handshake(c.base, secured, c.server.headerTimeout(), c.server.ErrorLog) != nil {
		return false
	}
	state := secured.ConnectionState()
	c.tlsState = &state
	return true
}

// begin makes the connection ready for the next request. What a request leaves
// behind is reset here and nowhere else.
func (c *conn) begin() {
	// What was sent ahead moves to the front.
	c.shrink()
	if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == 0 && len(c.buf) == smallBuffer {
		socket.GiveBack(c.buf)
		c.buf = nil
	}
}

// next serves one request. It reports whether another one may follow.
func (c *conn) next() bool {
	text, lines, why, err := c.readHead()
	switch {
	case err != nil:
		return false
	case why != None:
		c.refuse(&head{}, why)
		return false
	}
	r := requests.Get().(*request)
	r.head.local = c.local
	if why := r.head.parse(text, lines); why != None {
		c.refuse(&r.head, why)
		return false
	}
	switch c.exchange(r) {
	case ends:
		return false
	case lingers: // without r: its head may be large, and many may linger
		c.linger()
		return false
	}
	c.afterPOST = r.head.method == http.MethodPost
	r.free()
	c.since.Store(time.Now().UnixNano())
	// From here on Shutdown may close the connection; if it has begun, it may
	// have passed this one by.
	return c.state.CompareAndSwap(active, idle) && !c.server.stopping.Load()
}

// setCancel says whose request is under way; nil: none. It reports false if the
// connection was cut off.
func (c *conn) setCancel(cancel context.CancelFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	return !c.isCut
}

// cancelRequest ends the context of the request under way. Any goroutine.
func (c *conn) cancelRequest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
}

// cut ends the connection and its request. Any goroutine. The connection comes first:
// otherwise a handler that returns because its context ended would seem to have
// responded.
func (c *conn) cut() {
	c.mu.Lock()
	c.isCut = true
	c.mu.Unlock()
	_ = c.nc.Close()
	c.cancelRequest()
}

// closeIfIdle is Shutdown's. A connection that has sent nothing yet gets a head's
// time for it, one that lingers a moment.
func (c *conn) closeIfIdle() {
	waited := time.Duration(time.Now().UnixNano() - c.since.Load())
	if c.state.CompareAndSwap(idle, closing) ||
		waited > c.server.headerTimeout() && c.state.CompareAndSwap(fresh, closing) ||
		waited > lingerInShutdown && c.state.CompareAndSwap(lingering, closing) {
		_ = c.nc.Close()
	}
}
