package strict

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

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
