// Package upstream is an http.RoundTripper to one origin over HTTP/1.1
// connections of its own. A round trip is one attempt, and every error says whether
// upstream may have acted on it: upstream moves money and knows no idempotency keys.
//
// Why not http.Transport, which repeats some requests by itself? As of Go 1.26 it
// repeats none that has a body other than nil and http.NoBody and no GetBody. With
// an empty body of that kind for requests without one, HTTP/1 alone and a net.Conn
// that counts what was written, it could be held to one attempt and to NotSent in a
// few hundred lines, at the price of an empty chunked body on each write that has
// none. So safety is half of the reason. The other half is CPU: a request takes about
// two thirds of the time here, and 12 allocations instead of 53 (BenchmarkGet).
//
// The walk of a request:
//
//  1. Transport.RoundTrip (transport.go) makes an exchange (exchange.go). The
//     head, and a small body that is in memory, are written into a buffer
//     (write.go). All that can be wrong with a request is found here, before
//     any connection is touched.
//  2. pool.get (pool.go) gives an idle connection whose socket is silent
//     (peek_unix.go), or a slot in which to dial: TCP, CONNECT through a proxy
//     if there is one, TLS (dial.go). A read that waits for its dial takes a
//     connection that becomes free first (waiter.go). Above MaxConns requests wait in order.
//     While there is traffic one idle connection is replaced before it is of no
//     use any more (warm.go).
//  3. The buffer leaves in one write. A streamed body follows on a goroutine of
//     its own (upload.go), so that an early response is seen.
//  4. The caller's goroutine reads the response (read.go): interim responses
//     are skipped, the head is parsed in place (head.go, field.go). It means what
//     http.ReadResponse would read in it, which a fuzz target compares; what is
//     refused beyond that is said at parseHead and chunks.
//  5. The exchange becomes the response's body (body.go, chunk.go). At its true
//     end the connection goes back to the pool; at anything else it is closed,
//     and Read says so.
//
// What is never done: a second attempt, a redirect, decompression, a cookie,
// HTTP/2, reading the environment.
//
// How NotSent is known: wire (conn.go) sits below TLS and counts the bytes that the
// kernel accepted since the request began. Zero is NotSent; one is Unknown, since it
// is not known what upstream did with it.
//
// Who closes what: an exchange owns its connection from connect to release or
// drop, and drop closes the socket. Cancellation closes the socket too, from
// another goroutine (watch.go); whatever blocks on it returns, and the
// exchange's own goroutine does the rest. An upload is waited for, except inside the
// caller's own body Read. A write that was sent whole is not closed if its caller
// wants it followed to its end (follow.go): the caller gets the open exchange along
// with the error. Abort closes the sockets of all.
//
// error.go has the errors and the outcomes, trace.go what a round trip tells of
// itself, peek_other.go the systems on which a socket cannot be looked into.
package upstream
