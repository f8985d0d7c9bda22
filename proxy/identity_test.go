package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

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
	want     *problem
}

func resolveRows() []resolveRow {
	no := func(want *problem, policy string, fields ...string) resolveRow {
		return resolveRow{policy, fields, Identity{}, want}
	}
	yes := func(grant tokencache.Grant, entity, policy string, fields ...string) resolveRow {
		return resolveRow{policy, fields, Identity{Grant: grant, EntityID: entity}, nil}
	}
	rows := []resolveRow{
		yes(partner, "", "partner"), yes(partner, entityA, "pinned"), yes(partner, entityA, "allow"), yes(asUserB, entityB, "user"), yes(asUserB, "", "user, no id"), yes(partner, "", "open"),
		yes(partner, entityA, "pinned", headerEntity, entityA), yes(partner, entityB, "allow", headerEntity, entityB), yes(partner, entityA, "allow", headerEntity, strings.ToUpper(entityA)),
		yes(asUserA, entityA, "allow", headerEntityUser, userA), yes(asUserA, entityB, "allow", headerEntityUser, strings.ToUpper(userA), headerEntity, entityB),
		yes(asUserB, entityB, "user", headerEntityUser, userB, headerEntity, entityB), yes(asUserA, entityB, "open", headerEntityUser, userA, headerEntity, entityB), yes(asUserB, "", "open", headerEntityUser, userB),
		no(&problemEntity, "partner", headerEntity, entityA), no(&problemEntityUser, "partner", headerEntityUser, userA), no(&problemEntity, "pinned", headerEntity, entityB), no(&problemEntityUser, "pinned", headerEntityUser, userA),
		no(&problemEntity, "user", headerEntity, entityA), no(&problemEntityUser, "user", headerEntityUser, userA), no(&problemEntityUser, "user, no id", headerEntityUser, userB), no(&problemEntityUser, "allow", headerEntityUser, userB),
		no(&problemEntityUser, "allow", headerEntityUser, entityA), no(&problemEntity, "allow", headerEntity, userA), no(&problemEntityUser, "allow", headerEntityUser, userB, headerEntity, entityA), no(&problemEntity, "allow", headerEntityUser, userA, headerEntity, userB),
		no(&problemUnknownIdentity, "allow", headerIdentity, "billing"), no(&problemUnknownIdentity, "open", headerIdentity, ""), no(&problemUnknownIdentity, "allow", headerIdentity, "billing", headerEntity, entityA),
	}
	for _, name := range []string{headerEntity, headerEntityUser} {
		id, other := entityA, entityB
		if name == headerEntityUser {
			id, other = userA, userB
		}
		for _, value := range []string{
			"", " ", "null", "*", "default", id + " ", " " + id, id + "\t", id + ",", id + "," + other, id + ", " + id, "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), strings.ReplaceAll(id, "-", "_"),
			id[:35], id + "0", "g" + id[1:], id[:8] + id[9:] + "0", "\u00a0" + id, strings.Repeat("0", 36), strings.Repeat("-", 36), id[:35] + "\u0661", `"` + id + `"`, id + ";", id[:35] + "%",
		} {
			rows = append(rows, no(&problemInvalidIdentity, "allow", name, value), no(&problemInvalidIdentity, "open", name, value))
		}
		rows = append(rows, no(&problemDuplicateIdentity, "allow", name, id, name, id), no(&problemDuplicateIdentity, "allow", name, id, name, other), no(&problemDuplicateIdentity, "allow", name, "", name, id), no(&problemDuplicateIdentity, "open", name, other, name, id))
		under := strings.ReplaceAll(name, "-", "_")
		for _, twin := range []string{under, strings.ToLower(under), strings.ToUpper(under), strings.Replace(name, "-", "_", 1), strings.Replace(name, "Monite-", "Monite_", 1), strings.ToLower(strings.Replace(name, "-Id", "_ID", 1))} {
			rows = append(rows, no(&problemInvalidIdentity, "allow", twin, id), no(&problemInvalidIdentity, "allow", twin, ""), no(&problemDuplicateIdentity, "allow", twin, id, name, id), no(&problemDuplicateIdentity, "allow", name, id, twin, other), no(&problemDuplicateIdentity, "open", twin, id, twin, id))
		}
	}
	return append(rows, no(&problemDuplicateIdentity, "allow", headerIdentity, "a", headerIdentity, "a"), no(&problemInvalidIdentity, "allow", "x_monite_identity", "a"))
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
		identity, problem := newView(policies[c.policy]).resolve(wireHeader(c.fields), way{})
		if identity != c.identity || problem != c.want {
			t.Errorf("%s %q: resolve = %v, %v, want %v, %v", c.policy, c.fields, identity, problem, c.identity, c.want)
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
					fields = append(fields, headerEntity, entity)
				}
				if user != "-" {
					fields = append(fields, headerEntityUser, user)
				}
				identity, problem := newView(policy).resolve(wireHeader(fields), way{})
				checkResolved(t, name, policy, wireHeader(fields), identity, problem)
				n++
			}
		}
	}
	t.Logf("%d combinations", n)
}

// checkResolved states what must hold of any result.
func checkResolved(t *testing.T, name string, policy Policy, header http.Header, identity Identity, problem *problem) {
	t.Helper()
	if problem != nil {
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
		f.Add(fields[0], fields[1], fields[2], fields[3], c.listener, c.prefix, c.handle.kind, c.handle.of)
	}
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, listener, prefix string, kind uint8, of string) {
		header := wireHeader([]string{name1, value1, name2, value2})
		for name, policy := range policies {
			identity, problem := newView(policy).resolve(header, way{})
			checkResolved(t, name, policy, header, identity, problem)
		}
		switch kind { // a handle that was read is one of these
		case handlePartner:
			of = ""
		case handleUser:
			id, ok := ids.Parse(of)
			if !ok {
				return
			}
			of = id
		case handleNamed:
			if of == "" {
				return
			}
		default:
			kind, of = handleNone, ""
		}
		row := namedRow{listener: listener, prefix: prefix, handle: selection{kind, of}}
		identity, problem := row.resolve(header)
		checkNamed(t, row, header, identity, problem)
	})
}
