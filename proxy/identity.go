package proxy

import (
	"context"
	"net/http"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/proxy/target"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// The header fields by which an app says on whose behalf it calls.
const (
	headerEntity     = "X-Monite-Entity-Id"
	headerEntityUser = "X-Monite-Entity-User-Id"
	headerIdentity   = "X-Monite-Identity"
)

// Identity is on whose behalf one request is sent.
type Identity struct {
	Grant tokencache.Grant
	// EntityID is the entity header; empty: none is sent.
	EntityID string
	// Named is nil for the default identity.
	Named *Named
}

// way is how a request came in, besides its header.
type way struct {
	listener string    // key of a named identity's listener; empty: the main one
	prefix   *Named    // whose path prefix it had
	handle   selection // what its Authorization stands for
}

type listenerKey struct{}

// OnListener marks the requests of a named identity's listener. key is what
// Named.Listener says.
func OnListener(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, listenerKey{}, key)
}

func listenerOf(ctx context.Context) string {
	key, _ := ctx.Value(listenerKey{}).(string)
	return key
}

// resolve decides on whose behalf a request is sent, from its header, the way it
// came and the policy: exactly one identity, or a refusal. It never falls back
// from an entity user to the partner token, which would be a promotion, nor from
// a named entity or identity to the default.
func (v *view) resolve(header http.Header, by way) (Identity, *problem) {
	if problem := checkTwins(header); problem != nil {
		return Identity{}, problem
	}
	named, problem := v.selectNamed(header, by)
	if problem != nil {
		return Identity{}, problem
	}
	identity, allowed := Identity{Grant: v.Default, EntityID: v.EntityID}, v.Entities
	if named != nil {
		identity, allowed = Identity{named.Grant, named.EntityID, named}, named.Entities
		problem = named.checkUser(header)
	} else {
		identity.Grant, problem = v.selectUser(header, by.handle)
	}
	if problem != nil {
		return Identity{}, problem
	}
	paired := v.Pairs[identity.Grant.EntityUserID] // of the empty id: none
	if paired != "" {
		identity.EntityID = paired
	}
	if values := header[headerEntity]; len(values) > 0 {
		id, ok := ids.Parse(values[0])
		switch {
		case !ok:
			return Identity{}, &problemInvalidIdentity
		case paired != "":
			// What would be sent without the header may be named, and nothing else.
			ok = id == paired
		default:
			ok = allowed != nil && allowed.Contains(id)
		}
		if !ok {
			return Identity{}, &problemEntity
		}
		identity.EntityID = id
	}
	if named != nil && paired != "" && named.Entities != nil && !named.Entities.Contains(paired) {
		// Its user belongs to an entity that it may not be sent with.
		return Identity{}, &problemEntity
	}
	return identity, nil
}

// selectNamed returns the identity that listener, prefix, name and handle agree
// on; nil: the default one.
func (v *view) selectNamed(header http.Header, by way) (*Named, *problem) {
	var named *Named
	if by.listener != "" {
		if named = v.byListener[by.listener]; named == nil {
			return nil, &problemUnknownIdentity // it was removed a moment ago
		}
	}
	if by.prefix != nil {
		if named != nil && named != by.prefix {
			return nil, &problemDuplicateIdentity
		}
		named = by.prefix
	}
	names := [...]string{"", ""}
	if values := header[headerIdentity]; len(values) > 0 {
		if names[0] = values[0]; names[0] == "" {
			return nil, &problemUnknownIdentity
		}
	}
	switch by.handle.kind {
	case handleNone:
	case handleNamed:
		names[1] = by.handle.of
	default: // it stands for the default identity
		if named != nil || names[0] != "" {
			return nil, &problemDuplicateIdentity
		}
	}
	direct := named == nil // no other way leads there: a name must be allowed to
	for _, name := range names {
		if name == "" {
			continue
		}
		found := v.byName[name]
		switch {
		case found == nil, direct && !found.ByName:
			return nil, &problemUnknownIdentity
		case named != nil && named != found:
			return nil, &problemDuplicateIdentity
		}
		named = found
	}
	return named, nil
}

// checkUser: a named identity acts as its own user and nobody else.
func (n *Named) checkUser(header http.Header) *problem {
	values := header[headerEntityUser]
	if len(values) == 0 {
		return nil
	}
	id, ok := ids.Parse(values[0])
	switch {
	case !ok:
		return &problemInvalidIdentity
	case n.Grant.EntityUserID != id:
		return &problemEntityUser
	}
	return nil
}

// selectUser returns the grant of the default identity: its own, or that of the
// user whom header or handle name.
func (v *view) selectUser(header http.Header, handle selection) (tokencache.Grant, *problem) {
	user := ""
	if values := header[headerEntityUser]; len(values) > 0 {
		id, ok := ids.Parse(values[0])
		if !ok {
			return tokencache.Grant{}, &problemInvalidIdentity
		}
		user = id
	}
	switch handle.kind {
	case handlePartner:
		switch {
		case user != "":
			return tokencache.Grant{}, &problemDuplicateIdentity
		case v.Default.Type != tokencache.ClientCredentials:
			return tokencache.Grant{}, &problemHandle // it was, when the handle was made
		}
	case handleUser:
		if user != "" && user != handle.of {
			return tokencache.Grant{}, &problemDuplicateIdentity
		}
		user = handle.of
	}
	if user == "" {
		return v.Default, nil
	}
	if v.EntityUsers == nil || !v.EntityUsers.Contains(user) {
		return tokencache.Grant{}, &problemEntityUser
	}
	return tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: user}, nil
}

// checkTwins refuses a repeated identity header, and one spelled with
// underscores or dots: an upstream behind a CGI-like gateway takes all spellings
// for the same field, and dropping it would act as somebody the app did not name.
func checkTwins(header http.Header) *problem {
	for _, name := range [...]string{headerEntity, headerEntityUser, headerIdentity} {
		if len(header[name]) > 1 {
			return &problemDuplicateIdentity
		}
	}
	for name, values := range header {
		canonical, twin := target.FieldName(name)
		if !twin {
			continue
		}
		switch canonical {
		case headerEntity, headerEntityUser, headerIdentity:
			if len(header[canonical]) > 0 || len(values) > 1 {
				return &problemDuplicateIdentity
			}
			return &problemInvalidIdentity
		}
	}
	return nil
}
