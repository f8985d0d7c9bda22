package strict

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

const (
	// smallBuffer is the size that a connection keeps while it is idle. A usual head
	// fits.
	smallBuffer = 2 << 10
	// bufferStep is by how much the buffer of a larger head grows.
	bufferStep = 4 << 10
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
}

// shrink gives a large buffer back, once what is in it fits into a small one, or into
// one of half the size.
func (c *conn) shrink() {
	left := c.buf[c.r:c.w]
	size := max(smallBuffer, len(left))
	if cap(c.buf) <= smallBuffer || size > smallBuffer && cap(c.buf) < 2*size {
		return
	}
	c.buf = make([]byte, size)
	c.r, c.w = 0, copy(c.buf, left)
	c.count()
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

// readHead reads up to the end of a head.
func (c *conn) readHead() (text string, lines int, why Violation, err error) {
	var s scan
	limited := c.state.Load() == fresh // by the time for a head
	if limited {
		_ = c.reads.at(time.Now().Add(c.server.headerTimeout()))
	} else if c.w == 0 || c.afterPOST { // the bytes so far may be half of an empty line
		_ = c.reads.allow(c.server.idleTimeout())
	}
	for begun := false; ; {
		if c.begins() {
			if !begun && c.state.Swap(active) == closing {
				c.state.Store(closing)
				return "", 0, None, net.ErrClosed
			}
			begun = true
			c.pay(true)
			length, why := s.next(c.buf[:c.w])
			if (why != None || length > 0) && !c.headHere() {
				return "", 0, None, net.ErrClosed
			}
			if why != None {
				return "", 0, why, nil
			}
			if length > 0 {
				text := string(c.buf[:length])
				c.r = length
				c.shrink()
				return text, s.lines, None, nil
			}
			if !c.awaitHead(&limited) {
				return "", 0, None, net.ErrClosed
			}
		}
		if err := c.fill(); err != nil {
			c.pay(c.took(err))
			return "", 0, None, err
		}
	}
}

// awaitHead is called with part of a head: there is a limit for the rest, and
// until it is there the connection may have to make room for others (crowd.go).
func (c *conn) awaitHead(limited *bool) (open bool) {
	if c.state.Load() == partial {
		return true
	}
	now := time.Now()
	if !*limited {
		*limited = true
		_ = c.reads.at(now.Add(c.server.headerTimeout()))
	}
	c.since.Store(now.UnixNano())
	return c.state.CompareAndSwap(active, partial)
}

// headHere ends that. It reports whether the connection is still ours.
func (c *conn) headHere() bool {
	return c.state.Load() == active || c.state.CompareAndSwap(partial, active)
}

// begins reports whether the next head has begun. An empty line before it is dropped,
// and does not count as a beginning: an app may send nothing after it.
func (c *conn) begins() bool {
	if c.w == 0 || !c.afterPOST {
		return c.w > 0
	}
	if c.buf[0] == '\r' {
		if c.w == 1 {
			return false
		}
		if c.buf[1] == '\n' {
			c.w = copy(c.buf, c.buf[len("\r\n"):c.w])
		}
	}
	c.afterPOST = false
	return c.w > 0
}

// fill reads once, behind the bytes so far.
func (c *conn) fill() error {
	if c.w == len(c.buf) {
		c.makeRoom()
	}
	n, err := c.stream.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil // the error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// makeRoom is called with a full buffer. Its bounds are those of a head, of a
// chunk's line and of the trailers.
func (c *conn) makeRoom() {
	if c.r > 0 { // not in a head, which begins at 0
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
		return
	}
	larger := make([]byte, max(min(2*len(c.buf), len(c.buf)+bufferStep), smallBuffer))
	copy(larger, c.buf)
	c.buf = larger
	c.count()
}

// count tells the server of the size of buf.
func (c *conn) count() {
	now := int64(len(c.buf) - smallBuffer)
	if before := c.large.Swap(now); c.server.large.Add(now-before) > maxLarge && now > before {
		c.server.forgetHead()
	}
}

// request holds what one request needs, made at once.
type request struct {
	head   head
	answer answer
	body   body
	chunks chunks
	in     http.Request
}

// requests holds requests to use again. They are empty.
var requests = sync.Pool{New: func() any { return new(request) }}

// free gives r to a later request, if r was a read without a body that ended in
// order. Every other one is left to the collector: what still sends a body, or
// follows a write, may hold it.
func (r *request) free() {
	if m := r.head.method; r.answer.body != nil || m != http.MethodGet && m != http.MethodHead {
		return
	}
	fields := r.head.fields
	if len(fields) > keptFields {
		fields = nil
	}
	clear(fields)
	*r = request{head: head{fields: fields}}
	r.answer.over.Store(true)
	requests.Put(r)
}

// exchange runs the handler on one request.
func (c *conn) exchange(r *request) verdict {
	h, x := &r.head, &r.answer
	ctx, cancel := context.WithCancel(c.base)
	defer cancel()
	if !c.setCancel(cancel) {
		return ends
	}
	x.init(c, h)
	r.in = *(&http.Request{
		Method: h.method, URL: &h.url, RequestURI: h.target, Host: h.host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: h.minor,
		Header: h.fields, Body: http.NoBody, ContentLength: h.length, Close: h.close,
		RemoteAddr: c.remote, TLS: c.tlsState,
	}).WithContext(ctx)
	in := &r.in
	if h.minor == 0 {
		in.Proto = "HTTP/1.0"
	}
	if h.length == 0 {
		c.gone.watch()
	} else {
		_ = c.reads.at(time.Time{}) // the handler has limits of its own
		x.body = &r.body
		x.body.c, x.body.left = c, h.length
		if h.expect {
			x.body.expecting = x
		}
		if h.length < 0 {
			x.body.chunks = &r.chunks
			in.TransferEncoding = []string{"chunked"}
		}
		in.Body = x.body
	}
	handled := c.call(func() { c.server.Handler.ServeHTTP(x, in) })
	cancel()
	return c.finish(x, handled)
}

// verdict says what becomes of a connection after an exchange.
type verdict int

const (
	ends verdict = iota
	lingers
	goesOn
)

// finish ends an exchange whose handler has returned.
func (c *conn) finish(x *answer, handled bool) verdict {
	x.over.Store(true) // first: nothing else moves a deadline from here on
	alive := c.gone.rest()
	c.setCancel(nil)
	if !handled {
		x.cutOff()
		c.pay(false)
		return ends
	}
	err := x.end()
	whole := x.body.leave()
	if x.body != nil {
		alive = c.gone.rest() && alive // a last Read, also one that found the end, may have begun a watch
	}
	switch {
	case err != nil:
		c.pay(false)
	case !alive: // it may have gone because it has all that it wanted
		c.pay(socket.KnowsGone && !c.gone.reset && !socket.Gone(c.nc))
	}
	switch {
	case err != nil:
	case !whole, x.close && c.r < c.w, x.close && c.owed != nil:
		if alive {
			return lingers
		}
		c.pay(false)
	case alive && !x.close:
		return goesOn
	}
	return ends
}

// refuse responds to a head that was refused.
func (c *conn) refuse(h *head, why Violation) {
	_ = c.writes.allow(c.server.headerTimeout())
	h.last, h.minor = true, 1
	x := new(answer)
	x.init(c, h)
	in := &http.Request{
		Method: h.method, URL: &h.url, RequestURI: h.target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody,
		Close: true, RemoteAddr: c.remote, TLS: c.tlsState,
	}
	handled := c.call(func() {
		if c.server.Refuse == nil {
			x.WriteHeader(http.StatusBadRequest)
			return
		}
		c.server.Refuse(x, in.WithContext(c.base), why)
	})
	x.over.Store(true)
	if handled && x.end() == nil {
		c.linger()
	}
}

// call keeps the panic of one request from ending all of them. Its value may
// hold anything: the log gets its absence.
func (c *conn) call(do func()) (handled bool) {
	defer func() {
		if handled {
			return
		}
		if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			c.server.logf("http: panic serving %s", c.remote)
		}
	}()
	do()
	return true
}

// pay says whether the app has taken the last response, if that was asked.
func (c *conn) pay(taken bool) {
	if owed := c.owed; owed != nil {
		c.owed = nil
		owed(taken)
	}
}

// took reports whether an app whose connection ended with err, between two
// requests, has taken the last response: it closed in order, or has been idle.
func (c *conn) took(err error) bool { return ended(err) && !socket.Gone(c.nc) }

// ended reports whether err is an end in good order, and no reset. A bare FIN is
// one: few clients say close_notify.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)
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
