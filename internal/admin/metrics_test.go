package admin

import (
	"slices"
	"strings"
	"testing"
	"time"

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
