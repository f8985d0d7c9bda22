package proxy

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/routes"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

const userC = "55555555-eeee-4eee-8eee-555555555555"

var asUserC = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: userC}

// people is a policy with an identity of each kind. The default is a partner of
// entity A that may act as A and C; user B belongs to entity B.
func people() Policy {
	return Policy{
		Default: partner, EntityID: entityA, Entities: idSet{entityA: true, entityB: true}, EntityUsers: idSet{userA: true, userB: true},
		Pairs: map[string]string{userB: entityB},
		Named: []Named{
			{Name: "billing", Grant: asUserB, EntityID: entityB, Entities: idSet{entityB: true}, PathPrefix: "/as/billing", Listener: "billing:1", ByName: true},
			{Name: "shop", Grant: partner, Entities: idSet{entityA: true, entityB: true}, PathPrefix: "/shop", ByName: true},
			{Name: "reports", Grant: partner, EntityID: entityA, Entities: idSet{entityA: true}, Listener: "reports:1"},
			{Name: "user", Grant: asUserC, ByName: true},
			{Name: "other-user-b", Grant: asUserB, Entities: idSet{entityA: true, entityB: true}, ByName: true},
			{Name: "user-b", Grant: asUserB, ByName: true},
			{Name: "stuck", Grant: asUserB, Entities: idSet{entityA: true}, ByName: true},
			{Name: "any", Grant: partner, Entities: anyID{}, PathPrefix: "/any/thing/at-all"},
		},
	}
}

type namedRow struct {
	listener, prefix string
	handle           selection
	fields           []string
	name, entity     string // of the identity; name "-" is the default one
	user             string // of the grant; empty: partner
	want             *problem
}

func (r namedRow) resolve(header http.Header) (Identity, *problem) {
	v := newView(people())
	by := way{listener: r.listener, handle: r.handle}
	if r.prefix != "" {
		by.prefix = v.byPrefix[r.prefix]
	}
	identity, problem := v.resolve(header, by)
	return identity, problem
}

func namedRows() []namedRow {
	none := selection{}
	ok := func(name, user, entity, listener, prefix string, handle selection, fields ...string) namedRow {
		return namedRow{listener, prefix, handle, fields, name, entity, user, nil}
	}
	no := func(want *problem, listener, prefix string, handle selection, fields ...string) namedRow {
		return namedRow{listener, prefix, handle, fields, "", "", "", want}
	}
	named := func(name string) selection { return selection{handleNamed, name} }
	return []namedRow{
		// By each way, and by several that agree.
		ok("billing", userB, entityB, "billing:1", "", none), ok("billing", userB, entityB, "", "/as/billing", none), ok("billing", userB, entityB, "", "", none, headerIdentity, "billing"), ok("billing", userB, entityB, "", "", named("billing")),
		ok("billing", userB, entityB, "billing:1", "/as/billing", named("billing"), headerIdentity, "billing"), ok("reports", "", entityA, "reports:1", "", none), ok("reports", "", entityA, "reports:1", "", named("reports"), headerIdentity, "reports"),
		ok("any", "", "", "", "/any/thing/at-all", none), ok("any", "", entityB, "", "/any/thing/at-all", none, headerEntity, entityB), ok("any", "", userA, "", "/any/thing/at-all", none, headerEntity, userA), ok("any", "", "", "", "/any/thing/at-all", none, headerIdentity, "any"),
		ok("-", "", entityA, "", "", none), ok("-", "", entityB, "", "", none, headerEntity, entityB), ok("-", "", entityA, "", "", selection{handlePartner, ""}), ok("-", userA, entityA, "", "", selection{handleUser, userA}), ok("-", userA, entityB, "", "", selection{handleUser, userA}, headerEntity, entityB, headerEntityUser, strings.ToUpper(userA)),
		// Entities.
		ok("billing", userB, entityB, "", "/as/billing", none, headerEntity, strings.ToUpper(entityB)), no(&problemEntity, "", "/as/billing", none, headerEntity, entityA), no(&problemInvalidIdentity, "", "/as/billing", none, headerEntity, "x"),
		ok("shop", "", "", "", "/shop", none), ok("shop", "", entityA, "", "/shop", none, headerEntity, entityA), ok("shop", "", entityB, "", "/shop", none, headerEntity, entityB), no(&problemEntity, "", "/shop", none, headerEntity, userA),
		no(&problemEntity, "reports:1", "", none, headerEntity, entityB), ok("user", userC, "", "", "", none, headerIdentity, "user"), no(&problemEntity, "", "", none, headerIdentity, "user", headerEntity, entityA),
		// Users.
		ok("billing", userB, entityB, "", "/as/billing", none, headerEntityUser, userB), no(&problemEntityUser, "", "/as/billing", none, headerEntityUser, userA), no(&problemInvalidIdentity, "", "/as/billing", none, headerEntityUser, ""), no(&problemEntityUser, "", "/shop", none, headerEntityUser, userA), no(&problemEntityUser, "reports:1", "", none, headerEntityUser, userB),
		// A user belongs to its entity, whoever names it.
		ok("-", userB, entityB, "", "", none, headerEntityUser, userB), ok("-", userB, entityB, "", "", none, headerEntityUser, userB, headerEntity, entityB), no(&problemEntity, "", "", none, headerEntityUser, userB, headerEntity, entityA), ok("-", userB, entityB, "", "", selection{handleUser, userB}), no(&problemEntity, "", "", selection{handleUser, userB}, headerEntity, entityA),
		ok("other-user-b", userB, entityB, "", "", none, headerIdentity, "other-user-b"), no(&problemEntity, "", "", none, headerIdentity, "other-user-b", headerEntity, entityA), ok("user-b", userB, entityB, "", "", none, headerIdentity, "user-b"), ok("user-b", userB, entityB, "", "", none, headerIdentity, "user-b", headerEntity, entityB), no(&problemEntity, "", "", none, headerIdentity, "user-b", headerEntity, entityA),
		no(&problemEntity, "", "", none, headerIdentity, "stuck"), no(&problemEntity, "", "", none, headerIdentity, "stuck", headerEntity, entityA), no(&problemEntity, "", "", none, headerIdentity, "stuck", headerEntity, entityB),
		// Names that lead nowhere, or not on this way.
		no(&problemUnknownIdentity, "", "", none, headerIdentity, "nobody"), no(&problemUnknownIdentity, "", "", none, headerIdentity, ""), no(&problemUnknownIdentity, "", "", none, headerIdentity, "Billing"), no(&problemUnknownIdentity, "", "", none, headerIdentity, " billing"), no(&problemUnknownIdentity, "", "", none, headerIdentity, "default"), no(&problemUnknownIdentity, "", "", none, headerIdentity, "-"),
		no(&problemUnknownIdentity, "", "", none, headerIdentity, "reports"), no(&problemUnknownIdentity, "", "", named("reports")), no(&problemUnknownIdentity, "", "", none, headerIdentity, "any"), no(&problemUnknownIdentity, "", "", named("nobody")), no(&problemUnknownIdentity, "gone:1", "", none), no(&problemUnknownIdentity, "gone:1", "", none, headerIdentity, "billing"),
		no(&problemUnknownIdentity, "billing:1", "", none, headerIdentity, "nobody"), no(&problemUnknownIdentity, "", "/as/billing", named("nobody")), no(&problemUnknownIdentity, "", "", named("nobody"), headerIdentity, "billing"),
		// Ways that disagree.
		no(&problemDuplicateIdentity, "billing:1", "", none, headerIdentity, "shop"), no(&problemDuplicateIdentity, "billing:1", "/shop", none), no(&problemDuplicateIdentity, "", "/as/billing", none, headerIdentity, "shop"), no(&problemDuplicateIdentity, "", "/as/billing", none, headerIdentity, "reports"), no(&problemDuplicateIdentity, "reports:1", "/as/billing", none), no(&problemDuplicateIdentity, "billing:1", "", named("shop")),
		no(&problemDuplicateIdentity, "", "", named("shop"), headerIdentity, "billing"), no(&problemDuplicateIdentity, "", "/shop", named("billing")), no(&problemDuplicateIdentity, "", "/shop", selection{handlePartner, ""}), no(&problemDuplicateIdentity, "billing:1", "", selection{handleUser, userB}), no(&problemDuplicateIdentity, "", "", selection{handlePartner, ""}, headerIdentity, "shop"),
		no(&problemDuplicateIdentity, "", "", selection{handlePartner, ""}, headerEntityUser, userA), no(&problemDuplicateIdentity, "", "", selection{handleUser, userA}, headerEntityUser, userB), no(&problemDuplicateIdentity, "", "", none, headerIdentity, "billing", headerIdentity, "billing"), no(&problemInvalidIdentity, "", "/as/billing", none, "x_monite_identity", "shop"), no(&problemEntityUser, "", "", selection{handleUser, userC}),
	}
}

func TestResolveNamed(t *testing.T) {
	rows := namedRows()
	for _, row := range rows {
		identity, problem := row.resolve(wireHeader(row.fields))
		name, user := "-", identity.Grant.EntityUserID
		if identity.Named != nil {
			name = identity.Named.Name
		}
		if row.want != nil {
			if problem != row.want || identity != (Identity{}) {
				t.Errorf("%+v: resolve = %s %v, %v, want %v", row, name, identity, problem, row.want)
			}
			continue
		}
		if problem != nil || name != row.name || user != row.user || identity.EntityID != row.entity || (identity.Grant.Type == tokencache.EntityUser) != (user != "") {
			t.Errorf("%+v: resolve = %s, %v, %v", row, name, identity, problem)
		}
		checkNamed(t, row, wireHeader(row.fields), identity, problem)
	}
	t.Logf("%d rows", len(rows))
}

// checkNamed states what must hold of any result under people.
func checkNamed(t *testing.T, row namedRow, header http.Header, identity Identity, problem *problem) {
	t.Helper()
	if problem != nil {
		if identity != (Identity{}) {
			t.Errorf("%+v %v: a refusal with the identity %v", row, header, identity)
		}
		return
	}
	said := map[string]bool{} // the names that listener, prefix, header and handle stand for
	owner := func(of func(Named) string, value string) {
		for _, n := range people().Named {
			if value != "" && of(n) == value {
				said[n.Name] = true
			}
		}
	}
	owner(func(n Named) string { return n.Listener }, row.listener)
	owner(func(n Named) string { return n.PathPrefix }, row.prefix)
	direct := len(said) == 0
	var entities []string
	for field, values := range header {
		switch strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(field)) {
		case "x-monite-entity-id":
			entities = append(entities, values...)
		case "x-monite-identity":
			for _, value := range values {
				said[value] = true
			}
		}
	}
	if row.handle.kind == handleNamed {
		said[row.handle.of] = true
	}
	if row.listener != "" && identity.Named == nil {
		t.Errorf("%+v %v: the default identity on a named listener", row, header)
	}
	switch {
	case identity.Named == nil && len(said) > 0:
		t.Errorf("%+v %v: %v was asked for, the default was given", row, header, said)
	case identity.Named != nil && (len(said) != 1 || !said[identity.Named.Name]):
		t.Errorf("%+v %v: %v was asked for, %s was given", row, header, said, identity.Named.Name)
	case identity.Named != nil && direct && !identity.Named.ByName:
		t.Errorf("%+v %v: %s was reached by name", row, header, identity.Named.Name)
	case identity.Named != nil && identity.Grant != identity.Named.Grant:
		t.Errorf("%+v %v: grant %v", row, header, identity.Grant)
	}
	if identity.Grant.EntityUserID == userB && identity.EntityID != entityB {
		t.Errorf("%+v %v: user B is sent with entity %s", row, header, identity.EntityID)
	}
	if len(entities) > 1 || len(entities) == 1 && !strings.EqualFold(entities[0], identity.EntityID) {
		t.Errorf("%+v %v: sent with entity %s", row, header, identity.EntityID)
	}
}

func TestPathPrefix(t *testing.T) {
	v := newView(people())
	for path, want := range map[string]string{ // name, rest; "!" is a refusal
		"/v1/payables": " /v1/payables", "/": " /", "": " ", "/as": "!", "/as/": "!", "/as/billing": "!", "/as/billing/": "billing /", "/as/billing/v1/payables": "billing /v1/payables", "/as/billing/v1/payables/": "billing /v1/payables/",
		"/as/billing/v1": "billing /v1", "/as/billingx/v1/payables": "!", "/as/Billing/v1/payables": "!", "/As/billing/v1/payables": "!", "/%61s/billing/v1/payables": "!", "/as/%62illing/v1/payables": "!", "/as%20/billing/v1": "!", "/as./billing/v1": "!", "/as/shop/v1": "!",
		"/shop/v1/x": "shop /v1/x", "/shopx/v1/x": " /shopx/v1/x", "/shop": "!", "/SHOP/v1/x": "!", "/shop/shop/v1/x": "!", "/shop/as/billing/v1/x": "!", "/any/thing/at-all/v1/x": "any /v1/x", "/any/thing/v1/x": "!", "/x/as/billing/v1": " /x/as/billing/v1", "/v1/as/billing/x": " /v1/as/billing/x", "/V1/x": " /V1/x", "/%zz/x": " /%zz/x", "x": " x",
	} {
		n, rest, ok := v.strip(path)
		got := "!"
		if ok {
			got = " " + rest
			if n != nil {
				got = n.Name + got
			}
		}
		if got != want {
			t.Errorf("strip(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestLocationUnderPrefix(t *testing.T) {
	billing := &Named{PathPrefix: "/as/billing"}
	for _, c := range [][2]string{
		{"/v1/x", "/as/billing/v1/x"}, {"/v1/x?a=b#c", "/as/billing/v1/x?a=b#c"}, {"/", "/as/billing/"}, {"x/y", "/as/billing/v1/payables/x/y"}, {"../x", "/as/billing/v1/x"}, {"../../../../../v1/x", "/as/billing/v1/x"}, {"/../v1/x", "/as/billing/v1/x"}, {"/as/billing/v1/x", "/as/billing/as/billing/v1/x"},
		{"?a=b", "?a=b"}, {"", ""}, {"#x", "#x"}, {"https://evil.example/v1/x", "https://evil.example/v1/x"}, {"//evil.example/x", "//evil.example/x"}, {"mailto:a@b", "mailto:a@b"}, {"/v1/%2e%2e/x", ""}, {"/%2E./v1/x", ""}, {"/v1\\x", ""}, {"/v1/\tx", ""}, {"http:/v1/x", ""}, {"https:v1/x", ""}, {"/v1/a%20b", "/as/billing/v1/a%20b"},
	} {
		record := &Record{prefix: billing, path: "/v1/payables/p"}
		if got := underPrefix(c[0], record); got != c[1] {
			t.Errorf("underPrefix(%q) = %q, want %q", c[0], got, c[1])
		}
		if got := underPrefix(c[0], &Record{path: "/v1/x"}); got != c[0] {
			t.Errorf("without a prefix: underPrefix(%q) = %q", c[0], got)
		}
	}
}

func TestRulesOfIdentity(t *testing.T) {
	for _, c := range []struct {
		named  Named
		method string
		want   *problem
	}{
		{Named{}, "POST", nil}, {Named{ReadOnly: true}, "GET", nil}, {Named{ReadOnly: true}, "HEAD", nil}, {Named{ReadOnly: true}, "POST", &problemIdentityReadOnly}, {Named{ReadOnly: true}, "DELETE", &problemIdentityReadOnly},
	} {
		if got := c.named.refuses(c.method, "/v1/payables", 0); got != c.want {
			t.Errorf("%+v %s: %v, want %v", c.named, c.method, got, c.want)
		}
	}
}

func tokenGrant(text string) tokencache.GrantType { return tokencache.GrantType(text) }

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
	h := &Handler{}
	h.SetPolicy(policy)
	for name, c := range map[string]struct {
		target string
		fields []string
	}{
		"by prefix": {"/as/billing/v1/payables/" + entityA + "/approve_payment_operation?limit=5", nil},
		"by name":   {"/v1/payables/" + entityA + "/approve_payment_operation?limit=5", []string{headerIdentity + ": billing"}},
	} {
		b.Run(name, func(b *testing.B) {
			fields := append([]string{"Accept: application/json", "User-Agent: axios/1.7", "Connection: keep-alive", headerEntity + ": " + entityB}, c.fields...)
			in, err := http.ReadRequest(bufio.NewReader(strings.NewReader(get(c.target, fields...))))
			if err != nil {
				b.Fatal(err)
			}
			g := testGuard()
			record := &Record{}
			b.ReportAllocs()
			for b.Loop() {
				path, _, _ := strings.Cut(in.RequestURI, "?")
				record.view = h.policy.Load()
				record.prefix, record.path, _ = record.view.strip(path)
				record.route = routes.Find(record.path)
				if p := g.check(in, record.path); p != nil {
					b.Fatal(p)
				}
				if _, p := h.identify(in, way{prefix: record.prefix}, record); p != nil {
					b.Fatal(p)
				}
			}
		})
	}
}

// The history keeps records for a long time, and policies are replaced.
func TestKeptRecordHoldsNoPolicyAndNoPath(t *testing.T) {
	o := listen(t, answering(answer(200, "application/json", `{}`)))
	r := newRig(t, o.url, withPeople)
	r.do("GET", "/as/billing/v1/payables/"+userA, "")
	if record := r.record(); record.view != nil || record.prefix != nil || record.path != "" {
		t.Errorf("record %+v", record)
	}
}
