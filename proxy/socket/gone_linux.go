package socket

import (
	"net"
	"syscall"
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

// ask looks at a unix socket for events, and at the state of a TCP connection.
func ask(nc net.Conn, events int16, state func(*unix.TCPInfo) bool) bool {
	nc = Bare(nc)
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	_, isUnix := nc.(*net.UnixConn)
	found := false
	_ = raw.Control(func(fd uintptr) {
		if isUnix {
			// Unlike a read, and SO_ERROR, this leaves the reset to whoever reads.
			look := []unix.PollFd{{Fd: int32(fd), Events: events}} //nolint:gosec // a descriptor
			n, err := unix.Poll(look, 0)
			found = err == nil && n > 0 && look[0].Revents&events != 0
			return
		}
		var info unix.TCPInfo
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // as package unix does
		found = errno == 0 && state(&info)
	})
	return found
}
