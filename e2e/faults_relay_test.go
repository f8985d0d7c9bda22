package e2e

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// faultRelay stands between the sidecar and upstream and is the bad link.
type faultRelay struct {
	addr     string
	listener net.Listener

	mu      sync.Mutex // guards all below
	backend string
	front   map[net.Conn]bool // towards the sidecar
	back    map[net.Conn]bool
	stalled chan struct{} // closed when the link is whole; nil: it is
	rate    int           // bytes per second; 0: no limit
	latency time.Duration // each way
	running sync.WaitGroup
}

func newRelay(t *testing.T, backend string) *faultRelay {
	t.Helper()
	listener, err := listenPlain("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &faultRelay{
		addr: listener.Addr().String(), listener: listener, backend: strings.TrimPrefix(backend, "http://"),
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
		l.heal()
		l.cut()
		l.running.Wait()
	})
	return l
}

func (l *faultRelay) url() string { return "http://" + l.addr }

func (l *faultRelay) relay(front net.Conn) {
	l.mu.Lock()
	to := l.backend
	l.mu.Unlock()
	back, err := net.DialTimeout("tcp", to, 2*time.Second)
	if err != nil {
		resetOnClose(front)
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

func (l *faultRelay) copy(to, from net.Conn) {
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
			if err == io.EOF {
				_ = to.(*net.TCPConn).CloseWrite()
			} else {
				_ = to.Close()
			}
			return
		}
	}
}

// pass waits until the link is whole.
func (l *faultRelay) pass() {
	l.mu.Lock()
	stalled := l.stalled
	l.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

// part breaks the link so that nobody is told: what comes is not passed on.
// With a filter the sidecar's segments are not even acknowledged.
func (l *faultRelay) part(filter segmentFilter) (filtered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = make(chan struct{})
	return filter == nil || l.filterLocked(filter)
}

// lossy sets a filter on all that the sidecar sends.
func (l *faultRelay) lossy(filter segmentFilter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.filterLocked(filter)
}

func (l *faultRelay) filterLocked(filter segmentFilter) bool {
	ok := filterSocket(l.listener, filter)
	for conn := range l.front {
		_ = filterSocket(conn, filter)
	}
	return ok
}

func (l *faultRelay) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled != nil {
		close(l.stalled)
		l.stalled = nil
	}
	l.rate, l.latency = 0, 0
	_ = l.filterLocked(nil)
}

func (l *faultRelay) slow(rate int, latency time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.latency = rate, latency
}

// moveTo leads new connections to another backend.
func (l *faultRelay) moveTo(backend string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backend = strings.TrimPrefix(backend, "http://")
}

// cut closes all connections, on both sides, and waits until the sidecar's ends
// know.
func (l *faultRelay) cut() {
	l.mu.Lock()
	for conn := range l.front {
		_ = conn.Close()
	}
	for conn := range l.back {
		_ = conn.Close()
	}
	l.mu.Unlock()
	time.Sleep(delivery)
}
