package main

import (
	"fmt"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/internal/ids"
)

// status is what /status shows of the named identities; nil without any. It does
// not wait for a reload that is under way.
func (i *identities) status() *admin.NamedStatus {
	named := i.shown.Load()
	if named == nil {
		return nil
	}
	status := &admin.NamedStatus{Stale: i.stale.Load()}
	for _, one := range named.All {
		status.All = append(status.All, admin.NamedIdentity{
			Name: one.Name, GrantType: one.GrantType, UserHash: ids.Hash(one.EntityUserID), Entities: entitiesInShort(one),
			Ways: waysTo(one), Rules: len(one.Allow) + len(one.Deny), Access: access(one), ReadOnly: one.ReadOnly, AuditOnly: one.AuditOnly,
		})
	}
	return status
}

// entitiesInShort: a file may allow thousands of them.
func entitiesInShort(i config.Identity) string {
	if n := len(i.AllowedEntityIDs.IDs()); n > 1 {
		return fmt.Sprintf("one of %d that the app names", n)
	}
	return entitiesOf(i)
}

// access says what the rules come to. A list that is there has a rule.
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
