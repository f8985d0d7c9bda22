// Package strict is an HTTP/1.1 server that takes only what can be read in one
// way. It calls the same http.Handler as net/http's server, and what it accepts
// net/http would read as the same request (FuzzSameAsNetHTTP), but for the Host of an
// app that comes by a unix socket, which nobody looks at; what two
// readers might understand differently it refuses, before any handler runs.
//
// The reason to have it is performance: the sidecar takes 0.74 of the CPU that it takes
// with net/http's server, and 11 MiB less with 1,000 idle clients (bench/RESULTS.md).
// That a head has one reading is the dividend: on the loopback there is no second
// parser past which something could be smuggled.
//
// The walk of a connection; a file is a step:
//
//	server.go     accepts, keeps count, stops (crowd.go: who makes room for a new one)
//	conn.go       one connection: one request after the other, reset in begin
//	buffer.go     reads up to the end of a head, in a buffer that grows and shrinks
//	exchange.go   one request: the handler, and what then becomes of the connection
//	handshake.go  the handshake, where the listener speaks TLS
//	head.go       bytes -> a head, or a Violation (field.go: names and values)
//	violation.go  what can be wrong with a head
//	body.go       the request's body (chunk.go: its lines; pace.go: its least rate)
//	gone.go       notices an app that goes away while its request is under way
//	answer.go     the http.ResponseWriter (framing.go: how a response is framed)
//	linger.go     what an app still sends after its response is read, not reset
//	deadline.go   deadlines that are moved rarely
//
// Between requests a connection keeps nothing: its read buffer, of which no handler
// ever sees a byte, is another's meanwhile. What a handler is given, the request with its
// fields and the ResponseWriter, a later request may be given too, emptied, if this
// one was a GET or HEAD without a body and its connection goes on (request.free). So a
// handler must keep none of it, and must say Connection: close where it cannot know
// whether it does: after a panic that it has caught. The strings in it are never
// written to again.
//
// A handler may ask whether the app has taken its response (OnTaken): that shows
// only by what the app does next, a request, an end in order, or a reset.
//
// It does not guess a Content-Type, sends no interim responses but 100 Continue, and
// drops trailers in both directions.
package strict
