package socket

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The states of a TCP connection that matter here (include/net/tcp_states.h).
const (
	tcpClose     = 7
	tcpCloseWait = 8
)

// KnowsGone reports whether Gone can be believed.
const KnowsGone = true

// Gone reports whether the peer is known to have gone before it took all that was
// written to nc. A peer that closes with bytes unread, or to which bytes come
// after it has closed, answers with a reset. Reads may not show that: after a
// FIN they say nothing but the end. It takes nothing from the connection. false
// if nc is neither a TCP connection nor a unix socket, or is closed already.
func Gone(nc net.Conn) bool {
	return ask(nc, unix.POLLERR, func(info *unix.TCPInfo) bool {
		return info.State == tcpClose || info.State == tcpCloseWait && (info.Unacked > 0 || info.Notsent_bytes > 0)
	})
}

// HungUp reports whether the peer is known to send nothing more. It takes nothing
// from the connection. false as in Gone.
func HungUp(nc net.Conn) bool {
	return ask(nc, unix.POLLERR|unix.POLLHUP|unix.POLLRDHUP, func(info *unix.TCPInfo) bool {
		return info.State == tcpClose || info.State == tcpCloseWait
	})
}

// endWait is more than the last packets of a connection take from a near peer.
const endWait = 100 * time.Millisecond

// Broke is for a connection whose own end is closed, and from which a read has returned
// err. If that is the peer's end, Broke reports whether a reset has come after it, because
// the peer had closed before it was sent the last bytes. It waits for the last packets.
// false if nc is not a TCP connection: others tell in time.
func Broke(nc net.Conn, err error) bool {
	if _, ok := Bare(nc).(*net.TCPConn); !ok || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	over := func(info *unix.TCPInfo) bool { return info.State == tcpClose }
	for begun := time.Now(); !ask(nc, unix.POLLERR, over) && time.Since(begun) < endWait; {
		time.Sleep(endWait / 100)
	}
	broke := false
	control(nc, func(fd uintptr, _ bool) { broke = polls(fd, unix.POLLERR) })
	return broke
}

// ask looks at a unix socket for events, and at the state of a TCP connection.
func ask(nc net.Conn, events int16, state func(*unix.TCPInfo) bool) (found bool) {
	control(nc, func(fd uintptr, isUnix bool) {
		if isUnix {
			found = polls(fd, events)
			return
		}
		var info unix.TCPInfo
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // as package unix does
		found = errno == 0 && state(&info)
	})
	return found
}

// control calls do with the descriptor of nc, if it has one.
func control(nc net.Conn, do func(fd uintptr, isUnix bool)) {
	nc = Bare(nc)
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		_, isUnix := nc.(*net.UnixConn)
		_ = raw.Control(func(fd uintptr) { do(fd, isUnix) })
	}
}

// polls reports whether one of events has come. Unlike a read, and SO_ERROR, it leaves a
// reset to whoever reads.
func polls(fd uintptr, events int16) bool {
	look := []unix.PollFd{{Fd: int32(fd), Events: events}} //nolint:gosec // a descriptor
	n, err := unix.Poll(look, 0)
	return err == nil && n > 0 && look[0].Revents&events != 0
}
