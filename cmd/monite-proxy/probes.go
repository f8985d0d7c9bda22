package main

import (
	"strings"
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/doctor"
	"github.com/monite-proxy/monite-proxy/proxy"
)

// mostProbes are more than a doctor sends in a minute. An app that calls itself one
// cannot hide more refused requests from the metrics than that.
const mostProbes = 64

// probes recognises what the doctor sends to see who listens: it is refused on
// purpose, and is not a refused request of an app.
type probes struct {
	mu     sync.Mutex // guards all below
	minute time.Time
	seen   int
}

func (p *probes) is(r *proxy.Record) bool {
	if !strings.HasPrefix(r.RequestID, doctor.ProbePrefix) || r.Sent || r.Route != "/v1/auth/token" || r.ErrorType != "proxy_route_refused" && r.ErrorType != "proxy_app_token" {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Start.Sub(p.minute) > time.Minute {
		p.minute, p.seen = r.Start, 0
	}
	p.seen++
	return p.seen <= mostProbes
}
