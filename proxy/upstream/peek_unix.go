//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package upstream

import (
	"syscall"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// liveness looks into the receive queue of an idle socket without taking
// anything out and without blocking.
type liveness struct {
	raw   syscall.RawConn
	look  func(fd uintptr) // made once per connection: a closure per look would allocate
	quiet bool
	byte1 [1]byte
}

func (l *liveness) init(conn any) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	l.raw = raw
	l.look = func(fd uintptr) {
		_, err := socket.Peek(fd, l.byte1[:])
		// Only "nothing there" is good. Data, FIN (0 bytes, no error) and RST all
		// mean that the next response would not be ours.
		l.quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK //nolint:errorlint // a bare errno
	}
}

// sees reports whether ok looks into the socket, and does not guess.
func (l *liveness) sees() bool { return l.raw != nil }

// ok reports whether the socket has neither data nor an end to deliver.
func (l *liveness) ok(idle time.Duration) bool {
	if l.raw == nil {
		return idle < blindIdle
	}
	l.quiet = false
	// Control and not Read: Read would refuse because of a read deadline that
	// passed while the connection was idle.
	return l.raw.Control(l.look) == nil && l.quiet
}
