package main

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/monite-proxy/monite-proxy/config"
)

// firstInherited is the descriptor of the first socket that systemd hands over
// (sd_listen_fds(3)).
const firstInherited = 3

// openDataListener takes the socket that the service manager has opened, or
// opens one.
func openDataListener(at config.Listen) (*listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return openListener(at) // none, or meant for another process
	}
	if n := os.Getenv("LISTEN_FDS"); n != "1" {
		return nil, fmt.Errorf("%s sockets were handed over, want one, the data listener's", n)
	}
	file := os.NewFile(firstInherited, "data listener")
	opened, err := net.FileListener(file) // a copy, closed in programs that we might start
	_ = file.Close()
	if err != nil {
		return nil, fmt.Errorf("the socket that was handed over: %w", err)
	}
	// What may be bound is decided by the configuration; a socket from elsewhere
	// is no way around it.
	if got := opened.Addr(); !sameAddress(got, at) {
		_ = opened.Close()
		return nil, fmt.Errorf("the socket that was handed over listens on %s, want %s", got, at)
	}
	return &listener{Listener: opened, kept: true, emptied: make(chan struct{}), left: make(chan struct{})}, nil
}

func sameAddress(got net.Addr, at config.Listen) bool {
	tcp, isTCP := got.(*net.TCPAddr)
	if !isTCP || at.Network != "tcp" {
		return got.Network() == at.Network && got.String() == at.Address
	}
	want, err := net.ResolveTCPAddr("tcp", at.Address)
	if err != nil || want.Port != 0 && want.Port != tcp.Port {
		return false
	}
	if want.IP == nil || want.IP.IsUnspecified() {
		return tcp.IP.IsUnspecified()
	}
	return want.IP.Equal(tcp.IP)
}
