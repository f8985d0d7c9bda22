package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/monite-proxy/monite-proxy/config"
)

// freePorts limits the tries to find a port for port 0 of localhost, whose ::1 may be
// taken where 127.0.0.1 is free.
const freePorts = 20

// openPorts opens the TCP sockets of an address: one, or for localhost that of ::1
// as well, where the host has it.
func openPorts(at config.Listen) ([]openSocket, error) {
	addresses := at.Addresses()
	for try := 0; ; try++ {
		first, err := openPort(addresses[0])
		if err != nil || len(addresses) == 1 {
			return []openSocket{first}, err
		}
		_, port, _ := net.SplitHostPort(first.Addr().String())
		second, err := openPort(net.JoinHostPort("::1", port))
		if err == nil {
			return []openSocket{first, second}, nil
		}
		if noSuchAddress(err) {
			return []openSocket{first}, nil // a host without ::1 has no apps that call it
		}
		_ = first.Close()
		_, asked, _ := net.SplitHostPort(addresses[0])
		if asked == "0" && errors.Is(err, syscall.EADDRINUSE) && try < freePorts {
			continue
		}
		// To go on would be to leave apps that take ::1 for localhost to a stranger.
		return nil, fmt.Errorf("localhost is 127.0.0.1 and ::1, and the second cannot be opened: %w", err)
	}
}

// openPort takes the service manager's socket, or opens one.
func openPort(address string) (openSocket, error) {
	inherited, err := takeInherited("tcp", address)
	if inherited != nil || err != nil {
		return openSocket{inherited, true}, err
	}
	// Go listens with Multipath TCP where it can. Its sockets take no filter, and
	// between programs of one host it is of no use.
	var listen net.ListenConfig
	listen.SetMultipathTCP(false)
	opened, err := listen.Listen(context.Background(), "tcp", address)
	return openSocket{opened, false}, err
}
