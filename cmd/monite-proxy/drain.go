package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// idleGrace is the time for which a drain keeps idle connections open. An app may
	// be sending its next request on one right now; its response says that the
	// connection ends.
	idleGrace = time.Second
	// Not handing out a token does no harm, and the admin listener serves only short
	// responses.
	vendGrace  = 2 * time.Second
	adminGrace = time.Second
)

// drain lets every accepted request end. It reports false if some had to be cut
// off.
func (s *sidecar) drain() bool {
	begin := time.Now()
	time.Sleep(s.cfg.ShutdownDelay) // still serving: others may not know yet that we stop
	var stopping, vending sync.WaitGroup
	if s.vend.server != nil {
		vending.Go(func() { s.vend.end(vendGrace) })
	}
	defer vending.Wait()
	stopping.Go(s.named.Stop)
	s.data.listener.Stop()
	stopping.Wait()

	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	s.conns.waitUntilNone(ctx, idleGrace-time.Since(begin))
	defer s.named.CutOff()
	var allEnded bool
	stopping.Go(func() { allEnded = s.named.Shutdown(ctx) })
	err := s.data.server.Shutdown(ctx)
	stopping.Wait()
	if err == nil && allEnded {
		return s.finishFollowing(ctx)
	}
	ended := s.finishFollowing(ctx) // before giveUp, which ends those too
	cut := s.handler.InFlight()
	s.giveUp()
	_ = s.data.server.Close()
	if cut == 0 { // only connections that have not sent a whole request
		return ended
	}
	s.log.Error().Int64("requests", cut).Dur("drain_timeout", s.cfg.DrainTimeout).Msg("drain timed out, requests cut off")
	return false
}

// finishFollowing waits for the writes whose apps do not wait any more: the audit
// file is to say what became of them. It reports false if some had to be cut off.
func (s *sidecar) finishFollowing(ctx context.Context) bool {
	followed := s.handler.Followed()
	if s.handler.FinishFollowing(ctx) {
		return true
	}
	s.log.Error().Int64("writes", followed).Dur("drain_timeout", s.cfg.DrainTimeout).
		Msg("drain timed out: some writes whose apps had gone are of unknown outcome; the audit lines name them")
	return false
}

const (
	// lastWords is the time in which apps can receive the outcome of what is given up.
	lastWords = 500 * time.Millisecond
	// lastLines is the time in which cut-off requests can write their audit lines.
	lastLines = time.Second
)

// giveUp ends every wait for upstream. The app of a write learns that its outcome is
// unknown: if its connection only ended, many clients would send the write again, to
// the process that comes after this one and knows nothing of it.
func (s *sidecar) giveUp() {
	s.upstream.Abort()
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	var ending sync.WaitGroup
	ending.Go(func() { s.named.Cut(ctx) })
	_ = s.data.server.Shutdown(ctx)
	ending.Wait()
}

// cutOff ends every request at once. What became of a write that upstream may have
// is told to its app, and in its audit line: unknown.
func (s *sidecar) cutOff() {
	s.giveUp()
	for _, e := range s.endpoints() {
		_ = e.server.Close()
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	s.handler.FinishFollowing(over) // a write whose app is cut off would be followed to its end
	s.conns.waitUntilNone(context.Background(), lastLines)
}

// end stops accepting, and cuts off what takes longer than grace.
func (e endpoint) end(grace time.Duration) {
	e.listener.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if e.server.Shutdown(ctx) != nil {
		_ = e.server.Close()
	}
}

// connCount counts the open connections of the servers for apps.
type connCount struct {
	mu   sync.Mutex // guards open and none
	open int
	none chan struct{} // closed when open falls to 0; nil if no goroutine waits
}

// observe is a ConnState of net/http and of proxy/strict.
func (c *connCount) observe(_ net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.open++
	case http.StateClosed, http.StateHijacked:
		if c.open--; c.open == 0 && c.none != nil {
			close(c.none)
			c.none = nil
		}
	}
}

// waitUntilNone waits for limit at most, until no connection is open.
func (c *connCount) waitUntilNone(ctx context.Context, limit time.Duration) {
	c.mu.Lock()
	if c.open == 0 || limit <= 0 {
		c.mu.Unlock()
		return
	}
	none := make(chan struct{})
	c.none = none
	c.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	case <-ctx.Done():
	}
}
