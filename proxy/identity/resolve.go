package identity

import (
	"net/http"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/proxy/target"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// The header fields by which an app says on whose behalf it calls.
const (
	HeaderEntity = "X-Monite-Entity-Id"
	HeaderUser   = "X-Monite-Entity-User-Id"
	HeaderName   = "X-Monite-Identity"
)

// Identity says on whose behalf one request is sent.
type Identity struct {
	Grant tokencache.Grant
	// EntityID is the entity header; empty: none is sent.
	EntityID string
	// Named is nil for the default identity.
	Named *Named
}

// Arrival says how a request came in, apart from its header.
type Arrival struct {
	// Listener is the key of a named identity's listener; empty: the main one.
	Listener string
	// Prefix is the identity whose path prefix the request had; nil: none.
	Prefix *Named
	// Handle is the selection for which its Authorization stands.
	Handle Selection
}

// Resolve decides on whose behalf a request is sent, from its header, how it
// arrived and the policy: exactly one identity, or a refusal. It never falls back
// from an entity user to the partner token, which would be a promotion, nor from
// a named entity or identity to the default.
func (v *View) Resolve(header http.Header, by Arrival) (Identity, Refusal) {
	if refusal := CheckFields(header); refusal != None {
		return Identity{}, refusal
	}
	named, refusal := v.selectNamed(header, by)
	if refusal != None {
		return Identity{}, refusal
	}
	identity, allowed := Identity{Grant: v.Default, EntityID: v.EntityID}, v.Entities
	if named != nil {
		identity, allowed = Identity{named.Grant, named.EntityID, named}, named.Entities
		refusal = named.checkUser(header)
	} else {
		identity.Grant, refusal = v.selectUser(header, by.Handle)
	}
	if refusal != None {
		return Identity{}, refusal
	}
	paired := v.Pairs[identity.Grant.EntityUserID] // of the empty id: none
	if paired != "" {
		identity.EntityID = paired
	}
	if values := header[HeaderEntity]; len(values) > 0 {
		id, ok := ids.Parse(values[0])
		switch {
		case !ok:
			return Identity{}, Malformed
		case paired != "":
			// What would be sent without the header may be named, and nothing else.
			ok = id == paired
		default:
			ok = allowed != nil && allowed.Contains(id)
		}
		if !ok {
			return Identity{}, Entity
		}
		identity.EntityID = id
	}
	if named != nil && paired != "" && named.Entities != nil && !named.Entities.Contains(paired) {
		// Its user belongs to an entity that it may not be sent with.
		return Identity{}, Entity
	}
	return identity, None
}

// Asked returns the identity that a refused request asks for, if it is a named one, and
// whether its entity user is configured together with an entity. It is for hints.
func (v *View) Asked(header http.Header, by Arrival) (named *Named, paired bool) {
	named, _ = v.selectNamed(header, by)
	grant := tokencache.Grant{}
	if named != nil {
		grant = named.Grant
	} else {
		grant, _ = v.selectUser(header, by.Handle)
	}
	return named, v.Pairs[grant.EntityUserID] != ""
}

// selectNamed returns the identity that listener, prefix, name and handle agree
// on; nil: the default one.
func (v *View) selectNamed(header http.Header, by Arrival) (*Named, Refusal) {
	var named *Named
	if by.Listener != "" {
		if named = v.byListener[by.Listener]; named == nil {
			return nil, Unknown // it was just removed
		}
	}
	if by.Prefix != nil {
		if named != nil && named != by.Prefix {
			return nil, Duplicate
		}
		named = by.Prefix
	}
	names := [...]string{"", ""}
	if values := header[HeaderName]; len(values) > 0 {
		if names[0] = values[0]; names[0] == "" {
			return nil, Unknown
		}
	}
	switch by.Handle.Kind {
	case KindNone:
	case KindNamed:
		names[1] = by.Handle.Of
	default: // it stands for the default identity
		if named != nil || names[0] != "" {
			return nil, Duplicate
		}
	}
	direct := named == nil // nothing else leads there: a name must be allowed to
	for _, name := range names {
		if name == "" {
			continue
		}
		found := v.byName[name]
		switch {
		case found == nil, direct && !found.ByName:
			return nil, Unknown
		case named != nil && named != found:
			return nil, Duplicate
		}
		named = found
	}
	return named, None
}

// checkUser refuses another user than its own: a named identity acts only as its own
// user.
func (n *Named) checkUser(header http.Header) Refusal {
	values := header[HeaderUser]
	if len(values) == 0 {
		return None
	}
	id, ok := ids.Parse(values[0])
	switch {
	case !ok:
		return Malformed
	case n.Grant.EntityUserID != id:
		return User
	}
	return None
}

// selectUser returns the grant of the default identity: its own, or that of the
// user whom header or handle name.
func (v *View) selectUser(header http.Header, handle Selection) (tokencache.Grant, Refusal) {
	user := ""
	if values := header[HeaderUser]; len(values) > 0 {
		id, ok := ids.Parse(values[0])
		if !ok {
			return tokencache.Grant{}, Malformed
		}
		user = id
	}
	switch handle.Kind {
	case KindPartner:
		switch {
		case user != "":
			return tokencache.Grant{}, Duplicate
		case v.Default.Type != tokencache.ClientCredentials:
			return tokencache.Grant{}, Handle // it was, when the handle was made
		}
	case KindUser:
		if user != "" && user != handle.Of {
			return tokencache.Grant{}, Duplicate
		}
		user = handle.Of
	}
	if user == "" {
		return v.Default, None
	}
	if v.EntityUsers == nil || !v.EntityUsers.Contains(user) {
		return tokencache.Grant{}, User
	}
	return tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: user}, None
}

// CheckFields refuses a repeated identity header, and one spelled with underscores or
// dots: an upstream behind a CGI-like gateway takes all spellings for the same field,
// and dropping it would act as a user or entity that the app did not name.
func CheckFields(header http.Header) Refusal {
	for _, name := range [...]string{HeaderEntity, HeaderUser, HeaderName} {
		if len(header[name]) > 1 {
			return Duplicate
		}
	}
	for name, values := range header {
		canonical, twin := target.FieldName(name)
		if !twin {
			continue
		}
		switch canonical {
		case HeaderEntity, HeaderUser, HeaderName:
			if len(header[canonical]) > 0 || len(values) > 1 {
				return Duplicate
			}
			return Malformed
		}
	}
	return None
}
