// Package socket reads and writes connected sockets without telling the Go
// scheduler that a system call is under way.
//
// A socket of package net never blocks in the kernel: what cannot be done at
// once is waited for by the poller. Even so each read and write is announced as
// a call that may block, and the first one after a pause wakes the scheduler's
// monitor thread, which then looks at the process every 20 µs until it is idle
// again. At 1,000 requests a second that thread cost a quarter of the sidecar's
// CPU: four wake-ups per request. Here the same calls go to the kernel directly.
// Deadlines, waiting and closing are package net's as before (syscall.RawConn).
//
// Gone (gone_linux.go; elsewhere, gone_other.go, it does not know) asks the kernel whether the peer took what was written to it;
// Broke asks once more at the end.
//
// It is for what Linux does on amd64 and arm64; elsewhere, under the race detector
// (which learns from package syscall what a read writes), and for connections that
// are not sockets, it is package net's own Read and Write.
//
//	socket_linux.go   Read and Write (socket_other.go: package net's)
//	buffer.go         a read that needs no buffer while it waits
//	bare.go           what is below TLS
//	peek_unix.go      a look at what can be read, without taking it
//	deadline.go       a deadline that is moved rarely
//	peer.go           the user at the other end of a unix socket (peer_linux.go,
//	                  peer_darwin.go, peer_other.go)
package socket
