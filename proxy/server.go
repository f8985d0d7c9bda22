package proxy

import (
	"context"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
	"github.com/monite-proxy/monite-proxy/proxy/strict"
)

const (
	// maxHeaderBytes and maxHeaderFields limit the head of a request; the guard
	// responds above them. The server's own limit is higher, so that the response is
	// ours and not its plain text.
	maxHeaderBytes  = 64 << 10
	maxHeaderFields = 128

	readHeaderTimeout = 5 * time.Second
	// idleTimeout is longer than the pools of apps keep a connection, which is a minute
	// or two, five with some: else we would close just as a request comes.
	idleTimeout = 10 * time.Minute
)

// NewServer makes the server of the data listener. It has no total time-outs,
// because responses stream: the body steps have limits on progress instead.
//
// key is that of the listener of a named identity, as identity.Named.Listener has it;
// empty for the main one.
func NewServer(handler http.Handler, key string, errorLog *log.Logger) *StdServer {
	server := &StdServer{http: http.Server{
		Handler:           handler,
		ErrorLog:          errorLog,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    2 * maxHeaderBytes,
		// net/http would respond to OPTIONS * by itself, before the guard.
		DisableGeneralOptionsHandler: true,
		ConnContext:                  connContext(key),
		Protocols:                    new(http.Protocols),
	}}
	server.http.ConnState = server.observe
	server.http.Protocols.SetHTTP1(true)
	return server
}

// NewStrictServer makes the server that takes only heads which can be read in one
// way. The handler responds to heads that it refuses, logs and counts them. key is as
// for NewServer.
func NewStrictServer(handler strictHandler, key string, errorLog *log.Logger) *strict.Server {
	return &strict.Server{
		Handler:           handler,
		Refuse:            handler.refuseHead,
		ErrorLog:          errorLog,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		ConnContext:       connContext(key),
	}
}

func connContext(key string) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, conn net.Conn) context.Context {
		if key != "" {
			ctx = context.WithValue(ctx, listenerKey{}, key)
		}
		return context.WithValue(ctx, connKey{}, conn)
	}
}

// conn returns the app's connection; nil if there is none, as in some tests.
func (c *call) conn() net.Conn {
	conn, _ := c.Value(connKey{}).(net.Conn)
	return conn
}

// strictHandler is a Handler or a Vendor.
type strictHandler interface {
	http.Handler
	refuseHead(w http.ResponseWriter, in *http.Request, why strict.Violation)
}

func (h *Handler) refuseHead(w http.ResponseWriter, in *http.Request, why strict.Violation) {
	h.log.begin(h, w, in, time.Now()).endRefused(why)
}

func (v *Vendor) refuseHead(w http.ResponseWriter, in *http.Request, why strict.Violation) {
	v.log.begin(nil, w, in, time.Now()).endRefused(why)
}

// endRefused takes a request to its end of which no more is known than why its head
// was refused.
func (c *call) endRefused(why strict.Violation) {
	defer c.end()
	c.atDoor = true
	c.record.Violation = why.String()
	c.refuse(c.refused(headProblem(c.in.Method, why)))
}

// headProblem names what the guard would say if it had seen the request, and
// otherwise what no guard can see.
func headProblem(method string, why strict.Violation) *problem {
	switch why {
	case strict.Target:
		if !methodAllowed(method) { // OPTIONS *, CONNECT host:port
			return &problemMethod
		}
		return &problemTarget
	case strict.Preface:
		return &problemMethod
	case strict.TargetTooLong:
		return &problemTargetTooLong
	case strict.HeadTooLarge:
		return &problemHeaderTooLarge
	case strict.HostMalformed:
		return &problemHost
	case strict.Version:
		return &problemVersion
	case strict.Coding:
		return &problemCoding
	case strict.Expectation:
		return &problemExpectation
	}
	return &problemFraming
}

type (
	connKey     struct{} // of the app's net.Conn
	listenerKey struct{} // of the key of a named identity's listener
)

// listenerOf returns the key of the listener, as identity.Named.Listener has it;
// empty for the main one.
func listenerOf(ctx context.Context) string {
	key, _ := ctx.Value(listenerKey{}).(string)
	return key
}

// resetIfUndelimited makes the end of an app's connection a reset, where a
// plain end would make a cut-off response look complete: to an HTTP/1.0 app, to
// which a response of unknown length ends with its connection. A unix socket has
// no reset.
func resetIfUndelimited(in *http.Request, length int64) {
	if length >= 0 || in.ProtoAtLeast(1, 1) {
		return
	}
	conn, _ := in.Context().Value(connKey{}).(net.Conn)
	conn = socket.Bare(conn)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	if in.TLS != nil && conn != nil {
		// Now, because net/http would say close_notify first: the end of a whole
		// response (RFC 8446 section 6.1).
		_ = conn.Close()
	}
}
