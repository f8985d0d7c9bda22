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
// written to nc. A peer that closes with bytes unread, or that receives bytes after
// it has closed, responds with a reset. Reads may not show that: after a FIN they say
// nothing but the end. It takes nothing from the connection. false if nc is neither a
// TCP connection nor a unix socket, or is closed already.
func Gone(nc net.Conn) bool {
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
	gone := false
	_ = raw.Control(func(fd uintptr) {
		if isUnix {
			// Unlike a read, and SO_ERROR, this leaves the reset for the next reader.
			look := []unix.PollFd{{Fd: int32(fd)}} //nolint:gosec // a descriptor
			n, err := unix.Poll(look, 0)
			gone = err == nil && n > 0 && look[0].Revents&unix.POLLERR != 0
			return
		}
		var info unix.TCPInfo
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // as package unix does
		if errno == 0 {
			gone = info.State == tcpClose || info.State == tcpCloseWait && (info.Unacked > 0 || info.Notsent_bytes > 0)
		}
	})
	return gone
}
