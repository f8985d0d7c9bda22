package upstream

import (
	"context"
	"net/http"
	"time"
)

// Trace receives the facts of one round trip. RoundTrip fills it on the
// caller's goroutine before it returns, error or not, and never touches it
// again. Use a new one, or a zeroed one, per round trip.
type Trace struct {
	// Room is the memory for the response's header. nil: made anew.
	Room *Room
	// DialDuration is the time for lookup, connect, CONNECT and TLS handshake;
	// 0 when an existing connection was used.
	DialDuration time.Duration
	// FieldNames are the names of the response's fields that upstream spells in
	// another way than http.Header: "Etag:ETag\n" for each. Valid as long as the
	// response.
	FieldNames string
}

// TraceKey is the key of a context's value, a *Trace, which its round trip fills.
type TraceKey struct{}

func traceOf(ctx context.Context) *Trace {
	trace, _ := ctx.Value(TraceKey{}).(*Trace)
	return trace
}

// Room holds the header of one response, and after Empty that of another one. It is
// for a caller that knows when the first one is no longer in use. A response that
// finds it taken gets a header of its own.
type Room struct {
	header http.Header
	values []string
	taken  bool
}

// What a Room keeps at most.
const roomFields, roomValues = 32, 32

// Take returns an empty header, and n values for it.
func (r *Room) Take(n int) (http.Header, []string) {
	if r == nil || r.taken {
		return make(http.Header, n), make([]string, n)
	}
	r.taken = true
	if r.header == nil {
		r.header = make(http.Header, n)
	}
	if cap(r.values) < n {
		r.values = make([]string, n)
	}
	return r.header, r.values[:n]
}

// Empty makes room for the next response.
func (r *Room) Empty() {
	if len(r.header) > roomFields || len(r.values) > roomValues {
		*r = Room{}
		return
	}
	clear(r.header)
	clear(r.values)
	r.taken = false
}
