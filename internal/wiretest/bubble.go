package wiretest

import (
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// InBubble serves one connection in memory, on which time passes at once, and
// returns how long the server kept it. What app leaves unread is thrown away.
// serve begins inside the bubble, so that what it makes belongs there.
func InBubble(t *testing.T, serve func(net.Listener) error, app func(net.Conn)) (lasted time.Duration) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		ours, theirs := net.Pipe()
		kept := &watched{Conn: theirs, closed: make(chan struct{})}
		pipes := NewPipes()
		var all sync.WaitGroup
		all.Go(func() { _ = serve(pipes) })
		began := time.Now()
		_ = pipes.Offer(kept)
		all.Go(func() {
			app(ours)
			_, _ = io.Copy(io.Discard, ours)
		})
		<-kept.closed
		lasted = time.Since(began)
		_ = ours.Close()
		_ = pipes.Close()
		all.Wait()
	})
	return lasted
}

// watched is a connection that tells when it is closed.
type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}
