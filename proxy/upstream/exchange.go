package upstream

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// exchange is one round trip: it owns a connection from connect to release or drop.
// It is also the body of the response (read.go).
type exchange struct {
	t     *Transport
	req   *http.Request
	ctx   context.Context //nolint:containedctx // the request's, for as long as the response's body
	trace *Trace

	urgent   bool // may use Transport.Reserve
	c        *conn
	reused   bool
	base     int64 // wire.written when the request began
	watched  watched
	up       *upload // nil: the body went with the head
	wrote    bool    // head and small body are with the kernel
	writeErr error

	spelt   string        // Trace.FieldNames
	resp    http.Response // here, and not apart: one allocation less
	coding  [1]string     // of resp.TransferEncoding
	keep    bool          // the response allows another request
	chunked bool
	chunks  chunks
	toGo    int64        // bytes left; -1: not known
	mu      sync.Mutex   // one Read at a time
	end     atomic.Int32 // how the body ended
	err     error        // what Read returns from then on; guarded by mu
}

func (x *exchange) run() (*http.Response, *Error) {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	kind, length, err := x.prepare(buf)
	if err != nil {
		x.closeRequestBody()
		return nil, err
	}
	if err := x.connect(); err != nil {
		if kind != bodySmall {
			x.closeRequestBody()
		}
		return nil, err
	}
	x.send(*buf, kind, length)
	if x.writeErr != nil && (x.written() == 0 || x.ctx.Err() != nil) {
		return nil, x.fail(OpWrite, x.writeErr)
	}
	return x.receive()
}

// prepare puts the head, and a small body, into buf: everything that can be
// wrong with a request is found before a connection is touched.
func (x *exchange) prepare(buf *[]byte) (bodyKind, int64, *Error) {
	refuse := func(op Op, err error) (bodyKind, int64, *Error) {
		return noBody, 0, &Error{Op: op, Outcome: NotSent, Err: err}
	}
	if err := x.t.checkOrigin(x.req); err != nil {
		return refuse(OpRequest, err)
	}
	kind, length, err := frame(x.req)
	if err != nil {
		return refuse(OpBody, err)
	}
	b, err := appendHead(*buf, x.req, kind, length)
	if err != nil {
		return refuse(OpRequest, err)
	}
	if kind == bodySmall {
		if b, err = appendSmallBody(b, x.req.Body, length); err != nil {
			return refuse(OpBody, err)
		}
		x.closeRequestBody()
	}
	*buf = b
	return kind, length, nil
}

func (x *exchange) closeRequestBody() {
	if x.req.Body != nil {
		_ = x.req.Body.Close()
	}
}

// connect takes a connection from the pool, or makes one.
func (x *exchange) connect() *Error {
	if x.ctx.Err() != nil {
		return x.unsent(OpConnLimit, contextError(x.ctx))
	}
	need := want{urgent: x.urgent, youngest: !safe(x.req.Method)}
	c, err := x.t.pool.get(x.ctx, x.t.limits.header, &need)
	if err != nil {
		return x.unsent(OpConnLimit, err)
	}
	x.reused = c != nil
	for c == nil {
		var failed *Error
		if c, failed = x.dial(&need); failed != nil {
			return failed
		}
	}
	if x.ctx.Err() != nil { // meanwhile: nobody waits for the response
		x.t.pool.put(c, time.Now())
		return x.unsent(OpConnLimit, contextError(x.ctx))
	}
	x.c, c.served = c, true
	c.begin(x.t.limits.headBytes, isFollowable(x.ctx))
	x.base = c.wire.written.Load()
	x.t.watch.begin(x, c.since)
	return nil
}

// dial makes a connection in the slot that the pool has given. It may return one that
// became idle meanwhile, or nil for the slot of one that is of no use. The dial has a
// context of its own, because it may outlast the request.
func (x *exchange) dial(need *want) (*conn, *Error) {
	start := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	// A connection that was given back just now may be about to be closed, and that does
	// not show yet: a write, which is not sent again, waits for a new one.
	w := x.t.pool.dial(need, x.t.pool.far && !need.youngest, cancel)
	go x.t.dial(ctx, w)
	stop := context.AfterFunc(x.ctx, cancel)
	g := <-w.given
	stop()
	x.reused = !g.made
	if g.c != nil && x.reused {
		return x.t.pool.accept(g.c), nil
	}
	now := time.Now()
	if x.trace != nil {
		x.trace.DialDuration = now.Sub(start)
	}
	if g.failed != nil {
		x.t.pool.freeSlot(x.urgent)
		if x.ctx.Err() != nil {
			g.failed.err = contextError(x.ctx)
		}
		return nil, x.unsent(g.failed.op, g.failed.err)
	}
	g.c.since = now
	return g.c, nil
}

// safe reports whether a request changes nothing at upstream.
func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

func (x *exchange) unsent(op Op, err error) *Error {
	return &Error{Op: op, Outcome: NotSent, Timeout: isTimeout(err), Err: err}
}

// written is the number of bytes that the kernel accepted of this request.
func (x *exchange) written() int64 { return x.c.wire.written.Load() - x.base }

func (x *exchange) send(head []byte, kind bodyKind, length int64) {
	l := x.t.limits
	streamed := kind == bodyLength || kind == bodyChunks
	if _, err := x.c.nc.Write(head); err != nil {
		x.writeErr = err
		if streamed {
			x.closeRequestBody()
		}
		// Upstream may have responded before it closed.
		x.c.wire.awaitHead(lastWords)
		return
	}
	x.wrote = true
	if streamed {
		x.up = startUpload(x.c, x.req, length, l)
		return
	}
	x.c.wire.sentWhole(l.header)
}

// fail ends the exchange because of err and makes the error to return.
func (x *exchange) fail(op Op, err error) *Error {
	if rest := x.rest(op, err); rest != nil {
		if x.ctx.Err() != nil {
			err = contextError(x.ctx)
		}
		return &Error{Op: op, Outcome: Unknown, Timeout: isTimeout(err), Reused: x.reused, Rest: rest, Err: err}
	}
	if x.writeErr != nil {
		op, err = OpWrite, x.writeErr
	}
	if x.up != nil {
		if isTimeout(err) && !x.up.ended() {
			// The upload stalls, not the response. It is upstream that stalls it only
			// while a write waits: between two steps the process itself was paused.
			op = OpBody
			if x.up.writing.Load() {
				op = OpWrite
			}
		}
		x.up.abort()
		if upOp, upErr := x.up.failure(); upErr != nil {
			op, err = upOp, upErr
		}
	}
	if x.ctx.Err() != nil && op != OpBody {
		err = contextError(x.ctx)
	}
	e := &Error{Op: op, Outcome: Unknown, Timeout: isTimeout(err), Reused: x.reused, Err: err}
	if x.written() == 0 {
		e.Outcome = NotSent
	}
	x.drop()
	return e
}

// drop closes the connection.
func (x *exchange) drop() {
	x.t.watch.end(x)
	if x.up != nil {
		x.up.abort()
	}
	x.t.pool.discard(x.c)
}

// release gives the connection back when the response has been read to its end, if
// nothing speaks against it.
func (x *exchange) release() {
	fit := x.keep && x.writeErr == nil && (x.up == nil || x.up.complete())
	if now := time.Now(); fit && x.c.atRest() && now.Before(x.c.retire) && x.t.watch.end(x) {
		c, traffic := x.c, !x.urgent
		x.t.pool.put(c, now)
		if traffic {
			x.t.warm.traffic(now)
		}
		return
	}
	x.drop()
}
