package upstream

import (
	"context"
	"net/http"
	"time"
)

// Followable is the key of a context's value, true, with which its round trip can
// be followed after its caller has given up. See Error.Rest.
type Followable struct{}

func isFollowable(ctx context.Context) bool {
	wanted, _ := ctx.Value(Followable{}).(bool)
	return wanted
}

// Rest is an exchange whose request was sent whole, and whose response no caller
// waits for any more: the context ended, or a limit passed. Its connection is still
// open, and counts as one of MaxConns. The owner calls Follow or Drop, once.
type Rest struct{ x *exchange }

// Follow waits for the response. The end of ctx is the only limit until the head
// has been read; it ends the body too. What it returns is as RoundTrip's.
func (r *Rest) Follow(ctx context.Context) (*http.Response, error) {
	x := r.x
	x.ctx = ctx
	x.c.readErr = nil
	x.c.wire.resume()
	x.t.watch.beginOld(x)
	resp, err := x.receive()
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Drop closes the connection.
func (r *Rest) Drop() { r.x.t.pool.discard(r.x.c) }

// rest is nil if the exchange is over with err. Otherwise it takes the exchange
// from its caller.
func (x *exchange) rest(op Op, err error) *Rest {
	if op != OpRead || x.writeErr != nil || !isTimeout(err) || !x.c.wire.detach() {
		return nil
	}
	x.t.watch.end(x)
	x.req.Body = nil // it was sent whole, and the response may take long
	return &Rest{x}
}

// follow holds what a wire knows of an exchange that can be followed. It is guarded
// by the wire's mu.
type follow struct {
	wanted bool // by the caller of the round trip
	whole  bool // the kernel has the whole request
	over   bool // the caller has given up: a deadline that passed, or an end of its context, means nothing
}

// sentWhole notes that the kernel has the whole request, and lets the head of the
// response take limit from now.
func (w *wire) sentWhole(limit time.Duration) {
	w.mu.Lock()
	w.follow.whole = true
	w.mu.Unlock()
	w.awaitHead(limit)
}

// cancel is for the end of the caller's context. It closes the socket, unless the
// request can be followed: then the wait for the head is interrupted, and a body that
// has begun is left to its reader.
func (w *wire) cancel() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.follow.wanted || !w.follow.whole:
		_ = w.Conn.Close()
	case w.follow.over, w.inBody:
	default:
		w.follow.over = true
		_ = w.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// detach reports whether the exchange can go on without its caller.
func (w *wire) detach() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.follow.wanted || !w.follow.whole || w.inBody {
		return false
	}
	w.follow.over = true
	return true
}

// resume takes away the deadline that has passed.
func (w *wire) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readBy = time.Time{}
	_ = w.Conn.SetReadDeadline(time.Time{})
}
