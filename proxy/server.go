package proxy

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"time"
)

const (
	// maxHeaderBytes and maxHeaderFields bound the head of a request; the guard
	// answers above them. The server's own limit is higher, so that the answer is
	// ours and not its plain text.
	maxHeaderBytes  = 64 << 10
	maxHeaderFields = 128
)

// NewServer makes the server of the data listener. It has no total time-outs,
// because answers stream: the body steps have limits on progress instead.
func NewServer(handler http.Handler, errorLog *log.Logger) *http.Server {
	server := &http.Server{
		Handler:           handler,
		ErrorLog:          errorLog,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    2 * maxHeaderBytes,
		// net/http would answer OPTIONS * by itself, before the guard.
		DisableGeneralOptionsHandler: true,
	}
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	return server
}

type connKey struct{}

// resetIfUndelimited makes the end of an app's connection a reset, where a
// plain end would make a cut-off answer look complete: to an HTTP/1.0 app, to
// which an answer of unknown length ends with its connection. A unix socket has
// no reset.
func resetIfUndelimited(in *http.Request, length int64) {
	if length >= 0 || in.ProtoAtLeast(1, 1) {
		return
	}
	conn, _ := in.Context().Value(connKey{}).(net.Conn)
	encrypted, isTLS := conn.(*tls.Conn)
	if isTLS {
		conn = encrypted.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	if isTLS {
		// Now, because net/http would say close_notify first: the end of a whole
		// answer (RFC 8446 section 6.1).
		_ = conn.Close()
	}
}
