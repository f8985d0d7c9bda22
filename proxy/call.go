package proxy

import (
	"context"

	"github.com/go-chi/chi/v5"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// call is the context of one request, from the access log inwards. It answers
// by itself for what every request asks for: a chain of context.WithValue would
// be an allocation and a longer search for each, and chi, which finds its own
// context here, makes no copy of the request to put one in.
type call struct {
	context.Context
	record *Record
	routed chi.Context
}

type recordKey struct{}

// newCall returns the context of the request that record is about.
func newCall(ctx context.Context, record *Record) *call {
	return &call{Context: upstream.WithTrace(ctx, &record.trace), record: record}
}

// Value implements context.Context.
func (c *call) Value(key any) any {
	switch key {
	case recordKey{}:
		return c.record
	case chi.RouteCtxKey:
		return &c.routed
	}
	return c.Context.Value(key)
}

func recordFrom(ctx context.Context) *Record {
	r, _ := ctx.Value(recordKey{}).(*Record)
	return r
}

// routeBy has chi look at path, and not at the one that still has the prefix of
// an identity.
func routeBy(ctx context.Context, path string) {
	if c := chi.RouteContext(ctx); c != nil {
		c.RoutePath = path
	}
}
