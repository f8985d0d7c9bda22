package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
)

// firstInherited is the first descriptor that a service manager hands over
// (sd_listen_fds(3)).
const firstInherited = 3

// maxInherited limits the number of sockets that LISTEN_FDS may name.
const maxInherited = 64

// handedOver holds the sockets that the service manager has opened for us and that
// are not taken yet.
var handedOver = sync.OnceValues(func() (map[string]net.Listener, error) {
	sockets := map[string]net.Listener{}
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return sockets, nil // none, or meant for another process
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > maxInherited {
		return nil, errors.New("LISTEN_FDS is not a number of sockets")
	}
	for fd := firstInherited; fd < firstInherited+n; fd++ {
		file := os.NewFile(uintptr(fd), "")
		opened, err := net.FileListener(file) // a copy, closed in programs that we might start
		_ = file.Close()
		if err != nil {
			return nil, fmt.Errorf("socket %d of the service manager: %w", fd, err)
		}
		sockets[opened.Addr().String()] = opened
	}
	return sockets, nil
})

// takeInherited returns the service manager's socket for an address, or nil
// without one.
func takeInherited(network, address string) (net.Listener, error) {
	sockets, err := handedOver()
	for name, opened := range sockets {
		if sameAddress(opened.Addr(), network, address) {
			delete(sockets, name)
			return opened, nil
		}
	}
	return nil, err
}

// Unclaimed returns an error if the service manager has opened a socket that no Open
// has taken. Nothing would respond there, and the configuration alone says where the
// sidecar listens. It is called once every listener is open.
func Unclaimed() error {
	sockets, err := handedOver()
	for name := range sockets {
		return fmt.Errorf("the service manager listens on %s, which is not the address of a listener here", name)
	}
	return err
}

func sameAddress(got net.Addr, network, address string) bool {
	tcp, isTCP := got.(*net.TCPAddr)
	if !isTCP || network != "tcp" {
		return got.Network() == network && got.String() == address
	}
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil || want.Port != tcp.Port {
		return false
	}
	if want.IP == nil || want.IP.IsUnspecified() {
		return tcp.IP.IsUnspecified()
	}
	return want.IP.Equal(tcp.IP)
}
