package admin

import (
	"maps"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/monite-proxy/monite-proxy/proxy"
)

// labelSet decides in which series a request counts.
type labelSet struct {
	route, method, origin string
	status                int
	sent                  bool
}

// series are those of one labelSet. To find them by their label values costs a
// hash of each value and a lock; to find them here costs one map access.
type series struct {
	requests         prometheus.Counter
	requestDuration  prometheus.Observer
	upstreamDuration prometheus.Observer // nil if nothing was sent
}

// seriesOf returns the series of a request. Their number is bounded as the
// labels are.
func (m *Metrics) seriesOf(r *proxy.Record) *series {
	set := labelSet{r.Route, r.Method, r.Origin, r.Status, r.Sent}
	for {
		known := m.bound.Load()
		if known != nil {
			if s, ok := (*known)[set]; ok {
				return s
			}
		}
		s := &series{
			requests:        m.requests.WithLabelValues(r.Route, r.Method, strconv.Itoa(r.Status), r.Origin),
			requestDuration: m.requestDuration.WithLabelValues(r.Route, r.Method),
		}
		if r.Sent {
			s.upstreamDuration = m.upstreamDuration.WithLabelValues(r.Route, r.Method)
		}
		more := map[labelSet]*series{set: s}
		if known != nil {
			maps.Copy(more, *known)
		}
		// If another goroutine was faster, its map is looked at first.
		if m.bound.CompareAndSwap(known, &more) {
			return s
		}
	}
}
