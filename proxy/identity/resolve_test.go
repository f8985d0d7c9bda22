package identity

import (
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

const (
	entityA = "11111111-aaaa-4aaa-8aaa-111111111111"
	entityB = "22222222-bbbb-4bbb-8bbb-222222222222"
	userA   = "33333333-cccc-4ccc-8ccc-333333333333"
	userB   = "44444444-dddd-4ddd-8ddd-444444444444"
)

type idSet map[string]bool

func (s idSet) Contains(id string) bool { return s[id] }

var (
	partner = tokencache.Grant{Type: tokencache.ClientCredentials}
	asUserA = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: userA}
	asUserB = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: userB}
)

type anyID struct{}

func (anyID) Contains(string) bool { return true }

var policies = map[string]Policy{
	"partner":     {Default: partner},
	"pinned":      {Default: partner, EntityID: entityA, Entities: idSet{entityA: true}},
	"allow":       {Default: partner, EntityID: entityA, Entities: idSet{entityA: true, entityB: true}, EntityUsers: idSet{userA: true}},
	"user":        {Default: asUserB, EntityID: entityB, Entities: idSet{entityB: true}, EntityUsers: idSet{userB: true}},
	"user, no id": {Default: asUserB},
	"open":        {Default: partner, Entities: anyID{}, EntityUsers: anyID{}},
}

type resolveRow struct {
	policy   string
	fields   []string
	identity Identity
	want     Refusal
}

func resolveRows() []resolveRow {
	no := func(want Refusal, policy string, fields ...string) resolveRow {
		return resolveRow{policy, fields, Identity{}, want}
	}
	yes := func(grant tokencache.Grant, entity, policy string, fields ...string) resolveRow {
		return resolveRow{policy, fields, Identity{Grant: grant, EntityID: entity}, None}
	}
	rows := []resolveRow{
		yes(partner, "", "partner"), yes(partner, entityA, "pinned"), yes(partner, entityA, "allow"), yes(asUserB, entityB, "user"),
		yes(asUserB, "", "user, no id"), yes(partner, "", "open"),
		yes(partner, entityA, "pinned", HeaderEntity, entityA), yes(partner, entityB, "allow", HeaderEntity, entityB),
		yes(partner, entityA, "allow", HeaderEntity, strings.ToUpper(entityA)),
		yes(asUserA, entityA, "allow", HeaderUser, userA), yes(asUserA, entityB, "allow", HeaderUser, strings.ToUpper(userA), HeaderEntity, entityB),
		yes(asUserB, entityB, "user", HeaderUser, userB, HeaderEntity, entityB),
		yes(asUserA, entityB, "open", HeaderUser, userA, HeaderEntity, entityB), yes(asUserB, "", "open", HeaderUser, userB),
		no(Entity, "partner", HeaderEntity, entityA), no(User, "partner", HeaderUser, userA), no(Entity, "pinned", HeaderEntity, entityB),
		no(User, "pinned", HeaderUser, userA),
		no(Entity, "user", HeaderEntity, entityA), no(User, "user", HeaderUser, userA), no(User, "user, no id", HeaderUser, userB),
		no(User, "allow", HeaderUser, userB),
		no(User, "allow", HeaderUser, entityA), no(Entity, "allow", HeaderEntity, userA),
		no(User, "allow", HeaderUser, userB, HeaderEntity, entityA), no(Entity, "allow", HeaderUser, userA, HeaderEntity, userB),
		no(Unknown, "allow", HeaderName, "billing"), no(Unknown, "open", HeaderName, ""),
		no(Unknown, "allow", HeaderName, "billing", HeaderEntity, entityA),
	}
	for _, name := range []string{HeaderEntity, HeaderUser} {
		id, other := entityA, entityB
		if name == HeaderUser {
			id, other = userA, userB
		}
		for _, value := range []string{
			"", " ", "null", "*", "default", id + " ", " " + id, id + "\t", id + ",", id + "," + other, id + ", " + id, "{" + id + "}",
			"urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), strings.ReplaceAll(id, "-", "_"),
			id[:35], id + "0", "g" + id[1:], id[:8] + id[9:] + "0", "\u00a0" + id, strings.Repeat("0", 36), strings.Repeat("-", 36),
			id[:35] + "\u0661", `"` + id + `"`, id + ";", id[:35] + "%",
		} {
			rows = append(rows, no(Malformed, "allow", name, value), no(Malformed, "open", name, value))
		}
		rows = append(rows, no(Duplicate, "allow", name, id, name, id), no(Duplicate, "allow", name, id, name, other),
			no(Duplicate, "allow", name, "", name, id), no(Duplicate, "open", name, other, name, id))
		under := strings.ReplaceAll(name, "-", "_")
		for _, twin := range []string{under, strings.ToLower(under), strings.ToUpper(under), strings.Replace(name, "-", "_", 1),
			strings.Replace(name, "Monite-", "Monite_", 1), strings.ToLower(strings.Replace(name, "-Id", "_ID", 1))} {
			rows = append(rows, no(Malformed, "allow", twin, id), no(Malformed, "allow", twin, ""), no(Duplicate, "allow", twin, id, name, id),
				no(Duplicate, "allow", name, id, twin, other), no(Duplicate, "open", twin, id, twin, id))
		}
	}
	return append(rows, no(Duplicate, "allow", HeaderName, "a", HeaderName, "a"), no(Malformed, "allow", "x_monite_identity", "a"))
}

// wireHeader is what net/http makes of fields.
func wireHeader(fields []string) http.Header {
	header := http.Header{}
	for i := 0; i < len(fields); i += 2 {
		header.Add(fields[i], fields[i+1])
	}
	return header
}

func TestResolve(t *testing.T) {
	rows := resolveRows()
	for _, c := range rows {
		identity, refusal := NewView(policies[c.policy]).Resolve(wireHeader(c.fields), Arrival{})
		if identity != c.identity || refusal != c.want {
			t.Errorf("%s %q: resolve = %v, %v, want %v, %v", c.policy, c.fields, identity, refusal, c.identity, c.want)
		}
	}
	t.Logf("%d rows", len(rows))
}

// Every combination of default, lists and headers, against the contract in
// words.
func TestResolveNeverWidens(t *testing.T) {
	values := []string{"-", entityA, entityB, userA, userB, "x", ""}
	n := 0
	for name, policy := range policies {
		for _, entity := range values {
			for _, user := range values {
				var fields []string
				if entity != "-" {
					fields = append(fields, HeaderEntity, entity)
				}
				if user != "-" {
					fields = append(fields, HeaderUser, user)
				}
				identity, refusal := NewView(policy).Resolve(wireHeader(fields), Arrival{})
				checkResolved(t, name, policy, wireHeader(fields), identity, refusal)
				n++
			}
		}
	}
	t.Logf("%d combinations", n)
}

// checkResolved states what must hold of any result.
func checkResolved(t *testing.T, name string, policy Policy, header http.Header, identity Identity, refusal Refusal) {
	t.Helper()
	if refusal != None {
		if identity != (Identity{}) {
			t.Errorf("%s %v: a refusal with the identity %v", name, header, identity)
		}
		return
	}
	var entities, users []string
	for field, values := range header {
		switch strings.ToLower(strings.ReplaceAll(field, "_", "-")) {
		case "x-monite-entity-id":
			entities = append(entities, values...)
		case "x-monite-entity-user-id":
			users = append(users, values...)
		case "x-monite-identity":
			t.Errorf("%s %v: a named identity passes", name, header)
		}
	}
	wantGrant, wantEntity := policy.Default, policy.EntityID
	if len(users) > 0 {
		wantGrant = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: strings.ToLower(users[0])}
		if policy.EntityUsers == nil || !policy.EntityUsers.Contains(wantGrant.EntityUserID) {
			t.Errorf("%s %v: this user is not allowed", name, header)
		}
	}
	if len(entities) > 0 {
		wantEntity = strings.ToLower(entities[0])
		if policy.Entities == nil || !policy.Entities.Contains(wantEntity) {
			t.Errorf("%s %v: this entity is not allowed", name, header)
		}
	}
	if len(users) > 1 || len(entities) > 1 || identity != (Identity{Grant: wantGrant, EntityID: wantEntity}) {
		t.Errorf("%s %v: resolve = %v, want %v %v", name, header, identity, wantGrant, wantEntity)
	}
}

func FuzzResolve(f *testing.F) {
	for _, c := range resolveRows() {
		fields := append(append([]string{}, c.fields...), "", "", "", "")
		f.Add(fields[0], fields[1], fields[2], fields[3], "", "", uint8(0), "")
	}
	for _, c := range namedRows() {
		fields := append(append([]string{}, c.fields...), "", "", "", "")
		f.Add(fields[0], fields[1], fields[2], fields[3], c.listener, c.prefix, c.handle.Kind, c.handle.Of)
	}
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, listener, prefix string, kind uint8, of string) {
		header := wireHeader([]string{name1, value1, name2, value2})
		for name, policy := range policies {
			identity, refusal := NewView(policy).Resolve(header, Arrival{})
			checkResolved(t, name, policy, header, identity, refusal)
		}
		switch kind { // a handle that was read is one of these
		case KindPartner:
			of = ""
		case KindUser:
			id, ok := ids.Parse(of)
			if !ok {
				return
			}
			of = id
		case KindNamed:
			if of == "" {
				return
			}
		default:
			kind, of = KindNone, ""
		}
		row := namedRow{listener: listener, prefix: prefix, handle: Selection{kind, of}}
		identity, refusal := row.resolve(header)
		checkNamed(t, row, header, identity, refusal)
	})
}

func TestTwinsOfIdentityFieldsAreRefused(t *testing.T) {
	for _, name := range []string{"X.Monite.Entity.Id", "X-Monite-Entity.Id", "X-Monite-Entity-Id-", "X~monite~identity", "X_monite_entity_user_id"} {
		if got := CheckFields(http.Header{name: {"11111111-1111-4111-8111-111111111111"}}); got != Malformed {
			t.Errorf("CheckFields(%s) = %v, want invalid", name, got)
		}
		if got := CheckFields(http.Header{name: {"a"}, http.CanonicalHeaderKey(strings.Map(func(r rune) rune {
			if r == '.' || r == '_' || r == '~' {
				return '-'
			}
			return r
		}, strings.TrimRight(name, "-"))): {"b"}}); got != Duplicate {
			t.Errorf("CheckFields(%s and the plain name) = %v, want duplicate", name, got)
		}
	}
}
