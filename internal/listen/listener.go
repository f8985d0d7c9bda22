package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// Server serves the connections of a Listener: an http.Server, or one like it.
type Server interface {
	// Serve returns http.ErrServerClosed after Shutdown or Close.
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

// Options say who may connect. Without any, a port is open to everyone who
// reaches it, a unix socket to its own user.
type Options struct {
	// TLS: Accept returns *tls.Conn, before the handshake. Nil: plain connections.
	TLS *tls.Config
	// Mode holds the permission bits of a unix socket. Zero: 0600.
	Mode fs.FileMode
	// PeerUIDs are the users whose processes may connect to a unix socket. Nil: the
	// permissions alone decide. A port must have nil: its connections have no users.
	PeerUIDs []uint32
	// Refused is told of each connection of another user, which is closed. May be
	// nil.
	Refused func(uid uint32)
}

// Listener can stop without losing a connection. A plain close would reset the
// connections that the kernel has accepted and Accept has not returned yet.
type Listener struct {
	at        config.Listen
	options   Options
	opened    net.Listener
	inherited bool        // from the service manager: it outlives this process
	socket    *socketFile // nil: a TCP listener, or an inherited one
	unlink    sync.Once

	stopping atomic.Bool
	emptied  chan struct{} // closed when waiting is complete
	waiting  []net.Conn    // the kernel's queue at the end
	left     chan struct{} // closed when Accept is not called any more
}

// lastHandshakes bounds the time that handshakes under way get to end.
const lastHandshakes = 20 * time.Millisecond

// Open opens a TCP listener or a unix socket, or takes over the one that the
// service manager has opened at that address.
func Open(at config.Listen, options Options) (*Listener, error) {
	if options.PeerUIDs != nil && !socket.KnowsPeers {
		return nil, fmt.Errorf("listen %s: the users of connections are not known on this system", at)
	}
	l := &Listener{at: at, options: options, emptied: make(chan struct{}), left: make(chan struct{})}
	inherited, err := takeInherited(at)
	switch {
	case inherited != nil || err != nil:
		l.opened, l.inherited = inherited, true
	case at.Network == "unix":
		l.opened, l.socket, err = listenSocket(at.Address, options.Mode)
	default:
		// Go listens with Multipath TCP where it can. Its sockets take no filter, and
		// between programs of one host it is of no use.
		var listen net.ListenConfig
		listen.SetMultipathTCP(false)
		l.opened, err = listen.Listen(context.Background(), at.Network, at.Address)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Addr is the address that was opened, with the port that port 0 became.
func (l *Listener) Addr() net.Addr { return l.opened.Addr() }

// Serve has server serve the connections, and returns nil after Stop. It is
// called once.
func (l *Listener) Serve(server Server) error {
	defer close(l.left)
	err := server.Serve(l)
	if l.stopping.Load() || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Accept returns connections of users that may connect.
func (l *Listener) Accept() (net.Conn, error) {
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

func (l *Listener) admits(conn net.Conn) (uid uint32, allowed bool) {
	if l.options.PeerUIDs == nil {
		return 0, true
	}
	uid, known := socket.PeerUID(conn)
	return uid, known && slices.Contains(l.options.PeerUIDs, uid)
}

// next returns connections until Stop, then those that were waiting.
func (l *Listener) next() (net.Conn, error) {
	conn, err := l.opened.Accept()
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

// Stop accepts the connections in the kernel's queue and closes. When it
// returns, Accept has returned all of them, and the address is free again. It
// waits for Serve: a Listener that nobody serves is ended by Close.
func (l *Listener) Stop() {
	// What waits at an inherited socket is for the next process.
	if !l.inherited && beginNoMore(l.opened) {
		time.Sleep(lastHandshakes) // Accept goes on meanwhile
	}
	l.stopping.Store(true)
	if blocked, ok := l.opened.(interface{ SetDeadline(time.Time) error }); ok {
		_ = blocked.SetDeadline(time.Unix(1, 0)) // wakes Accept
	}
	if !l.inherited {
		l.waiting = emptyQueue(l.opened)
	}
	close(l.emptied)
	_ = l.Close()
	<-l.left
}

// Close removes the socket, if it is still ours, and closes.
func (l *Listener) Close() error {
	l.unlink.Do(func() {
		if l.socket != nil {
			l.socket.remove()
		}
	})
	return l.opened.Close()
}
