package admin

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy"
)

func newTestMetrics() *Metrics {
	m := NewMetrics()
	m.Register(testSources(&fakeTokens{}))
	return m
}

// testSources are idle, except for 3 requests under way.
func testSources(tokens Tokens) Sources {
	none := func() int64 { return 0 }
	return Sources{
		Tokens: tokens, InFlight: func() int64 { return 3 }, DroppedLines: none, DroppedAuditLines: none, RefusedPeers: none, DroppedSpans: none,
		MadeAhead: func() (made, used, unused uint64) { return 3, 2, 1 },
		NewPair:   func() bool { return false }, Identities: func() int { return 0 },
		Environment: "sandbox", Version: "v1", Commit: "c1", GoVersion: "go1",
	}
}

func TestRequestsThatComeAtOnceAreAllCounted(t *testing.T) {
	m := newTestMetrics()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				m.ObserveRequest(&proxy.Record{Method: "GET", Route: fmt.Sprint("/v1/", j%20), Status: 200 + i%2, Origin: proxy.OriginUpstream, Sent: j%2 == 0})
			}
		})
	}
	all.Wait()
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, family := range families {
		count[family.GetName()] = len(family.GetMetric())
		for _, metric := range family.GetMetric() {
			if got := metric.GetCounter().GetValue(); family.GetName() == "monite_proxy_requests_total" && got != 40 {
				t.Errorf("%v: %v requests, want 40", metric.GetLabel(), got)
			}
		}
	}
	if count["monite_proxy_requests_total"] != 40 {
		t.Errorf("%d series of requests, want 40", count["monite_proxy_requests_total"])
	}
	if got := count["monite_proxy_upstream_duration_seconds"]; got != 10 {
		t.Errorf("%d series of upstream durations, want 10: half of the routes were sent", got)
	}
}

func BenchmarkObserveRequest(b *testing.B) {
	m := newTestMetrics()
	r := &proxy.Record{Method: "GET", Route: "/v1/payables/{payable_id}", Status: 200, Origin: proxy.OriginUpstream, GrantType: "client_credentials",
		Sent: true, Duration: time.Millisecond, UpstreamTime: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		m.ObserveRequest(r)
	}
}
