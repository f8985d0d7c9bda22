package strict

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"time"
)

// Handshake makes the handshake of an app's connection within limit. What goes wrong is
// written to errorLog, which may be nil.
func Handshake(ctx context.Context, secured *tls.Conn, limit time.Duration, errorLog *log.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := secured.HandshakeContext(ctx)
	if err == nil {
		return nil
	}
	if errorLog != nil {
		errorLog.Printf("http: TLS handshake error from %s: %v", secured.RemoteAddr(), err)
	}
	sayHTTPS(err, limit)
	return err
}

// sayHTTPS tells an app that it speaks plain HTTP on a TLS port, in the words of
// net/http.
func sayHTTPS(err error, limit time.Duration) {
	other, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || other.Conn == nil {
		return
	}
	switch string(other.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO":
		_ = other.Conn.SetWriteDeadline(time.Now().Add(limit))
		_, _ = io.WriteString(other.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
}
