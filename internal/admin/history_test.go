package admin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

func ended(status int, took time.Duration, id string) *proxy.Record {
	return &proxy.Record{Start: time.Now().Add(-took), Duration: took, RequestID: id, Method: "GET", Route: "/v1/payables",
		Status: status, Origin: proxy.OriginUpstream, GrantType: "client_credentials", Sent: true}
}

func TestHistoryKeepsTheLastTwoHundredRequestsNewestFirst(t *testing.T) {
	h := NewHistory()
	if got, seen := h.lastRequests(); len(got) != 0 || seen != 0 {
		t.Fatalf("an empty history has %d requests", len(got))
	}
	for i := range 1234 {
		h.ObserveRequest(ended(200, time.Millisecond, fmt.Sprint(i)))
		if i%100 > 1 {
			continue // each look reads them all
		}
		if got, seen := h.lastRequests(); len(got) != min(i+1, keptRequests) || seen != i+1 {
			t.Fatalf("after %d requests %d are kept, %d seen", i+1, len(got), seen)
		}
	}
	requests, _ := h.lastRequests()
	for i, line := range requests {
		if want := fmt.Sprint(1233 - i); line.record.RequestID != want {
			t.Fatalf("request %d is %s, want %s", i, line.record.RequestID, want)
		}
	}
	for i := range 77 {
		h.ObserveMint(tokencache.Mint{Duration: time.Duration(i)})
	}
	mints, _ := h.lastMints()
	if len(mints) != keptMints || mints[0].mint.Duration != 76 || mints[49].mint.Duration != 27 {
		t.Errorf("mints = %d, from %v to %v", len(mints), mints[0].mint.Duration, mints[len(mints)-1].mint.Duration)
	}
}

func TestTrafficForgetsWhatIsOlderThanFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHistory()
		for range 10 {
			h.ObserveRequest(ended(500, time.Millisecond, "old"))
		}
		if got := h.traffic(time.Now()); got.Requests != 10 || got.ErrorRate != 1 || got.PerSecond != 10 {
			t.Errorf("at once: %+v", got)
		}
		time.Sleep(2 * time.Minute)
		for range 30 {
			h.ObserveRequest(ended(404, time.Millisecond, "new"))
		}
		if got := h.traffic(time.Now()); got.Requests != 40 || got.ErrorRate != 0.25 || math.Abs(got.PerSecond-40.0/120) > 1e-9 {
			t.Errorf("after two minutes: %+v", got)
		}
		time.Sleep(3*time.Minute + time.Second)
		got := h.traffic(time.Now())
		if got.Requests != 30 || got.ErrorRate != 0 || got.Window > 300 || got.Window < 295 {
			t.Errorf("after five minutes: %+v", got)
		}
		if at := slices.IndexFunc(got.Slots, func(s TrafficCount) bool { return s.Requests == 30 }); at != 60-1-36 {
			t.Errorf("the slot of three minutes ago is at %d", at)
		}
		time.Sleep(time.Hour)
		if got := h.traffic(time.Now()); got.Requests != 0 || got.P95 != 0 {
			t.Errorf("after an hour: %+v", got)
		}
	})
}

// A request that takes longer than the window ends now: its end decides.
func TestLongRequestsCountWhereTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHistory()
		time.Sleep(time.Hour)
		h.ObserveRequest(ended(200, 30*time.Minute, "long"))
		if got := h.traffic(time.Now()); got.Requests != 1 || got.Slots[slotCount-1].Requests != 1 {
			t.Errorf("traffic = %+v", got)
		}
		late := ended(200, time.Millisecond, "late")
		late.Start = late.Start.Add(-20 * time.Minute)
		h.ObserveRequest(late) // held up on its way here
		if got := h.traffic(time.Now()); got.Requests != 1 {
			t.Errorf("a request of twenty minutes ago counts: %+v", got)
		}
	})
}

func TestQuantilesAreExactToATenth(t *testing.T) {
	for name, draw := range map[string]func() time.Duration{
		"uniform":     func() time.Duration { return time.Duration(rand.Int64N(int64(2 * time.Second))) },
		"exponential": func() time.Duration { return time.Duration(rand.ExpFloat64() * float64(80*time.Millisecond)) },
		"constant":    func() time.Duration { return 123 * time.Millisecond },
		"fast":        func() time.Duration { return time.Duration(40+rand.Int64N(400)) * time.Microsecond },
	} {
		h := NewHistory()
		var all []time.Duration
		for range 20000 {
			d := draw()
			all = append(all, d)
			h.ObserveRequest(&proxy.Record{Start: time.Now(), Duration: d, Status: 200})
		}
		slices.Sort(all)
		got := h.traffic(time.Now().Add(all[len(all)-1]))
		for q, value := range map[float64]float64{0.50: got.P50, 0.95: got.P95} {
			want := all[int(q*float64(len(all)))].Seconds()
			if math.Abs(value-want)/want > 0.13 {
				t.Errorf("%s: p%.0f = %v, want %v", name, 100*q, value, want)
			}
		}
	}
}

func TestDurationBucketsAreInOrderAndMeetTheirStart(t *testing.T) {
	for bucket := range durationBuckets {
		if got := durationBucket(bucketStart(bucket)); got != bucket {
			t.Errorf("bucket of the start of %d = %d (%v)", bucket, got, bucketStart(bucket))
		}
		if bucket > 0 {
			if got := durationBucket(bucketStart(bucket) - time.Microsecond); got != bucket-1 {
				t.Errorf("bucket before the start of %d = %d", bucket, got)
			}
		}
	}
	if durationBucket(-time.Second) != 0 || durationBucket(300*time.Hour) != durationBuckets-1 {
		t.Error("the ends are open")
	}
}

func TestObservingARequestAllocatesNothing(t *testing.T) {
	h := NewHistory()
	record := ended(200, 12*time.Millisecond, "id")
	if got := testing.AllocsPerRun(1000, func() { h.ObserveRequest(record) }); got != 0 {
		t.Errorf("allocations per request = %v, want 0", got)
	}
}

func TestStatusNamesWhoActed(t *testing.T) {
	named := &NamedStatus{All: []NamedIdentity{{Name: "billing", GrantType: "client_credentials"},
		{Name: "other", GrantType: "entity_user", UserHash: "aa11"}}}
	h, _, _ := newTestHandler(func(c *Config) { c.Named = func() *NamedStatus { return named } })
	for _, r := range []*proxy.Record{{RequestID: "by default", GrantType: "client_credentials"},
		{RequestID: "by name", GrantType: "entity_user", Identity: "billing"}, {RequestID: "refused"}} {
		r.Start = time.Now()
		h.config.History.ObserveRequest(r)
	}
	status := h.current()
	got := map[string]string{}
	for _, r := range status.Requests {
		got[r.RequestID] = r.Identity
	}
	if got["by default"] != "default" || got["by name"] != "billing" || got["refused"] != "" {
		t.Errorf("identities of requests: %q", got)
	}
	for _, one := range status.Identities {
		if one.Default && !slices.Equal(one.Names, []string{"default", "billing"}) {
			t.Errorf("the default grant is that of %q", one.Names)
		}
		if one.GrantType == "entity_user" && len(one.Names) != 0 {
			t.Errorf("a grant that requests name is that of %q", one.Names)
		}
	}
}

func TestStatusTellsOfUpstreamInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHistory()
		note := func(origin, kind string, status int) {
			h.ObserveRequest(&proxy.Record{Start: time.Now(), Origin: origin, ErrorType: kind, Status: status})
		}
		for _, c := range []struct {
			origin, kind string
			status       int
			says         string // empty: no trouble
		}{
			{proxy.OriginUpstream, "", 200, ""},
			{proxy.OriginProxy, "proxy_upstream_unreachable", 502, "upstream cannot be reached"},
			{proxy.OriginProxy, "proxy_route_refused", 403, "upstream cannot be reached"}, // nothing new of upstream
			{proxy.OriginProxy, "proxy_upstream_timeout", 504, "does not respond in time"},
			{proxy.OriginUpstream, "", 503, "itself is in trouble: it responds with status 503"},
			{proxy.OriginUpstream, "", 404, ""},
			{proxy.OriginProxy, "proxy_upstream_broken", 502, "the connection to upstream breaks"},
		} {
			time.Sleep(time.Second)
			note(c.origin, c.kind, c.status)
			got := h.upstreamTrouble(time.Now())
			if (got == nil) != (c.says == "") || got != nil && !strings.Contains(got.What, c.says) {
				t.Errorf("after %+v: %+v", c, got)
			}
		}
		time.Sleep(4 * time.Second)
		note(proxy.OriginProxy, "proxy_upstream_broken", 502)
		if got := h.upstreamTrouble(time.Now()); got.Requests != 2 || got.Since != 4 || got.Last != 0 {
			t.Errorf("%+v", got)
		}
	})
}
