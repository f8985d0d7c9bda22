package named

import (
	"fmt"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/internal/ids"
)

// Count is the number of named identities.
func (k *Keeper) Count() int {
	if named := k.shown.Load(); named != nil {
		return len(named.All)
	}
	return 0
}

// Status returns the named identities' part of /status; nil without any. It does not
// wait for a reload that is under way.
func (k *Keeper) Status() *admin.NamedStatus {
	named := k.shown.Load()
	if named == nil {
		return nil
	}
	status := &admin.NamedStatus{Stale: k.stale.Load()}
	for _, one := range named.All {
		status.All = append(status.All, admin.NamedIdentity{
			Name: one.Name, GrantType: one.GrantType, UserHash: ids.Hash(one.EntityUserID), Entities: entitiesInShort(one),
			Ways: reachedBy(one), Rules: len(one.Allow) + len(one.Deny), Access: access(one), ReadOnly: one.ReadOnly, AuditOnly: one.AuditOnly,
		})
	}
	return status
}

// entitiesInShort gives the number of many entities: a file may allow thousands.
func entitiesInShort(i config.Identity) string {
	if n := len(i.AllowedEntityIDs.IDs()); n > 1 {
		return fmt.Sprintf("one of %d that the app names", n)
	}
	return entitiesOf(i)
}

// access sums up the rules. An empty list is not a list: the file refuses it.
func access(i config.Identity) string {
	text := "everything"
	if len(i.Allow) > 0 {
		text = fmt.Sprintf("%d allowed", len(i.Allow))
	}
	if len(i.Deny) > 0 {
		text += fmt.Sprintf(", %d denied", len(i.Deny))
	}
	return text
}
