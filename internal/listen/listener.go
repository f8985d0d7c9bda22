package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// Server serves the connections of a Listener: an http.Server, or one like it.
type Server interface {
	// Serve returns http.ErrServerClosed after Shutdown or Close. It is called once
	// for each socket of the listener, at the same time.
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

// Listener has one socket, or two: localhost is 127.0.0.1 and ::1. It can stop
// without losing a connection. A plain close would reset the connections that the
// kernel has accepted and Accept has not returned yet.
type Listener struct {
	at      config.Listen
	options Options
	opened  []openSocket
	file    *socketFile // nil: a TCP listener, or an inherited one
	unlink  sync.Once
	warning string // of the service manager's socket

	mu     sync.Mutex   // guards serves
	serves []*accepting // of the Serve that runs or comes next, one for each socket
}

// openSocket is one socket that listens.
type openSocket struct {
	net.Listener
	inherited bool // from the service manager: it outlives this process
}

// lastHandshakes bounds the time that handshakes under way get to end.
const lastHandshakes = 20 * time.Millisecond

// Open opens a TCP listener or a unix socket, or takes over the one that the
// service manager has opened at that address.
func Open(at config.Listen, options Options) (*Listener, error) {
	if options.PeerUIDs != nil && !socket.KnowsPeers {
		return nil, fmt.Errorf("listen %s: the users of connections are not known on this system", at)
	}
	if options.Mode == 0 {
		options.Mode = 0o600
	}
	l := &Listener{at: at, options: options}
	var err error
	if at.Network == "unix" {
		err = l.openUnix()
	} else {
		l.opened, err = openPorts(at)
	}
	if err != nil {
		return nil, err
	}
	l.prepare()
	return l, nil
}

// prepare makes what the next Serve accepts with. It is there before Serve is
// called: Stop and Pause may come first.
func (l *Listener) prepare() {
	var serves []*accepting
	for _, one := range l.opened {
		serves = append(serves, &accepting{Listener: one.Listener, of: l, emptied: make(chan struct{}), left: make(chan struct{})})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serves = serves
}

// accepts returns what prepare has made.
func (l *Listener) accepts() []*accepting {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.serves
}

func (l *Listener) openUnix() error {
	inherited, err := takeInherited(l.at.Network, l.at.Address)
	switch {
	case err != nil:
		return err
	case inherited != nil:
		l.opened = []openSocket{{inherited, true}}
		return l.setInheritedMode(l.options.Mode)
	}
	opened, file, err := listenSocket(l.at.Address, l.options.Mode)
	l.opened, l.file = []openSocket{{opened, false}}, file
	return err
}

// Addr is the address that was opened, with the port that port 0 became. Of
// localhost it is that of 127.0.0.1.
func (l *Listener) Addr() net.Addr { return l.opened[0].Addr() }

// Addresses are those of all sockets.
func (l *Listener) Addresses() (all []string) {
	for _, one := range l.opened {
		all = append(all, one.Addr().String())
	}
	return all
}

// Serve has server serve the connections, and returns nil after Stop or Pause.
// After Pause it may be called again, with another server.
func (l *Listener) Serve(server Server) error {
	serves := l.accepts()
	failed := make(chan error, len(serves))
	for _, a := range serves {
		go func() {
			err := server.Serve(a)
			close(a.left)
			if a.ending.Load() || errors.Is(err, http.ErrServerClosed) {
				err = nil
			}
			failed <- err
		}()
	}
	var first error
	for range serves {
		if err := <-failed; err != nil && first == nil {
			first = err
			_ = l.Close() // one socket alone would be half a listener
		}
	}
	return first
}

// Stop accepts the connections in the kernel's queue and closes. When it returns,
// Accept has returned all of them, and the address is free again. It waits for Serve,
// also for one that is about to be called: a Listener that is not served is ended by
// Close.
func (l *Listener) Stop() {
	var handshakes bool
	for _, one := range l.opened {
		// What waits at an inherited socket is for the next process.
		handshakes = !one.inherited && beginNoMore(one.Listener) || handshakes
	}
	if handshakes {
		time.Sleep(lastHandshakes) // Accept goes on meanwhile
	}
	left := l.end(func(i int) []net.Conn {
		if l.opened[i].inherited {
			return nil
		}
		return emptyQueue(l.opened[i].Listener)
	})
	_ = l.Close()
	left()
}

// Pause has Serve return and leaves the sockets open: connections wait in the
// kernel's queue for the next Serve. With queued, those that wait already still
// belong to the server of this Serve.
func (l *Listener) Pause(queued bool) {
	left := l.end(func(i int) []net.Conn {
		if !queued {
			return nil
		}
		return takeQueue(l.opened[i].Listener)
	})
	left()
	for _, one := range l.opened {
		setDeadline(one, time.Time{})
	}
	l.prepare()
}

// end tells every Accept to end, with the connections that rest returns for its
// socket. Call what it returns to wait for them.
func (l *Listener) end(rest func(i int) []net.Conn) (left func()) {
	serves := l.accepts()
	for i, a := range serves {
		a.ending.Store(true)
		setDeadline(l.opened[i], time.Unix(1, 0)) // wakes Accept
		a.waiting = rest(i)
		close(a.emptied)
	}
	return func() {
		for _, a := range serves {
			<-a.left
		}
	}
}

func setDeadline(of openSocket, at time.Time) {
	if blocked, ok := of.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = blocked.SetDeadline(at)
	}
}

// Close removes the socket, if it is still ours, and closes.
func (l *Listener) Close() (err error) {
	l.unlink.Do(func() {
		if l.file != nil {
			l.file.remove()
		}
	})
	for _, one := range l.opened {
		err = errors.Join(err, one.Close())
	}
	return err
}
