package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/proxy/socket"
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
	options  listenOptions
	socket   *socketFile // nil: a TCP listener
	unlink   sync.Once
}

// listenOptions say who gets in. Without any, a port is open to whoever reaches
// it, a unix socket to its user.
type listenOptions struct {
	// TLS: Accept returns *tls.Conn, before the handshake. Nil: plain connections.
	TLS *tls.Config
	// Mode are the permission bits of a unix socket. Zero: 0600.
	Mode fs.FileMode
	// PeerUIDs are the users whose processes may connect to a unix socket. Nil: the
	// permissions alone decide. For a port it must be nil: it has no users.
	PeerUIDs []uint32
	// Refused is told of each connection of another user, which is closed. May be
	// nil.
	Refused func(uid uint32)
}

// lastHandshakes is how long handshakes that have begun may take to end.
const lastHandshakes = 20 * time.Millisecond

// openListener opens a TCP listener or a unix socket.
func openListener(at config.Listen, options listenOptions) (*listener, error) {
	if options.PeerUIDs != nil && !socket.KnowsPeers {
		return nil, fmt.Errorf("listen %s: the users of connections are not known on this system", at)
	}
	l := &listener{emptied: make(chan struct{}), left: make(chan struct{}), options: options}
	kept, err := inherited(at)
	switch {
	case kept != nil || err != nil:
		l.Listener, l.kept = kept, true
	case at.Network == "unix":
		l.Listener, l.socket, err = listenSocket(at.Address, options.Mode)
	default:
		// Go listens with Multipath TCP where it can. Its sockets take no filter, and
		// between programs of one host it is of no use.
		var listen net.ListenConfig
		listen.SetMultipathTCP(false)
		l.Listener, err = listen.Listen(context.Background(), at.Network, at.Address)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Accept returns connections of users that may connect.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.next()
		if err != nil {
			return nil, err
		}
		uid, allowed := l.admits(conn)
		if allowed && l.options.TLS != nil {
			return tls.Server(conn, l.options.TLS), nil
		}
		if allowed {
			return conn, nil
		}
		_ = conn.Close()
		if l.options.Refused != nil {
			l.options.Refused(uid)
		}
	}
}

func (l *listener) admits(conn net.Conn) (uid uint32, allowed bool) {
	if l.options.PeerUIDs == nil {
		return 0, true
	}
	uid, known := socket.PeerUID(conn)
	return uid, known && slices.Contains(l.options.PeerUIDs, uid)
}

// next returns connections until stop, then those that were waiting.
func (l *listener) next() (net.Conn, error) {
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
	_ = l.Close()
	<-l.left
}

// Close removes the socket, if it is still ours, and closes.
func (l *listener) Close() error {
	l.unlink.Do(func() {
		if l.socket != nil {
			l.socket.remove()
		}
	})
	return l.Listener.Close()
}
