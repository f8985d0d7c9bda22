package config

import (
	"crypto/sha256"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/monite-proxy/monite-proxy/internal/files"
	"github.com/monite-proxy/monite-proxy/internal/routes"
)

// Identity is one named identity, as MONITE_IDENTITIES_FILE has it.
type Identity struct {
	Name string
	// GrantType is client_credentials or entity_user.
	GrantType string
	// EntityUserID is a lower-case UUID with entity_user, else empty.
	EntityUserID string
	// EntityID is sent where the app names none: entity_id, or the one element of
	// allowed_entity_ids. Empty: then no entity is sent.
	EntityID string
	// AllowedEntityIDs always holds EntityID.
	AllowedEntityIDs AllowList
	// APIVersion is a date. Empty: that of MONITE_API_VERSION.
	APIVersion string
	// PathPrefix is like /as/billing. Empty: none.
	PathPrefix string
	// Listen is its own listener. The zero value: none.
	Listen Listen
	// SocketMode is the mode of the socket that Listen names.
	SocketMode fs.FileMode
	// ByName: X-Monite-Identity reaches it on the data listener.
	ByName   bool
	ReadOnly bool
	// AuditOnly: what Rules refuse is logged and let pass.
	AuditOnly bool
	// Rules are Allow and Deny, compiled; nil without either.
	Rules       *routes.Rules
	Allow, Deny []string
}

// Identities are the content of MONITE_IDENTITIES_FILE; immutable.
type Identities struct {
	All []Identity // in the order of the file
	// Warnings are to be said aloud. They hold no id.
	Warnings []string
	sum      [sha256.Size]byte
}

// Same reports whether both were read from the same bytes.
func (i *Identities) Same(other *Identities) bool { return i.sum == other.sum }

// maxIdentitiesFile bounds the file, in bytes.
const maxIdentitiesFile = 1 << 20

// IdentitiesPath is the absolute path of MONITE_IDENTITIES_FILE; empty without it.
func (c *Config) IdentitiesPath() string { return c.identitiesPath }

// ReadIdentities reads the file again. The error is an *Error with every
// mistake and its line; what is in use is not touched.
func (c *Config) ReadIdentities() (*Identities, error) {
	var wrong mistakes
	read := readIdentities(c, &wrong)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	return read, nil
}

// Pairs are the entity users that belong to one entity: those of identities with
// a user and a fixed entity, and the default ones, unless apps may name further
// entities. Such a user is never sent with another entity.
func (c *Config) Pairs(identities *Identities) map[string]string {
	pairs := map[string]string{}
	if user, entity, ok := c.defaultPair(); ok {
		pairs[user] = entity
	}
	if identities != nil {
		for _, i := range identities.All {
			if i.EntityUserID != "" && i.fixed() {
				pairs[i.EntityUserID] = i.EntityID
			}
		}
	}
	return pairs
}

func (c *Config) defaultPair() (user, entity string, ok bool) {
	only := !c.AllowedEntityIDs.Any() && slices.Equal(c.AllowedEntityIDs.IDs(), []string{c.EntityID})
	return c.EntityUserID, c.EntityID, c.EntityUserID != "" && c.EntityID != "" && only
}

// fixed reports whether EntityID is the only allowed entity.
func (i *Identity) fixed() bool {
	return i.EntityID != "" && !i.AllowedEntityIDs.Any() && len(i.AllowedEntityIDs.ids) == 1
}

func buildIdentities(cfg *Config, path string, wrong *mistakes) {
	if path == "" {
		return
	}
	// A later change of the working directory must not lead elsewhere.
	absolute, err := filepath.Abs(path)
	if err != nil {
		wrong.refuse("MONITE_IDENTITIES_FILE", "")
		return
	}
	cfg.identitiesPath = absolute
	cfg.Identities = readIdentities(cfg, wrong)
}

func readIdentities(cfg *Config, wrong *mistakes) *Identities {
	text, err := files.Read(cfg.identitiesPath, maxIdentitiesFile)
	if err != nil {
		wrong.refuse("MONITE_IDENTITIES_FILE", err.Error())
		return nil
	}
	return parseIdentities(text, cfg, wrong)
}
