package admin

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy"
)

// trouble describes how the last requests to upstream failed. The zero value: none.
type trouble struct {
	since, last time.Time
	requests    int64
	kind        string // a proxy_... type, or empty
	status      int
}

// UpstreamTrouble says that no request was served by upstream lately, though some
// were sent.
type UpstreamTrouble struct {
	// What is a sentence for people.
	What     string  `json:"what"`
	Since    float64 `json:"since_seconds"` // the first such request
	Last     float64 `json:"last_seconds"`  // the last one
	Requests int64   `json:"requests"`      // all of them
	Type     string  `json:"error_type,omitempty"`
	Status   int     `json:"status"`
}

// observe looks at one request that has ended.
func (t *trouble) observe(r *proxy.Record, ended time.Time) {
	switch upstreams := r.Origin == proxy.OriginUpstream; {
	case upstreams && r.Status < http.StatusInternalServerError:
		*t = trouble{}
		return
	case upstreams, strings.HasPrefix(r.ErrorType, "proxy_upstream_"):
	default:
		return // nothing was learnt of upstream
	}
	if t.requests == 0 {
		t.since = ended
	}
	t.last, t.kind, t.status = ended, r.ErrorType, r.Status
	t.requests++
}

func (h *History) upstreamTrouble(now time.Time) *UpstreamTrouble {
	h.mu.Lock()
	t := h.trouble
	h.mu.Unlock()
	if t.requests == 0 {
		return nil
	}
	shown := &UpstreamTrouble{Since: seconds(now.Sub(t.since)), Last: seconds(now.Sub(t.last)), Requests: t.requests, Type: t.kind, Status: t.status}
	switch t.kind {
	case "proxy_upstream_unreachable":
		shown.What = "upstream cannot be reached"
	case "proxy_upstream_timeout":
		shown.What = "upstream does not respond in time"
	case "":
		shown.What = fmt.Sprintf("upstream itself is in trouble: it responds with status %d", t.status)
	default:
		shown.What = "the connection to upstream breaks"
	}
	return shown
}
