package strict

import (
	"cmp"
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Server has the methods and fields of http.Server that a listener of HTTP/1.1
// needs, with the same meaning.
type Server struct {
	Handler http.Handler
	// Refuse responds to a head that was refused; nothing else of its connection is
	// read. in has the method, if that was read, and no field. Nil: a plain 400.
	Refuse func(w http.ResponseWriter, in *http.Request, why Violation)
	// ErrorLog takes lines about connections. Nil: none are written.
	ErrorLog *log.Logger
	// ReadHeaderTimeout limits one head, from its first byte, and for the first
	// one of a connection from its beginning. 0: 5 s.
	ReadHeaderTimeout time.Duration
	// IdleTimeout limits a connection's wait for its next request; it may be up to a
	// sixteenth longer. The Keep-Alive field asks apps to close a little sooner. 0:
	// 60 s.
	IdleTimeout time.Duration
	// MaxConns bounds the connections: above it the one that has been silent longest
	// makes room for a new one (crowd.go). 0: no bound.
	MaxConns int
	// ConnState is called for StateNew and StateClosed. May be nil.
	ConnState func(net.Conn, http.ConnState)
	// ConnContext makes the context of a connection's requests, from one that
	// holds http.LocalAddrContextKey. May be nil.
	ConnContext func(context.Context, net.Conn) context.Context

	persistent string // the Keep-Alive field of a response after which the connection goes on

	large     atomic.Int64 // the sum of the connections' large
	stopping  atomic.Bool
	mu        sync.Mutex // guards listeners and conns
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
}

const (
	defaultHeaderTimeout = 5 * time.Second
	defaultIdleTimeout   = 60 * time.Second
	// keepAliveMargin is the margin before IdleTimeout at which an app is asked to
	// close: if it sends its next request just as we close, its outcome is unknown.
	keepAliveMargin = 5 * time.Second
)

// Serve accepts connections until Shutdown or Close; then it returns
// http.ErrServerClosed. Connections have goroutines of their own, which
// Shutdown waits for.
func (s *Server) Serve(on net.Listener) error {
	if !s.track(on) {
		return http.ErrServerClosed
	}
	defer s.forget(on)
	pause := time.Duration(0)
	for {
		nc, err := on.Accept()
		if err == nil {
			pause = 0
			c := newConn(s, nc)
			if !s.admit(c) {
				_ = nc.Close()
				if s.stopping.Load() {
					return http.ErrServerClosed
				}
				continue
			}
			s.tell(nc, http.StateNew)
			go c.serve()
			continue
		}
		if s.stopping.Load() {
			return http.ErrServerClosed
		}
		if !temporary(err) {
			return err
		}
		// Usually out of descriptors: they come back when connections end.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.logf("http: Accept error: %v; retrying in %v", err, pause)
		time.Sleep(pause)
	}
}

func temporary(err error) bool {
	var e interface{ Temporary() bool }
	return errors.As(err, &e) && e.Temporary()
}

func (s *Server) track(on net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	if s.conns == nil {
		s.conns, s.listeners = map[*conn]struct{}{}, map[net.Listener]struct{}{}
	}
	s.listeners[on] = struct{}{}
	if seconds := int((s.idleTimeout() - keepAliveMargin) / time.Second); seconds > 0 {
		s.persistent = "Keep-Alive: timeout=" + strconv.Itoa(seconds) + "\r\n"
	}
	return true
}

// admit takes a connection in, unless there is no room, or the server has been
// stopped: Shutdown may have counted already.
func (s *Server) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	if !s.makeRoom() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) forget(on net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, on)
}

// ended is the last thing that a connection does.
func (s *Server) ended(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.tell(c.nc, http.StateClosed)
}

func (s *Server) tell(nc net.Conn, state http.ConnState) {
	if s.ConnState != nil {
		s.ConnState(nc, state)
	}
}

func (s *Server) logf(format string, args ...any) {
	if s.ErrorLog != nil {
		s.ErrorLog.Printf(format, args...)
	}
}

// Shutdown stops accepting, closes what is idle, and waits until every request
// has ended, or for ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.closeListeners()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if s.closeIdle() == 0 {
			return err
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// Close cuts everything off.
func (s *Server) Close() error {
	err := s.closeListeners()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.cut()
	}
	return err
}

func (s *Server) closeListeners() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping.Store(true)
	for on := range s.listeners {
		err = errors.Join(err, on.Close())
	}
	return err
}

// closeIdle returns how many connections are left.
func (s *Server) closeIdle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.closeIfIdle()
	}
	return len(s.conns)
}

func (s *Server) headerTimeout() time.Duration {
	return cmp.Or(s.ReadHeaderTimeout, defaultHeaderTimeout)
}

func (s *Server) idleTimeout() time.Duration { return cmp.Or(s.IdleTimeout, defaultIdleTimeout) }
