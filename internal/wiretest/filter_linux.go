package wiretest

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Filter drops segments of a socket before TCP sees them: no acknowledgement, no
// reset. It is a partition, or a lossy link, in the direction to the socket, and
// it needs neither a firewall nor tc.
type Filter []unix.SockFilter

var (
	// DropAll is a partition.
	DropAll = Filter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	// DropThirty drops three segments in ten, by the random word of SKF_AD_RANDOM.
	DropThirty = Filter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0xfffff000 + 56},
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: 0xffffffff / 10 * 3, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	// DropLarge silently drops what a path with a small MTU would.
	DropLarge = Filter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_LEN},
		{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: 1400, Jt: 1, Jf: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
)

// FilterSocket sets a filter on a listener or a connection; nil takes it away.
// Accepted connections inherit that of their listener.
func FilterSocket(socket any, filter Filter) bool {
	control, ok := socket.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := control.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		if filter == nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
			return
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	})
	return err == nil
}

// ListenPlain listens without Multipath TCP, whose sockets take no filter.
func ListenPlain(addr string) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	return config.Listen(context.Background(), "tcp", addr)
}
