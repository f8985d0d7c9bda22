package proxy

import (
	"net/http"
	"strings"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

// The header fields by which an app says on whose behalf it calls.
const (
	headerEntity     = "X-Monite-Entity-Id"
	headerEntityUser = "X-Monite-Entity-User-Id"
	headerIdentity   = "X-Monite-Identity"
)

// Allowed says which ids an app may name.
type Allowed interface {
	Contains(id string) bool // id is a lower-case UUID
}

// Policy is what the operator allows. Ids are lower-case UUIDs.
type Policy struct {
	// Default is the grant of a request that names no entity user.
	Default tokencache.Grant
	// EntityID is sent where the app names none. Empty: no entity header then.
	EntityID string
	// Entities and EntityUsers an app may name. nil: none.
	Entities, EntityUsers Allowed
}

// Identity is on whose behalf one request is sent.
type Identity struct {
	Grant tokencache.Grant
	// EntityID is the entity header; empty: none is sent.
	EntityID string
}

// resolve decides it from the header and the policy: exactly one identity, or
// a refusal. It never falls back from an entity user to the partner token,
// which would be a promotion, nor from a named entity to the default.
func (p *Policy) resolve(header http.Header) (Identity, *problem) {
	if problem := checkTwins(header); problem != nil {
		return Identity{}, problem
	}
	if len(header[headerIdentity]) > 0 {
		return Identity{}, &problemUnknownIdentity
	}
	identity := Identity{Grant: p.Default, EntityID: p.EntityID}
	if values := header[headerEntityUser]; len(values) > 0 {
		id, ok := uuid(values[0])
		if !ok {
			return Identity{}, &problemInvalidIdentity
		}
		if p.EntityUsers == nil || !p.EntityUsers.Contains(id) {
			return Identity{}, &problemEntityUser
		}
		identity.Grant = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: id}
	}
	if values := header[headerEntity]; len(values) > 0 {
		id, ok := uuid(values[0])
		if !ok {
			return Identity{}, &problemInvalidIdentity
		}
		if p.Entities == nil || !p.Entities.Contains(id) {
			return Identity{}, &problemEntity
		}
		identity.EntityID = id
	}
	return identity, nil
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
		canonical, twin := plainName(name)
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

// uuid checks 8-4-4-4-12 hexadecimal digits and returns them in lower case.
func uuid(text string) (string, bool) {
	if len(text) != 36 {
		return "", false
	}
	for i := range len(text) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if text[i] != '-' {
				return "", false
			}
		} else if unhex(text[i]) < 0 {
			return "", false
		}
	}
	return strings.ToLower(text), true
}
