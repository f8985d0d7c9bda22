package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
)

// listener can stop without losing a connection: close would reset those that
// the kernel has accepted and Accept has not returned yet.
type listener struct {
	net.Listener
	kept     bool // by the service manager: it outlives this process
	stopping atomic.Bool
	emptied  chan struct{} // closed when waiting is complete
	waiting  []net.Conn    // what was in the kernel's queue at the end
	left     chan struct{} // closed by whoever calls Accept, when it calls no more
}

// lastHandshakes is how long handshakes that have begun may take to end.
const lastHandshakes = 20 * time.Millisecond

// openListener opens a TCP listener or a unix socket.
func openListener(at config.Listen) (*listener, error) {
	if kept, err := inherited(at); kept != nil || err != nil {
		return &listener{Listener: kept, kept: true, emptied: make(chan struct{}), left: make(chan struct{})}, err
	}
	if at.Network == "unix" {
		if err := removeStaleSocket(at.Address); err != nil {
			return nil, err
		}
	}
	opened, err := listenPrivately(at.Network, at.Address)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: opened, emptied: make(chan struct{}), left: make(chan struct{})}, nil
}

// Accept returns connections until stop, then those that were waiting.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil || !l.stopping.Load() {
		return conn, err
	}
	<-l.emptied
	if len(l.waiting) == 0 {
		return nil, net.ErrClosed
	}
	conn, l.waiting = l.waiting[0], l.waiting[1:]
	return conn, nil
}

// stop takes what waits in the kernel's queue and closes. When it returns, all
// connections have been returned by Accept and are known to the server.
func (l *listener) stop() {
	// What waits at a kept socket is for the next process.
	if !l.kept && beginNoMore(l.Listener) {
		time.Sleep(lastHandshakes) // Accept goes on meanwhile
	}
	l.stopping.Store(true)
	if blocked, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = blocked.SetDeadline(time.Unix(1, 0)) // wakes Accept
	}
	if !l.kept {
		l.waiting = emptyQueue(l.Listener)
	}
	close(l.emptied)
	_ = l.Listener.Close()
	<-l.left
}

// removeStaleSocket removes a socket that nobody listens on any more. It
// replaces nothing else.
func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen unix %s: there is something that is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	// Only a refusal says that nobody listens. A full queue and a socket of
	// another user give other errors.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen unix %s: another process listens there", path)
	}
	return os.Remove(path)
}
