package proxy

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

// call is one request, from the access log inwards: what its steps, which are
// methods of it, know of it so far. A later request may use it again (reuse.go).
//
// It is also the request's context, and holds the values that every request needs: a
// chain of context.WithValue would be an allocation and a longer search for each, and
// chi, which finds its own context here, makes no copy of the request to put one in.
type call struct {
	context.Context // the server's

	handler *Handler // nil on the vend listener
	log     *accessLog
	w       http.ResponseWriter
	in      *http.Request // its context is this call

	record Record // what is reported afterwards
	atDoor bool   // the guard, or the server, has not let it in

	// Set by locate.
	view       *identity.View // the policy that the request began with
	arrival    identity.Arrival
	path       string // of the request target without the path prefix of an identity, as it came
	route      int    // what routes.Find says of path
	nearPrefix bool   // the path begins nearly as that of an identity
	routed     chi.Context

	// Set by identify.
	identity    identity.Identity
	explanation *explanation // nil unless the app asked for one

	body requestBody // set by openBody

	// Kept while the request is sent.
	span     Span           // nil without traces
	attempts int            // made so far, counted only with traces
	trace    upstream.Trace // of the last attempt
	// unsure says that an attempt broke after it was sent, and was followed by
	// another. What became of the other says nothing of the first.
	unsure bool
	// rejected says that upstream refused the token, and that there was no new one.
	rejected bool
	// tokenRefused says that upstream's response, which the app gets, refuses the
	// token.
	tokenRefused bool

	// Of a write that is remembered.
	claim    *writes.Claim // nil: none, or it has ended
	copied   *copied       // upstream's response, if it may be needed again
	followed bool          // by another call, which writes the audit line

	// Only in the call that follows a write.
	listener  string
	peer      uint32
	peerKnown bool

	room room
}

// Value implements context.Context.
func (c *call) Value(key any) any {
	switch key {
	case chi.RouteCtxKey:
		return &c.routed
	case upstream.TraceKey{}:
		return &c.trace
	case upstream.Followable{}: // a write that is remembered
		return c.claim != nil
	}
	return c.Context.Value(key)
}

// step makes a handler of a step, for the router.
func step(do func(*call)) http.HandlerFunc {
	return func(_ http.ResponseWriter, in *http.Request) { do(in.Context().(*call)) }
}
