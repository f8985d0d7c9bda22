package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// Op names the step at which a round trip failed.
type Op string

// The steps, in the order in which a request meets them.
const (
	OpRequest   Op = "request"    // the request itself cannot be sent: method, target, field, length
	OpConnLimit Op = "conn_limit" // waiting for one of MaxConns connections
	OpDial      Op = "dial"       // name lookup and TCP connect
	OpProxy     Op = "proxy"      // reaching the forward proxy, or its response to CONNECT
	OpTLS       Op = "tls"        // handshake with the origin
	OpWrite     Op = "write"      // sending the request
	OpBody      Op = "body"       // reading the caller's request body
	OpRead      Op = "read"       // waiting for the response, or reading it
)

// Outcome says whether upstream may have acted on a request.
type Outcome string

const (
	// NotSent: the kernel accepted no byte of this request. Sending it again
	// is safe. A TLS handshake alone still counts as NotSent.
	NotSent Outcome = "not_sent"
	// Unknown: at least one byte went out, so upstream may have executed the
	// request, whatever happened afterwards.
	Unknown Outcome = "unknown"
)

// Error is every error of RoundTrip, and of the response body's Read. Its text
// never holds a field value, a body or a proxy's credentials.
type Error struct {
	Op      Op
	Outcome Outcome
	// Timeout: a limit of the Transport or the context's deadline passed.
	Timeout bool
	// Reused: the connection was not made for this request.
	Reused bool
	// Rest is not nil if the request was Followable and the exchange can go on: its
	// owner must then call one of its methods. Only RoundTrip returns one.
	Rest *Rest
	Err  error
}

func (e *Error) Error() string {
	return fmt.Sprintf("upstream: %s (%s): %v", e.Op, e.Outcome, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Errors with fixed texts. The parsers of the standard library quote what they
// could not parse, which may be a field value; so their texts are dropped.
var (
	errNoOrigin       = errors.New("no usable Origin: want an http or https URL with a host")
	errNoURL          = errors.New("request has no URL")
	errOtherHost      = errors.New("request URL names another host than Origin")
	errOtherScheme    = errors.New("request URL has another scheme than Origin")
	errMethod         = errors.New("invalid method")
	errConnectMethod  = errors.New("method CONNECT is not for a round trip")
	errTarget         = errors.New("invalid request target")
	errHost           = errors.New("invalid Host")
	errLengthNoBody   = errors.New("ContentLength > 0 without a body")
	errBodyTooLong    = errors.New("request body is longer than its ContentLength")
	errBodyTooShort   = fmt.Errorf("request body is shorter than its ContentLength: %w", io.ErrUnexpectedEOF)
	errLimit          = fmt.Errorf("every connection is busy: %w", os.ErrDeadlineExceeded)
	errProxyFunc      = errors.New("the Proxy function returned an error")
	errProxyScheme    = errors.New("proxy URL is not http or https with a host")
	errProxyPlain     = errors.New("a plaintext origin is never reached through a proxy")
	errProxyEarly     = errors.New("proxy sent bytes before the tunnel was used")
	errProxyMalformed = errors.New("malformed response to CONNECT")
	errHeadTooLarge   = errors.New("response head is larger than MaxResponseHeaderBytes")
	errHeadMalformed  = errors.New("malformed response head")
	errSwitching      = errors.New("upstream responded with 101 to a request without Upgrade")
	errInterim        = errors.New("too many interim responses")
	errBodyMalformed  = errors.New("malformed response body")
	errNoCloseNotify  = fmt.Errorf("TLS ended without close_notify: %w", io.ErrUnexpectedEOF)
	errStopped        = errors.New("exchange is over")
	errAborted        = errors.New("the transport was aborted")
	errPanic          = errors.New("making a connection panicked")
)

// contextError keeps both the context's error and a caller's cause visible to
// errors.Is.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(cause, err) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout()
}
