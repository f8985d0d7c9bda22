package listen

import (
	"crypto/tls"
	"net"
	"slices"
	"sync/atomic"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// accepting gives a Server the connections of one socket: until Stop or Pause, and
// then those that were waiting.
type accepting struct {
	net.Listener
	of *Listener

	ending  atomic.Bool
	emptied chan struct{} // closed when waiting is complete
	waiting []net.Conn    // of the kernel's queue, at the end
	left    chan struct{} // closed when Accept is not called any more
}

// Accept returns connections of users that may connect.
func (a *accepting) Accept() (net.Conn, error) {
	options := &a.of.options
	for {
		conn, err := a.next()
		if err != nil {
			return nil, err
		}
		uid, allowed := options.admits(conn)
		if allowed && options.TLS != nil {
			return tls.Server(conn, options.TLS), nil
		}
		if allowed {
			return conn, nil
		}
		_ = conn.Close()
		if options.Refused != nil {
			options.Refused(uid)
		}
	}
}

func (o *Options) admits(conn net.Conn) (uid uint32, allowed bool) {
	if o.PeerUIDs == nil {
		return 0, true
	}
	uid, known := socket.PeerUID(conn)
	return uid, known && slices.Contains(o.PeerUIDs, uid)
}

func (a *accepting) next() (net.Conn, error) {
	conn, err := a.Listener.Accept()
	if err == nil || !a.ending.Load() {
		return conn, err
	}
	<-a.emptied
	if len(a.waiting) == 0 {
		return nil, net.ErrClosed
	}
	conn, a.waiting = a.waiting[0], a.waiting[1:]
	return conn, nil
}

// Close is called by the server when it is done. The sockets of a Listener that
// pauses stay open.
func (a *accepting) Close() error {
	if a.ending.Load() {
		return nil
	}
	return a.of.Close()
}
