package proxy

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/routes"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

type anyID struct{}

func (anyID) Contains(string) bool { return true }

var policies = map[string]identity.Policy{
	"partner": {Default: partner},
	"pinned":  {Default: partner, EntityID: entityA, Entities: idSet{entityA: true}},
	"allow":   {Default: partner, EntityID: entityA, Entities: idSet{entityA: true, entityB: true}, EntityUsers: idSet{userA: true}},
	"open":    {Default: partner, Entities: anyID{}, EntityUsers: anyID{}},
}

var (
	asUserA = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: userA}
	partner = tokencache.Grant{Type: tokencache.ClientCredentials}
	asUserB = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: userB}
)

// people is a policy with two identities of the file.
func people() identity.Policy {
	return identity.Policy{
		Default: partner, EntityID: entityA, Entities: idSet{entityA: true, entityB: true}, EntityUsers: idSet{userA: true, userB: true},
		Named: []identity.Named{
			{Name: "billing", Grant: asUserB, EntityID: entityB, Entities: idSet{entityB: true}, PathPrefix: "/as/billing", Listener: "billing:1", ByName: true},
			{Name: "shop", Grant: partner, Entities: idSet{entityA: true, entityB: true}, PathPrefix: "/shop", ByName: true},
		},
	}
}

func TestLocationUnderPrefix(t *testing.T) {
	billing := &identity.Named{PathPrefix: "/as/billing"}
	for _, c := range [][2]string{
		{"/v1/x", "/as/billing/v1/x"}, {"/v1/x?a=b#c", "/as/billing/v1/x?a=b#c"}, {"/", "/as/billing/"}, {"x/y", "/as/billing/v1/payables/x/y"}, {"../x", "/as/billing/v1/x"}, {"../../../../../v1/x", "/as/billing/v1/x"}, {"/../v1/x", "/as/billing/v1/x"}, {"/as/billing/v1/x", "/as/billing/as/billing/v1/x"},
		{"?a=b", "?a=b"}, {"", ""}, {"#x", "#x"}, {"https://evil.example/v1/x", "https://evil.example/v1/x"}, {"//evil.example/x", "//evil.example/x"}, {"mailto:a@b", "mailto:a@b"}, {"/v1/%2e%2e/x", ""}, {"/%2E./v1/x", ""}, {"/v1\\x", ""}, {"/v1/\tx", ""}, {"http:/v1/x", ""}, {"https:v1/x", ""}, {"/v1/a%20b", "/as/billing/v1/a%20b"},
	} {
		under := &call{arrival: identity.Arrival{Prefix: billing}, path: "/v1/payables/p"}
		if got := under.underPrefix(c[0]); got != c[1] {
			t.Errorf("underPrefix(%q) = %q, want %q", c[0], got, c[1])
		}
		if got := (&call{path: "/v1/x"}).underPrefix(c[0]); got != c[0] {
			t.Errorf("without a prefix: underPrefix(%q) = %q", c[0], got)
		}
	}
}

func denyPayables(t testing.TB) *routes.Rules {
	t.Helper()
	rule, err := routes.ParseRule("* payables")
	if err != nil {
		t.Fatal(err)
	}
	return routes.Compile(nil, []routes.Rule{rule})
}

// The steps of a named identity cost no allocation.
func BenchmarkNamedIdentity(b *testing.B) {
	rule, err := routes.ParseRule("DELETE *")
	if err != nil {
		b.Fatal(err)
	}
	policy := people()
	for i := range policy.Named {
		policy.Named[i].Rules = routes.Compile(nil, []routes.Rule{rule})
	}
	h := &Handler{guard: testGuard()}
	h.SetPolicy(policy)
	for name, c := range map[string]struct {
		target string
		fields []string
	}{
		"by prefix": {"/as/billing/v1/payables/" + entityA + "/approve_payment_operation?limit=5", nil},
		"by name":   {"/v1/payables/" + entityA + "/approve_payment_operation?limit=5", []string{identity.HeaderName + ": billing"}},
	} {
		b.Run(name, func(b *testing.B) {
			fields := append([]string{"Accept: application/json", "User-Agent: axios/1.7", "Connection: keep-alive", identity.HeaderEntity + ": " + entityB}, c.fields...)
			in, err := http.ReadRequest(bufio.NewReader(strings.NewReader(get(c.target, fields...))))
			if err != nil {
				b.Fatal(err)
			}
			c := newTestCall(nil, nil)
			c.handler, c.in = h, in
			b.ReportAllocs()
			for b.Loop() {
				c.locate()
				if failure := c.guard(); failure != nil {
					b.Fatal(failure)
				}
				if p := c.identify(); p != nil {
					b.Fatal(p)
				}
				h.guard.leave()
			}
		})
	}
}
