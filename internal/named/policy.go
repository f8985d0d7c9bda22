package named

import (
	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Policy returns what the configuration and the identities allow at the start. named
// may be nil.
func Policy(cfg *config.Config, named *config.Identities) identity.Policy {
	return policy(cfg, named, keyOf)
}

// policy gets from key how the servers of a listener name it.
func policy(cfg *config.Config, named *config.Identities, key func(config.Listen) string) identity.Policy {
	p := identity.Policy{
		Default: defaultGrant(cfg), EntityID: cfg.EntityID, Entities: cfg.AllowedEntityIDs, EntityUsers: cfg.AllowedEntityUserIDs,
		Pairs: cfg.Pairs(named),
	}
	if named == nil {
		return p
	}
	for _, i := range named.All {
		n := identity.Named{
			Name: i.Name, Grant: tokencache.Grant{Type: tokencache.GrantType(i.GrantType), EntityUserID: i.EntityUserID},
			EntityID: i.EntityID, APIVersion: i.APIVersion, PathPrefix: i.PathPrefix, Listener: key(i.Listen),
			ByName: i.ByName, ReadOnly: i.ReadOnly, Rules: i.Rules, AuditOnly: i.AuditOnly,
		}
		if i.AllowedEntityIDs.Any() || len(i.AllowedEntityIDs.IDs()) > 0 {
			n.Entities = i.AllowedEntityIDs
		}
		p.Named = append(p.Named, n)
	}
	return p
}

func defaultGrant(cfg *config.Config) tokencache.Grant {
	grant := tokencache.Grant{Type: tokencache.GrantType(cfg.GrantType)}
	if grant.Type == tokencache.EntityUser {
		grant.EntityUserID = cfg.EntityUserID
	}
	return grant
}

// keyOf returns the policy's name for a listener at the start: its address, or empty
// without one.
func keyOf(at config.Listen) string {
	if at.Network == "" {
		return ""
	}
	return at.String()
}
