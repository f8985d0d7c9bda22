package upstream

import (
	"context"
	"time"
)

// Trace receives the facts of one round trip. RoundTrip fills it on the
// caller's goroutine before it returns, error or not, and never touches it
// again. Use a new one, or a zeroed one, per round trip.
type Trace struct {
	// DialDuration is the time for lookup, connect, CONNECT and TLS handshake;
	// 0 when an existing connection was used.
	DialDuration time.Duration
	// FieldNames are the names of the answer's fields that upstream spells in another
	// way than http.Header: "Etag:ETag\n" for each. Good as long as the answer.
	FieldNames string
}

type traceKey struct{}

// WithTrace returns a context whose round trip fills trace.
func WithTrace(ctx context.Context, trace *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

func traceOf(ctx context.Context) *Trace {
	trace, _ := ctx.Value(traceKey{}).(*Trace)
	return trace
}
