package admin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/routes"
	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

func TestHistogramsAreClassicAndNative(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	m := h.config.Metrics
	m.ObserveRequest(&proxy.Record{Method: "GET", Route: "/v1/payables", Status: 200, Origin: "upstream", GrantType: "client_credentials",
		Sent: true, Duration: 120 * time.Millisecond, UpstreamTime: 100 * time.Millisecond})
	m.ObserveMint(tokencache.Mint{Grant: tokencache.Grant{Type: tokencache.ClientCredentials}, Duration: 300 * time.Millisecond})
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"monite_proxy_mint_duration_seconds", "monite_proxy_request_duration_seconds", "monite_proxy_token_wait_seconds",
		"monite_proxy_upstream_duration_seconds"}
	var got []string
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			histogram := metric.GetHistogram()
			if histogram == nil || !strings.HasPrefix(family.GetName(), namespace) {
				continue
			}
			got = append(got, family.GetName())
			var bounds []float64
			for _, bucket := range histogram.GetBucket() {
				bounds = append(bounds, bucket.GetUpperBound())
			}
			if family.GetName() == "monite_proxy_token_wait_seconds" {
				bounds = bounds[2:] // a hit takes less than the first of them
			}
			if !slices.Equal(bounds, []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}) {
				t.Errorf("%s has the bounds %v", family.GetName(), bounds)
			}
			if histogram.Schema == nil {
				t.Errorf("%s is not native", family.GetName())
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("histograms = %v, want %v", got, want)
	}
}

func TestSeriesDoNotGrowWithAHundredThousandPaths(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	m := h.config.Metrics
	shapes := []string{"/v1/payables/%08x-0000-4000-8000-000000000000", "/v1/nothing/%x", "/%x", "/v1/receivables/%x/pay",
		"/v1/entities/%x/documents/%x"}
	observe := func(i int) {
		path := strings.ReplaceAll(shapes[i%len(shapes)], "%08x", "%[1]x")
		m.ObserveRequest(&proxy.Record{Method: "GET",
			Route: routes.Template(routes.Find(fmt.Sprintf(strings.ReplaceAll(path, "%x", "%[1]x"), i))), Status: 200, Origin: "upstream", Sent: true})
	}
	series := func() int {
		_, body := ask(h, "GET", "/metrics", "localhost")
		return strings.Count(body, "\nmonite_proxy_")
	}
	for i := range shapes {
		observe(i)
	}
	before := series()
	for i := range 100_000 {
		observe(i)
	}
	if after := series(); after != before {
		t.Errorf("series = %d after %d paths, %d after 100,000", before, len(shapes), after)
	}
}
