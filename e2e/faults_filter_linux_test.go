package e2e

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// A filter on a socket drops segments before TCP sees them: no acknowledgement,
// no reset. It is a partition, or a lossy link, in the direction to the socket,
// and it needs neither a firewall nor tc.
type segmentFilter []unix.SockFilter

var (
	dropAll = segmentFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	// dropThirty drops three segments in ten, by the random word of SKF_AD_RANDOM.
	dropThirty = segmentFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0xfffff000 + 56},
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: 0xffffffff / 10 * 3, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	// dropLarge drops what a path with a small MTU would, and tells nobody.
	dropLarge = segmentFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_LEN},
		{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: 1400, Jt: 1, Jf: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
)

// filterSocket sets a filter on a listener or a connection; nil takes it away.
// Accepted connections inherit that of their listener.
func filterSocket(socket any, filter segmentFilter) bool {
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

func listenPlain(addr string) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	return config.Listen(context.Background(), "tcp", addr)
}
