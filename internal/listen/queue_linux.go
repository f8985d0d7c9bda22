package listen

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxWaiting limits the connections that are taken from the queue at the end.
const maxWaiting = 4096

// dropSYN has a listening socket drop the segments that begin a connection (byte
// 13 of the TCP header, the flag SYN) and pass those of a connection under way.
var dropSYN = [...]unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 0x02, Jt: 0, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
}

// beginNoMore stops new connections from beginning. Those in the kernel's queue
// stay there. It reports whether handshakes may be under way.
//
// Without it: emptyQueue finds the queue empty; an app's handshake ends and it
// sends its request; emptyQueue shuts the socket, and the app gets a reset. An
// app whose SYN is dropped sends it again, and is refused then.
func beginNoMore(opened net.Listener) (handshakes bool) {
	control(opened, func(fd int) {
		if _, tcp := opened.(*net.TCPListener); tcp {
			program := unix.SockFprog{Len: uint16(len(dropSYN)), Filter: &dropSYN[0]}
			handshakes = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program) == nil
		}
	})
	return handshakes
}

func control(opened net.Listener, do func(fd int)) {
	withFD, ok := opened.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := withFD.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { do(int(fd)) })
	}
}

// emptyQueue accepts the connections that the kernel has queued, and shuts the
// queue.
func emptyQueue(opened net.Listener) (waiting []net.Conn) {
	// A unix socket keeps its queue when it is shut; a TCP socket resets it.
	if _, tcp := opened.(*net.TCPListener); !tcp {
		shut(opened)
	}
	waiting = takeQueue(opened)
	shut(opened)
	return waiting
}

func shut(opened net.Listener) {
	control(opened, func(fd int) { _ = unix.Shutdown(fd, unix.SHUT_RD) })
}

// takeQueue accepts the connections that the kernel has queued.
func takeQueue(opened net.Listener) (waiting []net.Conn) {
	var accepted []int
	control(opened, func(fd int) {
		for len(accepted) < maxWaiting {
			conn, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == unix.EINTR || err == unix.ECONNABORTED {
				continue
			}
			if err != nil {
				break
			}
			accepted = append(accepted, conn)
		}
	})
	for _, fd := range accepted {
		file := os.NewFile(uintptr(fd), "")
		if conn, err := net.FileConn(file); err == nil {
			waiting = append(waiting, conn)
		}
		_ = file.Close()
	}
	return waiting
}
