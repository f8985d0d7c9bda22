package wiretest

import (
	"bytes"
	"context"
	"net"
	"sync"
	"time"
)

// Script is a connection in memory whose other end has said everything at once,
// and hung up. No deadline is ever reached.
type Script struct {
	mu      sync.Mutex // guards all below
	said    *bytes.Reader
	written bytes.Buffer
	isOver  bool

	over chan struct{} // closed by Close
}

// NewScript is a connection on which said has been said.
func NewScript(said []byte) *Script {
	return &Script{said: bytes.NewReader(said), over: make(chan struct{})}
}

// Say replaces what is left to read.
func (s *Script) Say(said []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said.Reset(said)
}

// Left is the number of bytes that were not read.
func (s *Script) Left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Len()
}

// Written returns what was written so far.
func (s *Script) Written() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.String()
}

// Over ends when the connection is closed.
func (s *Script) Over() <-chan struct{} { return s.over }

// IsClosed reports whether the connection was closed.
func (s *Script) IsClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isOver
}

func (s *Script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isOver {
		return 0, net.ErrClosed
	}
	return s.said.Read(p)
}

func (s *Script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isOver {
		return 0, net.ErrClosed
	}
	return s.written.Write(p)
}

// Close ends Over.
func (s *Script) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isOver {
		s.isOver = true
		close(s.over)
	}
	return nil
}

func (*Script) LocalAddr() net.Addr              { return memory }
func (*Script) RemoteAddr() net.Addr             { return memory }
func (*Script) SetDeadline(time.Time) error      { return nil }
func (*Script) SetReadDeadline(time.Time) error  { return nil }
func (*Script) SetWriteDeadline(time.Time) error { return nil }

var memory = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

// Pipes is a listener of connections in memory.
type Pipes struct {
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
}

// NewPipes is a listener until it is closed.
func NewPipes() *Pipes { return &Pipes{conns: make(chan net.Conn), over: make(chan struct{})} }

// Accept waits for Dial or Offer.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; connections stay.
func (p *Pipes) Close() error { p.once.Do(func() { close(p.over) }); return nil }

// Addr is the same for all.
func (*Pipes) Addr() net.Addr { return memory }

// Dial has the signature of a transport's.
func (p *Pipes) Dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	return ours, p.Offer(theirs)
}

// Offer hands a connection to Accept.
func (p *Pipes) Offer(conn net.Conn) error {
	select {
	case p.conns <- conn:
		return nil
	case <-p.over:
		_ = conn.Close()
		return net.ErrClosed
	}
}
