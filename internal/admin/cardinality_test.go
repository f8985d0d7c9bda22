package admin

import (
	"fmt"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/routes"
	"github.com/monite-proxy/monite-proxy/proxy"
)

// Ids, made-up paths and made-up methods are none of the metrics' business: a
// hundred thousand paths make as many series as the first few of each kind.
func TestSeriesAreAsManyAfterAHundredThousandPaths(t *testing.T) {
	m := newTestMetrics()
	shapes := []string{
		"/v1/payables/%d", "/v1/payables/%d/approve_payment_operation", "/v1/nothing/%d", "/%d", "/v1/receivables/%d/line_items",
		"/v1/entities/%d/bank_accounts/%[1]d", "/v1/entity_users/%d?x=%[1]d",
		"/v1/p%dayables", "/v1/payables/%d\n", "/v1/payables/%d\u2028", "//%d", "", "*", "http://evil.example/%d", "/v1/payables/{payable_id}%d",
	}
	observe := func(i int) {
		path := fmt.Sprintf(shapes[i%len(shapes)], i)
		m.ObserveRequest(&proxy.Record{
			Route: routes.Template(routes.Find(path)), Method: "GET", Status: 200 + 200*(i%2), Origin: proxy.OriginUpstream,
			Duration: time.Millisecond, Sent: true, GrantType: "client_credentials",
			RequestID: fmt.Sprint("id-", i), UpstreamRequestID: fmt.Sprint("up-", i),
		})
	}
	series := func() (n int) {
		families, err := m.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			n += len(family.GetMetric())
		}
		return n
	}
	for i := range 2 * len(shapes) {
		observe(i)
	}
	before := series()
	for i := range 100_000 {
		observe(i)
	}
	if after := series(); after != before || before < 20 {
		t.Errorf("%d series after %d paths, %d after 100,000", before, 2*len(shapes), after)
	}
	t.Logf("%d series", before)
}
