package config

import (
	"io/fs"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/internal/routes"
)

var identityKeys = []string{
	"name", "grant_type", "entity_user_id", "entity_id", "allowed_entity_ids", "api_version", "path_prefix", "listen_addr",
	"socket_mode", "by_name", "read_only", "allow", "deny", "audit_only",
}

var (
	identityName = pattern(`^[a-z0-9][a-z0-9-]{0,62}$`)
	pathPrefix   = pattern(`^(/[a-z0-9_-]{1,64}){1,8}$`)
	versionPart  = pattern(`/v1(/|$)`)
	socketMode   = pattern(`^06[0246][0246]$`)
)

// identity reads and judges one item of the list. ok only says that it is worth
// looking at further; whether it counts is for the mistakes to say.
func (p *identityParser) identity(node *yaml.Node) (i Identity, ok bool) {
	fields := p.mapping(node, "an identity: a mapping that begins with its name", identityKeys...)
	if fields == nil {
		return Identity{}, false
	}
	i.Name = p.name(node, fields["name"])
	p.grant(&i, node, fields)
	p.entities(&i, fields)
	p.pair(&i, fields["entity_user_id"])
	i.APIVersion = p.date(fields["api_version"])
	i.PathPrefix = p.prefix(fields["path_prefix"])
	p.listen(&i, fields)
	i.ByName = p.flag(fields["by_name"], true)
	if !i.ByName && fields["path_prefix"] == nil && fields["listen_addr"] == nil {
		p.add(fields["by_name"].Line, "true, or a path_prefix or listen_addr with it: nothing reaches this identity")
	}
	i.ReadOnly, i.AuditOnly = p.flag(fields["read_only"], false), p.flag(fields["audit_only"], false)
	var allow, deny []routes.Rule
	i.Allow, allow = p.rules(fields["allow"])
	i.Deny, deny = p.rules(fields["deny"])
	if len(allow)+len(deny) > 0 {
		i.Rules = routes.Compile(allow, deny)
	}
	if i.AuditOnly && fields["allow"] == nil && fields["deny"] == nil {
		p.add(fields["audit_only"].Line, "false, or rules to audit: allow or deny")
	}
	return i, true
}

// once notes a value that must be unique in the file.
func (p *identityParser) once(seen map[string]int, value string, line int, what string) {
	if first := seen[value]; first > 0 {
		p.add(line, "another "+what+": this one is in line "+strconv.Itoa(first)+" already")
		return
	}
	seen[value] = line
}

func (p *identityParser) name(node, field *yaml.Node) string {
	const wanted = "a name of lower case letters, digits and hyphens, at most 63, not beginning with a hyphen"
	if field == nil {
		p.add(node.Line, "a name for this identity")
		return ""
	}
	name, ok := p.text(field, wanted)
	switch {
	case !ok:
	case !identityName().MatchString(name) || looksLikeID(name):
		p.add(field.Line, wanted)
	default:
		p.once(p.names, name, field.Line, "name")
	}
	return name
}

// looksLikeID reports whether a name looks like an id. Names are logged, and ids must
// not be.
func looksLikeID(text string) bool {
	_, isID := ids.Parse(text)
	return isID
}

func (p *identityParser) grant(i *Identity, node *yaml.Node, fields map[string]*yaml.Node) {
	const wanted = "grant_type: client_credentials or entity_user"
	field, user := fields["grant_type"], fields["entity_user_id"]
	if field == nil {
		p.add(node.Line, wanted)
	} else if text, ok := p.text(field, wanted); ok {
		i.GrantType = text
		switch {
		case text != "client_credentials" && text != "entity_user":
			p.add(field.Line, wanted)
		case text == "entity_user" && user == nil:
			p.add(field.Line, "entity_user_id with grant_type entity_user")
		case text == "client_credentials" && user != nil:
			p.add(user.Line, "no entity_user_id with grant_type client_credentials")
		}
	}
	i.EntityUserID = p.id(user)
}

func (p *identityParser) entities(i *Identity, fields map[string]*yaml.Node) {
	const wanted = `a list of UUIDs, or ["*"]`
	i.EntityID = p.id(fields["entity_id"])
	i.AllowedEntityIDs.ids = map[string]struct{}{}
	if i.EntityID != "" {
		i.AllowedEntityIDs.ids[i.EntityID] = struct{}{}
	}
	field := fields["allowed_entity_ids"]
	if field == nil {
		return
	}
	if fields["entity_id"] != nil {
		p.add(field.Line, "either entity_id or allowed_entity_ids")
	}
	items := p.list(field, wanted)
	for _, item := range items {
		text, ok := p.text(item, wanted)
		if !ok {
			continue
		}
		if text == "*" && len(items) == 1 {
			i.AllowedEntityIDs.any = true
			p.warnings = append(p.warnings, "MONITE_IDENTITIES_FILE line "+strconv.Itoa(item.Line)+": any app that reaches this identity may name any entity")
			return
		}
		id, ok := ids.Parse(text)
		if !ok {
			p.add(item.Line, wanted)
			continue
		}
		i.AllowedEntityIDs.ids[id] = struct{}{}
		i.EntityID = id
	}
	if len(i.AllowedEntityIDs.ids) != 1 {
		i.EntityID = "" // of several none is the default
	}
}

// pair checks that an entity user has the same entity wherever it is configured.
func (p *identityParser) pair(i *Identity, field *yaml.Node) {
	if field == nil || i.EntityUserID == "" || !i.fixed() {
		return
	}
	switch known, ok := p.entityOf[i.EntityUserID]; {
	case ok && known != i.EntityID && p.users[i.EntityUserID] == 0:
		p.add(field.Line, "the entity that MONITE_ENTITY_ID pairs with this user by MONITE_ENTITY_USER_ID, or another user")
	case ok && known != i.EntityID:
		p.add(field.Line, "the entity that line "+strconv.Itoa(p.users[i.EntityUserID])+" pairs with this user, or another user")
	case !ok:
		p.entityOf[i.EntityUserID] = i.EntityID
		p.users[i.EntityUserID] = field.Line
	}
}

func (p *identityParser) date(field *yaml.Node) string {
	const wanted = "a date such as 2024-05-25"
	text, ok := p.text(field, wanted)
	if !ok {
		return ""
	}
	if _, err := time.Parse(time.DateOnly, text); err != nil {
		p.add(field.Line, wanted)
	}
	return text
}

func (p *identityParser) prefix(field *yaml.Node) string {
	const wanted = "a path such as /as/billing: lower case letters, digits, hyphens and underscores, without a slash at the end"
	text, ok := p.text(field, wanted)
	switch {
	case !ok:
		return ""
	case !pathPrefix().MatchString(text):
		p.add(field.Line, wanted)
		return ""
	case versionPart().MatchString(text):
		p.add(field.Line, "a path without /v1, which follows after it")
		return ""
	}
	for _, other := range p.prefixes {
		if strings.HasPrefix(text+"/", other.text+"/") || strings.HasPrefix(other.text+"/", text+"/") {
			p.add(field.Line, "a path that is neither the same as, nor above or below, that in line "+strconv.Itoa(other.line))
		}
	}
	p.prefixes = append(p.prefixes, placed{text, field.Line})
	return text
}

func (p *identityParser) listen(i *Identity, fields map[string]*yaml.Node) {
	const wanted = "host:port with an IP address, localhost or no host, and a port from 1 to 65535, or unix:/absolute/path of at most 107 bytes"
	const wantedMode = `an octal mode in quotes such as "0600" or "0660": the owner reads and writes, nobody executes`
	const wantedSocket = "listen_addr: unix:/... with a socket_mode"
	field, modeField := fields["listen_addr"], fields["socket_mode"]
	i.SocketMode = 0o600
	mode, hasMode := p.text(modeField, wantedMode)
	if hasMode && !socketMode().MatchString(mode) {
		p.add(modeField.Line, wantedMode)
		hasMode = false
	}
	if hasMode {
		bits, _ := strconv.ParseUint(mode, 8, 32)
		i.SocketMode = fs.FileMode(bits)
		if bits&0o002 != 0 {
			p.warnings = append(p.warnings, "MONITE_IDENTITIES_FILE line "+strconv.Itoa(modeField.Line)+": every user of this host reaches this identity")
		}
	}
	if field == nil {
		if hasMode {
			p.add(modeField.Line, wantedSocket)
		}
		return
	}
	text, ok := p.text(field, wanted)
	if !ok {
		return
	}
	at, ok := parseListen(text)
	if !ok || strings.HasSuffix(at.Address, ":0") && at.Network == "tcp" {
		p.add(field.Line, wanted)
		return
	}
	if hasMode && at.Network != "unix" {
		p.add(modeField.Line, wantedSocket)
	}
	i.Listen = at
	if len(p.cfg.AllowedPeerUIDs) > 0 && at.Network != "unix" {
		p.add(field.Line, "unix:/..., because MONITE_ALLOWED_PEER_UIDS is set, and a connection to a TCP port has no user id")
	}
	if !at.Loopback() && !p.cfg.AllowRemote {
		p.add(field.Line, "a loopback address, or MONITE_ALLOW_REMOTE=true with it")
	}
	p.alone(at, field.Line)
	if !at.Loopback() && p.cfg.AllowRemote {
		p.warnings = append(p.warnings, "MONITE_IDENTITIES_FILE line "+strconv.Itoa(field.Line)+": this identity is "+p.cfg.openness(!p.cfg.AppToken().IsZero(), tokenTravels, mayAct))
	}
}

// alone checks that no other listener has the address.
func (p *identityParser) alone(at Listen, line int) {
	for _, other := range p.listens {
		if at.Overlaps(other.listen) {
			p.add(line, "another address than that in line "+strconv.Itoa(other.line))
		}
	}
	p.listens = append(p.listens, placedListen{at, line})
	for name, other := range map[string]Listen{"MONITE_LISTEN_ADDR": p.cfg.Listen, "MONITE_ADMIN_ADDR": p.cfg.Admin, "MONITE_VEND_ADDR": p.cfg.Vend} {
		if other.Network != "" && at.Overlaps(other) {
			p.add(line, "another address than that of "+name)
		}
	}
}
