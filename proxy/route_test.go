package proxy

import (
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/routes"
)

func TestEveryPublishedTemplateNamesItself(t *testing.T) {
	for _, route := range routes.Published {
		var filled []string
		for segment := range strings.SplitSeq(route.Template, "/") {
			if strings.HasPrefix(segment, "{") {
				segment = entityA
			}
			filled = append(filled, segment)
		}
		if got := RouteTemplate(strings.Join(filled, "/")); got != route.Template {
			t.Errorf("RouteTemplate(%s) = %s", route.Template, got)
		}
	}
	t.Logf("%d templates", len(routes.Published))
}

func TestRouteTemplate(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/payables": "/v1/payables", "/v1/payables/analytics": "/v1/payables/analytics", "/v1/payables/x": "/v1/payables/{payable_id}",
		"/v1/payables/x/approve_payment_operation": "/v1/payables/{payable_id}/approve_payment_operation", "/v1/auth/token": "/v1/auth/token",
		"": "other", "/": "other", "//": "other", "/v1": "other", "/v1/": "other", "/v1/payables/": "other", "/v1/payables//approve_payment_operation": "other", "/v1/payables/x/y": "other", "/v1/payables/x/approve_payment_operation/z": "other",
		"v1/payables": "other", "/V1/payables": "other", "/v1/Payables": "other", "/v1/%70ayables": "other", "http://x/v1/payables": "other", "*": "other", "/v1/{payable_id}": "other", "/v2/payables": "other",
	} {
		if got := RouteTemplate(path); got != want {
			t.Errorf("RouteTemplate(%q) = %q, want %q", path, got, want)
		}
	}
}

func BenchmarkRouteTemplate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		RouteTemplate("/v1/payables/" + entityA + "/approve_payment_operation")
	}
}
