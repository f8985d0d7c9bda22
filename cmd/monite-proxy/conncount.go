package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// connCount knows how many connections a server has open.
type connCount struct {
	mu   sync.Mutex // guards open and none
	open int
	none chan struct{} // closed when open falls to 0; nil if nobody waits
}

// observe is for http.Server.ConnState.
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

// waitUntilNone waits until no connection is open, at most for limit.
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
