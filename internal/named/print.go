package named

import (
	"fmt"
	"io"
	"strings"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/ids"
)

// Print writes the named identities for people. Users and entities are hashed as
// in /status. named may be nil.
func Print(out io.Writer, named *config.Identities) {
	if named == nil {
		return
	}
	_, _ = fmt.Fprintf(out, "\n%d named identities\n", len(named.All))
	for _, i := range named.All {
		line := func(what, text string) {
			if text != "" {
				_, _ = fmt.Fprintf(out, "    %-12s %s\n", what, text)
			}
		}
		_, _ = fmt.Fprintf(out, "  %s\n", i.Name)
		line("grant", strings.TrimSpace(i.GrantType+" "+ids.Hash(i.EntityUserID)))
		line("entity", entitiesOf(i))
		line("version", i.APIVersion)
		line("reached by", strings.Join(reachedBy(i), "; "))
		if i.ReadOnly {
			line("read only", "GET and HEAD")
		}
		line("allow", strings.Join(i.Allow, ", "))
		line("deny", strings.Join(i.Deny, ", "))
		if i.AuditOnly {
			line("audit only", "what the rules refuse is logged and let pass")
		}
	}
	_, _ = fmt.Fprintln(out)
}

func entitiesOf(i config.Identity) string {
	switch hashes := i.AllowedEntityIDs.IDs(); {
	case i.AllowedEntityIDs.Any():
		return "any that the app names"
	case i.EntityID != "":
		return ids.Hash(i.EntityID)
	case len(hashes) == 0:
		return "none"
	default:
		for n, id := range hashes {
			hashes[n] = ids.Hash(id)
		}
		return "one of " + strings.Join(hashes, ", ") + ", as the app names it"
	}
}

func reachedBy(i config.Identity) []string {
	var all []string
	if i.Listen.Network != "" {
		at := "listener " + i.Listen.String()
		if i.Listen.Network == "unix" {
			at += fmt.Sprintf(" (mode %#o)", i.SocketMode)
		}
		all = append(all, at)
	}
	if i.PathPrefix != "" {
		all = append(all, "path prefix "+i.PathPrefix)
	}
	if i.ByName {
		all = append(all, "X-Monite-Identity: "+i.Name)
	}
	return all
}
