package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/routes"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Each hint says in one sentence what to set to what, and for whom.
func TestHintsSayWhatToChange(t *testing.T) {
	rule := func(text string) routes.Rule {
		parsed, err := routes.ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	r := newRig(t, wiretest.Listen(t, nil, wiretest.Answering(okEmpty)).URL, func(c *Config, _ *upstream.Transport) {
		partner := tokencache.Grant{Type: tokencache.ClientCredentials}
		c.Policy.Named = []identity.Named{
			{Name: "billing", Grant: partner, EntityID: entityA, Entities: idSet{entityA: true}, PathPrefix: "/as/billing", ByName: true,
				Rules: routes.Compile([]routes.Rule{rule("GET payables"), rule("* receivables")}, []routes.Rule{rule("DELETE *")})},
			{Name: "reports", Grant: partner, PathPrefix: "/as/reports", ReadOnly: true, ByName: true},
			{Name: "expired-accounts", Grant: partner, PathPrefix: "/as/old", ReadOnly: true},
		}
	})
	for _, row := range []struct {
		method, path string
		fields       []string
		status       int
		wants        []string
	}{
		{"GET", "/v1/payables", []string{identity.HeaderEntity, userB}, 403, []string{"MONITE_ENTITY_ID", "MONITE_ALLOWED_ENTITY_IDS"}},
		{"GET", "/as/billing/v1/payables", []string{identity.HeaderEntity, entityB}, 403, []string{"allowed_entity_ids", "billing"}},
		{"POST", "/as/billing/v1/payables", nil, 403, []string{"billing", "POST /v1/payables", "No allow rule"}},
		{"DELETE", "/as/billing/v1/receivables/" + entityA, nil, 403, []string{"billing", "DELETE /v1/receivables/{receivable_id}", `"DELETE *"`}},
		{"GET", "/v1/payables", []string{identity.HeaderName, "billing", identity.HeaderEntity, entityB}, 403, []string{"billing"}},
		{"POST", "/as/reports/v1/payables", nil, 403, []string{"reports", "read_only: false"}},
		{"POST", "/as/old/v1/payables", nil, 403, []string{"read_only: false"}},
		{"GET", "/payables", nil, 403, []string{"/v1", "http://localhost:8080/v1"}},
		{"GET", "/as/billing/payables", nil, 403, []string{"/as/billing/v1"}},
		{"GET", "/v1/M%C3%BCller", nil, 400, []string{"%C3", "offset 5"}},
		{"GET", "/v1", nil, 403, []string{"/v1"}},
		{"GET", "/graphql", nil, 403, []string{"/v1"}},
		{"POST", "/openid/connect/token", nil, 403, []string{"/v1"}},
		{"GET", "/v10/payables", nil, 403, []string{"/v1"}},
		{"GET", "/V1/payables", nil, 403, []string{"/v1"}},
		{"GET", "//v1/payables", nil, 400, []string{"Two slashes"}},
		{"GET", "/v1%2fpayables", nil, 400, []string{"%2F"}},
	} {
		response, body := r.do(row.method, row.path, "", row.fields...)
		for _, want := range row.wants {
			if response.StatusCode != row.status || !strings.Contains(strings.ReplaceAll(body, `\"`, `"`), want) {
				t.Errorf("%s %s: %d %s, want %d and %q", row.method, row.path, response.StatusCode, body, row.status, want)
			}
		}
		if strings.Contains(body, "expired") {
			t.Errorf("%s %s: %s", row.method, row.path, body)
		}
	}
	for _, id := range []string{"my-expired-request", "EXPIRED"} {
		if response, body := r.do("GET", "/payables", "", "X-Request-Id", id); saysExpired(body) || response.Header.Get("X-Request-Id") != id {
			t.Errorf("%s: %s", id, body)
		}
	}
}

// It is the entity of Monite's successor: no allow-list has seen it.
func TestOrganizationIdNeverReachesUpstream(t *testing.T) {
	for _, name := range []string{"X-Organization-Id", "x_organization_id", "X.Organization.Id", "X-Organization-Id-", "x-ORGANIZATION-id"} {
		in := &http.Request{Method: "GET", RequestURI: "/v1/x", Header: http.Header{}}
		in.Header[http.CanonicalHeaderKey(name)] = []string{"canary"}
		for field, values := range rewritten(in, entityA).Header {
			if strings.Contains(strings.Join(values, ""), "canary") {
				t.Errorf("%s reaches upstream as %s", name, field)
			}
		}
	}
}
