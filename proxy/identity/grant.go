package identity

import (
	"net/http"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Grant decides what a request for a token may have: of a named identity only
// its own grant, of the default one what its headers could select.
func (v *View) Grant(header http.Header, by Arrival, grant tokencache.GrantType, user string) (Selection, Refusal) {
	if refusal := CheckFields(header); refusal != None {
		return Selection{}, refusal
	}
	switch grant {
	case tokencache.ClientCredentials:
		if user != "" {
			return Selection{}, TokenRequest
		}
	case tokencache.EntityUser:
		id, ok := ids.Parse(user)
		if !ok {
			return Selection{}, TokenRequest
		}
		user = id
	default:
		return Selection{}, TokenRequest
	}
	by.Handle = Selection{} // that of an old token says nothing of a new one
	named, refusal := v.selectNamed(header, by)
	if refusal != None {
		return Selection{}, refusal
	}
	if named != nil {
		if refusal := named.checkUser(header); refusal != None {
			return Selection{}, refusal
		}
		switch {
		case named.Grant.Type != grant:
			return Selection{}, Grant
		case named.Grant.EntityUserID != user:
			return Selection{}, User
		}
		return Selection{KindNamed, named.Name}, None
	}
	selected := Selection{KindPartner, ""}
	if grant == tokencache.EntityUser {
		selected = Selection{KindUser, user}
	} else if v.Default.Type != tokencache.ClientCredentials {
		return Selection{}, Grant // it would be a promotion
	}
	_, refusal = v.selectUser(header, selected)
	return selected, refusal
}
