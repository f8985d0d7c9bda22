package routes

import (
	"strings"
	"testing"
)

func TestEveryPublishedTemplateNamesItself(t *testing.T) {
	for _, route := range Published {
		var filled []string
		for segment := range strings.SplitSeq(route.Template, "/") {
			if strings.HasPrefix(segment, "{") {
				segment = id
			}
			filled = append(filled, segment)
		}
		if got := Template(Find(strings.Join(filled, "/"))); got != route.Template {
			t.Errorf("Template(%s) = %s", route.Template, got)
		}
	}
	t.Logf("%d templates", len(Published))
}

func TestTemplate(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/payables": "/v1/payables", "/v1/payables/analytics": "/v1/payables/analytics", "/v1/payables/x": "/v1/payables/{payable_id}",
		"/v1/payables/x/approve_payment_operation": "/v1/payables/{payable_id}/approve_payment_operation", "/v1/auth/token": "/v1/auth/token",
		"": "other", "/": "other", "//": "other", "/v1": "other", "/v1/": "other", "/v1/payables/": "other",
		"/v1/payables//approve_payment_operation": "other", "/v1/payables/x/y": "other", "/v1/payables/x/approve_payment_operation/z": "other",
		"v1/payables": "other", "/V1/payables": "other", "/v1/Payables": "other", "/v1/%70ayables": "other", "http://x/v1/payables": "other",
		"*": "other", "/v1/{payable_id}": "other", "/v2/payables": "other",
	} {
		if got := Template(Find(path)); got != want {
			t.Errorf("Template(%q) = %q, want %q", path, got, want)
		}
	}
}
