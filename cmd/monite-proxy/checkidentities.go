package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/ids"
)

// printIdentities shows the named identities. Users and entities are hashed as
// in /status.
func printIdentities(stdout io.Writer, cfg *config.Config) {
	if cfg.Identities == nil {
		return
	}
	_, _ = fmt.Fprintf(stdout, "\n%d named identities\n", len(cfg.Identities.All))
	for _, i := range cfg.Identities.All {
		line := func(what, text string) {
			if text != "" {
				_, _ = fmt.Fprintf(stdout, "    %-12s %s\n", what, text)
			}
		}
		_, _ = fmt.Fprintf(stdout, "  %s\n", i.Name)
		line("grant", strings.TrimSpace(i.GrantType+" "+ids.Hash(i.EntityUserID)))
		line("entity", entitiesOf(i))
		line("version", i.APIVersion)
		line("reached by", strings.Join(waysTo(i), "; "))
		if i.ReadOnly {
			line("read only", "GET and HEAD")
		}
		line("allow", strings.Join(i.Allow, ", "))
		line("deny", strings.Join(i.Deny, ", "))
		if i.AuditOnly {
			line("audit only", "what the rules refuse is logged and let pass")
		}
	}
	_, _ = fmt.Fprintln(stdout)
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

func waysTo(i config.Identity) []string {
	var ways []string
	if i.Listen.Network != "" {
		at := "listener " + i.Listen.String()
		if i.Listen.Network == "unix" {
			at += fmt.Sprintf(" (mode %#o)", i.SocketMode)
		}
		ways = append(ways, at)
	}
	if i.PathPrefix != "" {
		ways = append(ways, "path prefix "+i.PathPrefix)
	}
	if i.ByName {
		ways = append(ways, "X-Monite-Identity: "+i.Name)
	}
	return ways
}
