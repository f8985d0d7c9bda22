package wiretest

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Relay stands between two ends and is the bad link: front is the end that
// connects to it, back the server behind it.
type Relay struct {
	Addr     string
	listener net.Listener

	mu      sync.Mutex // guards all below
	server  string
	front   map[net.Conn]bool // from those that connect
	back    map[net.Conn]bool // to the server
	stalled chan struct{}     // closed when the link is whole; nil: it is
	rate    int               // bytes per second; 0: no limit
	latency time.Duration     // each way
	running sync.WaitGroup
}

// NewRelay leads to the server at an address or a plain http URL.
func NewRelay(t testing.TB, server string) *Relay {
	t.Helper()
	listener, err := ListenPlain("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Relay{
		Addr: listener.Addr().String(), listener: listener, server: strings.TrimPrefix(server, "http://"),
		front: map[net.Conn]bool{}, back: map[net.Conn]bool{},
	}
	l.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.running.Go(func() { l.relay(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.Heal()
		l.Cut()
		l.running.Wait()
	})
	return l
}

// URL is the relay's, plain.
func (l *Relay) URL() string { return "http://" + l.Addr }

func (l *Relay) relay(front net.Conn) {
	l.mu.Lock()
	to := l.server
	l.mu.Unlock()
	back, err := net.DialTimeout("tcp", to, 2*time.Second)
	if err != nil {
		ResetOnClose(front)
		_ = front.Close()
		return
	}
	l.mu.Lock()
	l.front[front], l.back[back] = true, true
	l.mu.Unlock()
	defer func() {
		_ = front.Close()
		_ = back.Close()
		l.mu.Lock()
		delete(l.front, front)
		delete(l.back, back)
		l.mu.Unlock()
	}()
	var ways sync.WaitGroup
	ways.Go(func() { l.copy(back, front) })
	l.copy(front, back)
	ways.Wait()
}

func (l *Relay) copy(to, from net.Conn) {
	piece := make([]byte, 4096)
	for {
		n, err := from.Read(piece)
		l.mu.Lock()
		latency, rate := l.latency, l.rate
		l.mu.Unlock()
		time.Sleep(latency)
		for sent := 0; sent < n; {
			l.pass()
			step := n - sent
			if rate > 0 {
				step = min(step, max(rate/20, 1))
				time.Sleep(time.Duration(step) * time.Second / time.Duration(rate))
			}
			if _, err := to.Write(piece[sent : sent+step]); err != nil {
				_ = from.Close()
				return
			}
			sent += step
		}
		if err != nil {
			l.pass()
			if errors.Is(err, io.EOF) {
				_ = to.(*net.TCPConn).CloseWrite()
			} else {
				_ = to.Close()
			}
			return
		}
	}
}

// pass waits until the link is whole.
func (l *Relay) pass() {
	l.mu.Lock()
	stalled := l.stalled
	l.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

// Part breaks the link silently: what comes is not passed on. With a filter segments
// of the front are not even acknowledged.
func (l *Relay) Part(filter Filter) (filtered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = make(chan struct{})
	return filter == nil || l.filterLocked(filter)
}

// Lossy sets a filter on all that comes from the front.
func (l *Relay) Lossy(filter Filter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.filterLocked(filter)
}

func (l *Relay) filterLocked(filter Filter) bool {
	ok := FilterSocket(l.listener, filter)
	for conn := range l.front {
		_ = FilterSocket(conn, filter)
	}
	return ok
}

// Heal makes the link whole and fast.
func (l *Relay) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled != nil {
		close(l.stalled)
		l.stalled = nil
	}
	l.rate, l.latency = 0, 0
	_ = l.filterLocked(nil)
}

// Slow limits the link to rate bytes per second, each way; 0: no limit.
func (l *Relay) Slow(rate int, latency time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.latency = rate, latency
}

// MoveTo leads new connections to another server.
func (l *Relay) MoveTo(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = strings.TrimPrefix(server, "http://")
}

// Cut closes all connections, on both sides, and waits until the other ends
// know.
func (l *Relay) Cut() {
	l.mu.Lock()
	for conn := range l.front {
		_ = conn.Close()
	}
	for conn := range l.back {
		_ = conn.Close()
	}
	l.mu.Unlock()
	time.Sleep(Delivery)
}

// Delivery is the time that a busy kernel may take to show a FIN or RST to the other
// end. A request that is sent before that is lost unnoticed.
const Delivery = 100 * time.Millisecond

// ResetOnClose has Close send an RST, on a connection that has one.
func ResetOnClose(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}
