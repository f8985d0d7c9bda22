package identity

import (
	"cmp"
	"net/http"
	"strings"
	"testing"

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
			{Name: "billing", Grant: asUserB, EntityID: entityB, Entities: idSet{entityB: true}, PathPrefix: "/as/billing", Listener: "billing:1",
				ByName: true},
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
	handle           Selection
	fields           []string
	name, entity     string // of the identity; name "-" is the default one
	user             string // of the grant; empty: partner
	want             Refusal
}

func (r namedRow) resolve(header http.Header) (Identity, Refusal) {
	v := NewView(people())
	by := Arrival{Listener: r.listener, Handle: r.handle}
	if r.prefix != "" {
		by.Prefix = v.byPrefix[r.prefix]
	}
	identity, refusal := v.Resolve(header, by)
	return identity, refusal
}

func namedRows() []namedRow {
	none := Selection{}
	ok := func(name, user, entity, listener, prefix string, handle Selection, fields ...string) namedRow {
		return namedRow{listener, prefix, handle, fields, name, entity, user, None}
	}
	no := func(want Refusal, listener, prefix string, handle Selection, fields ...string) namedRow {
		return namedRow{listener, prefix, handle, fields, "", "", "", want}
	}
	named := func(name string) Selection { return Selection{KindNamed, name} }
	return []namedRow{
		// By each way, and by several that agree.
		ok("billing", userB, entityB, "billing:1", "", none), ok("billing", userB, entityB, "", "/as/billing", none),
		ok("billing", userB, entityB, "", "", none, HeaderName, "billing"), ok("billing", userB, entityB, "", "", named("billing")),
		ok("billing", userB, entityB, "billing:1", "/as/billing", named("billing"), HeaderName, "billing"),
		ok("reports", "", entityA, "reports:1", "", none), ok("reports", "", entityA, "reports:1", "", named("reports"), HeaderName, "reports"),
		ok("any", "", "", "", "/any/thing/at-all", none), ok("any", "", entityB, "", "/any/thing/at-all", none, HeaderEntity, entityB),
		ok("any", "", userA, "", "/any/thing/at-all", none, HeaderEntity, userA), ok("any", "", "", "", "/any/thing/at-all", none, HeaderName, "any"),
		ok("-", "", entityA, "", "", none), ok("-", "", entityB, "", "", none, HeaderEntity, entityB),
		ok("-", "", entityA, "", "", Selection{KindPartner, ""}), ok("-", userA, entityA, "", "", Selection{KindUser, userA}),
		ok("-", userA, entityB, "", "", Selection{KindUser, userA}, HeaderEntity, entityB, HeaderUser, strings.ToUpper(userA)),
		// Entities.
		ok("billing", userB, entityB, "", "/as/billing", none, HeaderEntity, strings.ToUpper(entityB)),
		no(Entity, "", "/as/billing", none, HeaderEntity, entityA), no(Malformed, "", "/as/billing", none, HeaderEntity, "x"),
		ok("shop", "", "", "", "/shop", none), ok("shop", "", entityA, "", "/shop", none, HeaderEntity, entityA),
		ok("shop", "", entityB, "", "/shop", none, HeaderEntity, entityB), no(Entity, "", "/shop", none, HeaderEntity, userA),
		no(Entity, "reports:1", "", none, HeaderEntity, entityB), ok("user", userC, "", "", "", none, HeaderName, "user"),
		no(Entity, "", "", none, HeaderName, "user", HeaderEntity, entityA),
		// Users.
		ok("billing", userB, entityB, "", "/as/billing", none, HeaderUser, userB), no(User, "", "/as/billing", none, HeaderUser, userA),
		no(Malformed, "", "/as/billing", none, HeaderUser, ""), no(User, "", "/shop", none, HeaderUser, userA),
		no(User, "reports:1", "", none, HeaderUser, userB),
		// A user belongs to its entity, whoever names it.
		ok("-", userB, entityB, "", "", none, HeaderUser, userB), ok("-", userB, entityB, "", "", none, HeaderUser, userB, HeaderEntity, entityB),
		no(Entity, "", "", none, HeaderUser, userB, HeaderEntity, entityA), ok("-", userB, entityB, "", "", Selection{KindUser, userB}),
		no(Entity, "", "", Selection{KindUser, userB}, HeaderEntity, entityA),
		ok("other-user-b", userB, entityB, "", "", none, HeaderName, "other-user-b"),
		no(Entity, "", "", none, HeaderName, "other-user-b", HeaderEntity, entityA),
		ok("user-b", userB, entityB, "", "", none, HeaderName, "user-b"),
		ok("user-b", userB, entityB, "", "", none, HeaderName, "user-b", HeaderEntity, entityB),
		no(Entity, "", "", none, HeaderName, "user-b", HeaderEntity, entityA),
		no(Entity, "", "", none, HeaderName, "stuck"), no(Entity, "", "", none, HeaderName, "stuck", HeaderEntity, entityA),
		no(Entity, "", "", none, HeaderName, "stuck", HeaderEntity, entityB),
		// Names that lead nowhere, or not on this way.
		no(Unknown, "", "", none, HeaderName, "nobody"), no(Unknown, "", "", none, HeaderName, ""),
		no(Unknown, "", "", none, HeaderName, "Billing"), no(Unknown, "", "", none, HeaderName, " billing"),
		no(Unknown, "", "", none, HeaderName, "default"), no(Unknown, "", "", none, HeaderName, "-"),
		no(Unknown, "", "", none, HeaderName, "reports"), no(Unknown, "", "", named("reports")), no(Unknown, "", "", none, HeaderName, "any"),
		no(Unknown, "", "", named("nobody")), no(Unknown, "gone:1", "", none), no(Unknown, "gone:1", "", none, HeaderName, "billing"),
		no(Unknown, "billing:1", "", none, HeaderName, "nobody"), no(Unknown, "", "/as/billing", named("nobody")),
		no(Unknown, "", "", named("nobody"), HeaderName, "billing"),
		// Ways that disagree.
		no(Duplicate, "billing:1", "", none, HeaderName, "shop"), no(Duplicate, "billing:1", "/shop", none),
		no(Duplicate, "", "/as/billing", none, HeaderName, "shop"), no(Duplicate, "", "/as/billing", none, HeaderName, "reports"),
		no(Duplicate, "reports:1", "/as/billing", none), no(Duplicate, "billing:1", "", named("shop")),
		no(Duplicate, "", "", named("shop"), HeaderName, "billing"), no(Duplicate, "", "/shop", named("billing")),
		no(Duplicate, "", "/shop", Selection{KindPartner, ""}), no(Duplicate, "billing:1", "", Selection{KindUser, userB}),
		no(Duplicate, "", "", Selection{KindPartner, ""}, HeaderName, "shop"),
		no(Duplicate, "", "", Selection{KindPartner, ""}, HeaderUser, userA),
		no(Duplicate, "", "", Selection{KindUser, userA}, HeaderUser, userB),
		no(Duplicate, "", "", none, HeaderName, "billing", HeaderName, "billing"),
		no(Malformed, "", "/as/billing", none, "x_monite_identity", "shop"), no(User, "", "", Selection{KindUser, userC}),
	}
}

func TestResolveNamed(t *testing.T) {
	rows := namedRows()
	for _, row := range rows {
		identity, refusal := row.resolve(wireHeader(row.fields))
		name, user := "-", identity.Grant.EntityUserID
		if identity.Named != nil {
			name = identity.Named.Name
		}
		if row.want != None {
			if refusal != row.want || identity != (Identity{}) {
				t.Errorf("%+v: resolve = %s %v, %v, want %v", row, name, identity, refusal, row.want)
			}
			continue
		}
		if refusal != None || name != row.name || user != row.user || identity.EntityID != row.entity ||
			(identity.Grant.Type == tokencache.EntityUser) != (user != "") {
			t.Errorf("%+v: resolve = %s, %v, %v", row, name, identity, refusal)
		}
		checkNamed(t, row, wireHeader(row.fields), identity, refusal)
	}
	t.Logf("%d rows", len(rows))
}

// checkNamed states what must hold of any result under people.
func checkNamed(t *testing.T, row namedRow, header http.Header, identity Identity, refusal Refusal) {
	t.Helper()
	if refusal != None {
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
	if row.handle.Kind == KindNamed {
		said[row.handle.Of] = true
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

// Hints of refusals tell of these two.
func TestWhatARefusedRequestAskedFor(t *testing.T) {
	for _, c := range []struct {
		fields []string
		name   string
		paired bool
	}{
		{nil, "", false},
		{[]string{HeaderName, "billing"}, "billing", true},
		{[]string{HeaderName, "shop"}, "shop", false},
		{[]string{HeaderUser, userA}, "", false},
		{[]string{HeaderUser, userB}, "", true},
	} {
		named, paired := NewView(people()).Asked(wireHeader(c.fields), Arrival{})
		if name := cmp.Or(named, &Named{}).Name; name != c.name || paired != c.paired {
			t.Errorf("%q: %q, paired %t, want %q, %t", c.fields, name, paired, c.name, c.paired)
		}
	}
	if !NewView(people()).HasListeners() || NewView(policies["allow"]).HasListeners() {
		t.Error("whether there are listeners of named identities is not known")
	}
}

func TestPathPrefix(t *testing.T) {
	v := NewView(people())
	for path, want := range map[string]string{ // name, rest; "!" is a refusal
		"/v1/payables": " /v1/payables", "/": " /", "": " ", "/as": "!", "/as/": "!", "/as/billing": "!", "/as/billing/": "billing /",
		"/as/billing/v1/payables": "billing /v1/payables", "/as/billing/v1/payables/": "billing /v1/payables/",
		"/as/billing/v1": "billing /v1", "/as/billingx/v1/payables": "!", "/as/Billing/v1/payables": "!", "/As/billing/v1/payables": "!",
		"/%61s/billing/v1/payables": "!", "/as/%62illing/v1/payables": "!", "/as%20/billing/v1": "!", "/as./billing/v1": "!", "/as/shop/v1": "!",
		"/shop/v1/x": "shop /v1/x", "/shopx/v1/x": " /shopx/v1/x", "/shop": "!", "/SHOP/v1/x": "!", "/shop/shop/v1/x": "!",
		"/shop/as/billing/v1/x": "!", "/any/thing/at-all/v1/x": "any /v1/x", "/any/thing/v1/x": "!", "/x/as/billing/v1": " /x/as/billing/v1",
		"/v1/as/billing/x": " /v1/as/billing/x", "/V1/x": " /V1/x", "/%zz/x": " /%zz/x", "x": " x",
	} {
		n, rest, ok := v.Cut(path)
		got := "!"
		if ok {
			got = " " + rest
			if n != nil {
				got = n.Name + got
			}
		}
		if got != want {
			t.Errorf("Cut(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestRulesOfIdentity(t *testing.T) {
	for _, c := range []struct {
		named  Named
		method string
		want   Refusal
	}{
		{Named{}, "POST", None}, {Named{ReadOnly: true}, "GET", None}, {Named{ReadOnly: true}, "HEAD", None},
		{Named{ReadOnly: true}, "POST", ReadOnly}, {Named{ReadOnly: true}, "DELETE", ReadOnly},
	} {
		if got := c.named.Refuses(c.method, "/v1/payables", 0); got != c.want {
			t.Errorf("%+v %s: %v, want %v", c.named, c.method, got, c.want)
		}
	}
}
