package listen

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// slowServer accepts one connection, and the others only when it may.
type slowServer struct {
	first    chan struct{} // closed after the first
	may      chan struct{}
	accepted int
}

func (s *slowServer) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		_ = conn.Close()
		if s.accepted++; s.accepted == 1 {
			close(s.first)
			<-s.may
		}
	}
}

func (s *slowServer) Shutdown(context.Context) error { return nil }
func (s *slowServer) Close() error                   { return nil }

func TestStopHandsOverTheConnectionsInTheQueue(t *testing.T) {
	const apps = 20
	for _, at := range []config.Listen{{Network: "tcp", Address: "127.0.0.1:0"}, {Network: "unix", Address: socketPath(t)}} {
		l, err := Open(at, Options{})
		wiretest.Must(t, err)
		server := &slowServer{first: make(chan struct{}), may: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- l.Serve(server) }()
		for range apps {
			conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
			wiretest.Must(t, err)
			defer func() { _ = conn.Close() }()
		}
		<-server.first
		time.AfterFunc(5*lastHandshakes, func() { close(server.may) }) // Stop has emptied the queue
		l.Stop()
		if err := <-served; err != nil {
			t.Errorf("%s: Serve() = %v, want nil after Stop", at.Network, err)
		}
		if server.accepted != apps {
			t.Errorf("%s: %d connections were accepted, want %d", at.Network, server.accepted, apps)
		}
		if conn, err := net.Dial(l.Addr().Network(), l.Addr().String()); err == nil {
			_ = conn.Close()
			t.Errorf("%s: it takes connections after Stop", at.Network)
		}
	}
}
