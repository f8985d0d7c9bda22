package config

import (
	"slices"
	"time"
)

// build judges every value and returns a Config, which counts only if nothing
// was found wrong.
func build(parsed *spec, wrong *mistakes) *Config {
	cfg := &Config{
		ProxyFromEnv: parsed.ProxyFromEnv, AllowRemote: parsed.AllowRemote, ReadOnly: parsed.ReadOnly,
		TokenTimeout: parsed.TokenTimeout, RefreshBefore: parsed.RefreshBefore, HoldTimeout: parsed.HoldTimeout,
		UpstreamTimeout: parsed.UpstreamTimeout, KeepWarm: parsed.KeepWarm, ShutdownDelay: parsed.ShutdownDelay, DrainTimeout: parsed.DrainTimeout,
		MaxIdentities: int(parsed.MaxIdentities), MintsPerSecond: int(parsed.MintsPerSecond), MaxInFlight: int(parsed.MaxInFlight),
		MaxBodyBytes: int64(parsed.MaxBodyBytes), ReplayBodyBytes: int64(parsed.ReplayBodyBytes),
		RepeatGuard: parsed.RepeatGuard, IdempotencyTTL: parsed.IdempotencyTTL, MaxRequestsPerSecond: int(parsed.MaxRequests),
		QuitEndpoint: parsed.QuitEndpoint, StatusPage: parsed.StatusPage, TokenHandles: parsed.TokenHandles,
	}
	cfg.Environment, cfg.Upstream = buildUpstream(parsed, wrong)
	checkProxies(parsed, wrong)
	cfg.APIVersion = buildDate("MONITE_API_VERSION", parsed.APIVersion, wrong)
	cfg.RootCAs = buildRoots("MONITE_CA_FILE", parsed.CAFile, wrong)
	cfg.clientCertificate = buildClientCertificate(parsed, wrong)
	cfg.serverTLS = buildServerTLS(parsed, wrong)
	cfg.Confine = oneOf("MONITE_CONFINE", parsed.Confine, wrong, "auto", "off", "require")
	cfg.LogLevel = oneOf("MONITE_LOG_LEVEL", parsed.LogLevel, wrong, "trace", "debug", "info", "warn", "error")
	cfg.Listener = oneOf("MONITE_LISTENER", parsed.Listener, wrong, "strict", "std")
	cfg.LogFormat = oneOf("MONITE_LOG_FORMAT", parsed.LogFormat, wrong, "json", "console")
	cfg.AuditLog = buildAuditLog(parsed.AuditLog, wrong)
	cfg.Traces = buildTraces(parsed, wrong)
	cfg.Redis = buildRedis(parsed, wrong)
	buildIdentity(cfg, parsed, wrong)
	buildListeners(cfg, parsed, wrong)
	buildIdentities(cfg, parsed.IdentitiesFile, wrong)
	checkStorePassword(cfg, wrong)
	return cfg
}

func buildIdentity(cfg *Config, parsed *spec, wrong *mistakes) {
	cfg.Credentials.id = buildRequired("MONITE_CLIENT_ID", parsed.ClientID, parsed.ClientIDFile, wrong)
	cfg.Credentials.secret = buildRequired("MONITE_CLIENT_SECRET", parsed.ClientSecret, parsed.ClientSecretFile, wrong)
	cfg.GrantType = buildGrantType(parsed, wrong)
	cfg.EntityUserID = buildID("MONITE_ENTITY_USER_ID", parsed.EntityUserID, wrong)
	cfg.EntityID = buildID("MONITE_ENTITY_ID", parsed.EntityID, wrong)
	if cfg.GrantType == "entity_user" && parsed.EntityUserID == "" {
		wrong.refuse("MONITE_ENTITY_USER_ID", "needed because MONITE_GRANT_TYPE is entity_user")
	}
	cfg.AllowedEntityIDs = buildAllowList("MONITE_ALLOWED_ENTITY_IDS", parsed.AllowedEntityIDs, cfg.EntityID, wrong)
	cfg.AllowedEntityUserIDs = buildAllowList("MONITE_ALLOWED_ENTITY_USER_IDS", parsed.AllowedEntityUserIDs, cfg.EntityUserID, wrong)
}

// buildGrantType takes a configured user for the wish to act as that user, unless
// the grant type says otherwise.
func buildGrantType(parsed *spec, wrong *mistakes) string {
	switch {
	case parsed.GrantType != "":
		return oneOf("MONITE_GRANT_TYPE", parsed.GrantType, wrong, "client_credentials", "entity_user")
	case parsed.EntityUserID != "":
		return "entity_user"
	}
	return "client_credentials"
}

func buildListeners(cfg *Config, parsed *spec, wrong *mistakes) {
	cfg.appToken = buildSource("MONITE_APP_TOKEN", parsed.AppToken, parsed.AppTokenFile, wrong)
	cfg.AllowedHosts = buildHosts(parsed.AllowedHosts, wrong)
	data, dataOK := parseListen(parsed.ListenAddr)
	if !dataOK {
		wrong.refuse("MONITE_LISTEN_ADDR", "")
	} else if !data.Loopback() && !parsed.AllowRemote {
		wrong.add("MONITE_LISTEN_ADDR", "a loopback address, or MONITE_ALLOW_REMOTE=true with it")
	}
	admin, adminOK := parseListen(parsed.AdminAddr)
	if !adminOK {
		wrong.refuse("MONITE_ADMIN_ADDR", "")
	} else if dataOK && data.Overlaps(admin) {
		wrong.add("MONITE_ADMIN_ADDR", "another address than that of MONITE_LISTEN_ADDR")
	}
	cfg.Listen, cfg.Admin = data, admin
	cfg.SocketMode = buildSocketMode("MONITE_SOCKET_MODE", parsed.SocketMode, wrong)
	cfg.AllowedPeerUIDs = buildPeerUIDs("MONITE_ALLOWED_PEER_UIDS", parsed.AllowedPeers, wrong)
	if len(cfg.AllowedPeerUIDs) > 0 && dataOK && data.Network != "unix" {
		// It would protect nothing: a connection to a port has no user.
		wrong.refuse("MONITE_ALLOWED_PEER_UIDS", "MONITE_LISTEN_ADDR is not a unix socket")
	}
	buildVend(cfg, parsed, wrong)
}

// buildVend judges the settings of the listener that hands out tokens, not only their
// effects. So what narrows the data listener narrows this one too, unless it has a
// setting of its own, and what widens the data listener does not widen this one.
func buildVend(cfg *Config, parsed *spec, wrong *mistakes) {
	cfg.VendSocketMode = buildSocketMode("MONITE_VEND_SOCKET_MODE", parsed.VendSocket, wrong)
	cfg.vendAppToken = buildSource("MONITE_VEND_APP_TOKEN", parsed.VendToken, parsed.VendTokenFile, wrong)
	cfg.VendAllowedPeerUIDs = buildPeerUIDs("MONITE_VEND_ALLOWED_PEER_UIDS", parsed.VendPeers, wrong)
	if parsed.VendAddr == "" {
		for _, name := range []string{"MONITE_VEND_SOCKET_MODE", "MONITE_VEND_ALLOWED_PEER_UIDS", "MONITE_VEND_APP_TOKEN", "MONITE_VEND_APP_TOKEN_FILE"} {
			if wrong.isSet(name) {
				wrong.add(name, "MONITE_VEND_ADDR with it, which is not set")
			}
		}
		return
	}
	cfg.Vend = buildVendAddr(parsed, cfg.Listen, cfg.Admin, wrong)
	switch ported := cfg.Vend.Network == "tcp"; {
	case ported && len(cfg.VendAllowedPeerUIDs) > 0:
		wrong.refuse("MONITE_VEND_ALLOWED_PEER_UIDS", "MONITE_VEND_ADDR is not a unix socket")
	case ported && len(cfg.AllowedPeerUIDs) > 0:
		wrong.add("MONITE_VEND_ADDR", "unix:/..., because MONITE_ALLOWED_PEER_UIDS is set, and a connection to a TCP port has no user id")
	}
	if cfg.VendAllowedPeerUIDs == nil {
		cfg.VendAllowedPeerUIDs = cfg.AllowedPeerUIDs
	}
}

func buildVendAddr(parsed *spec, data, admin Listen, wrong *mistakes) Listen {
	const name = "MONITE_VEND_ADDR"
	vend, ok := parseListen(parsed.VendAddr)
	switch {
	case !ok:
		wrong.refuse(name, "")
	case !vend.Loopback() && !parsed.AllowRemote:
		wrong.add(name, "a loopback address, or MONITE_ALLOW_REMOTE=true with it")
	case vend.Overlaps(data) || vend.Overlaps(admin):
		wrong.add(name, "another address than those of MONITE_LISTEN_ADDR and MONITE_ADMIN_ADDR")
	}
	return vend
}

func buildDate(name, text string, wrong *mistakes) string {
	if _, err := time.Parse(time.DateOnly, text); err != nil {
		wrong.refuse(name, "")
	}
	return text
}

func oneOf(name, text string, wrong *mistakes, accepted ...string) string {
	if !slices.Contains(accepted, text) {
		wrong.refuse(name, "")
	}
	return text
}

// shortToken is the length at which a random token of letters and digits has 95 bits.
const shortToken = 16

// openness says of a listener that is not on loopback what still guards it: what
// travels in the clear without TLS, and what whoever reaches it may do without
// any guard.
func (c *Config) openness(guarded bool, inTheClear, mayDo string) string {
	const open = "open to other hosts"
	encrypted := c.serverTLS != nil
	switch certified := encrypted && c.serverTLS.AsksApps(); {
	case certified || guarded && encrypted:
		return open
	case guarded:
		return open + "; " + inTheClear + " in the clear"
	default:
		return open + ", and without MONITE_APP_TOKEN or MONITE_TLS_CLIENT_CA_FILE any program that reaches it " + mayDo
	}
}

// What openness says of a listener for apps.
const tokenTravels, mayAct = "MONITE_APP_TOKEN travels", "acts with these credentials"

// dangers are the settings that are allowed and must not pass unseen.
func (c *Config) dangers() []string {
	var said []string
	say := func(when bool, text string) {
		if when {
			said = append(said, text)
		}
	}
	say(c.GrantType == "client_credentials" && c.EntityUserID != "",
		"MONITE_GRANT_TYPE is client_credentials beside MONITE_ENTITY_USER_ID: requests act as the partner; that user is only allowed for requests that name it")
	say(c.AllowedEntityIDs.Any(), "MONITE_ALLOWED_ENTITY_IDS is *: every app that reaches the port may name any entity")
	say(c.AllowedEntityUserIDs.Any(), "MONITE_ALLOWED_ENTITY_USER_IDS is *: every app that reaches the port may act as any entity user")
	remote := !c.Listen.Loopback()
	say(remote, "MONITE_ALLOW_REMOTE: the data listener is "+c.openness(!c.AppToken().IsZero(), tokenTravels, mayAct))
	say(!c.AppToken().IsZero() && c.AppToken().Len() < shortToken, "MONITE_APP_TOKEN: it is shorter than 16 characters and may be guessed, because nothing slows a guess down")
	vendToken := c.vendAppToken.current()
	say(!vendToken.IsZero() && vendToken.Len() < shortToken, "MONITE_VEND_APP_TOKEN: it is shorter than 16 characters and may be guessed, because nothing slows a guess down")
	say(c.Listen.Network == "unix" && c.SocketMode&0o002 != 0 && len(c.AllowedPeerUIDs) == 0,
		"MONITE_SOCKET_MODE: every user of this host may connect to the data listener")
	say(remote && c.Listen.AllInterfaces() && len(c.AllowedHosts) == 0,
		"MONITE_ALLOWED_HOSTS is empty and the data listener is on all interfaces: requests from other hosts are refused with 421")
	vends := c.Vend != Listen{}
	say(vends && c.AllowedEntityUserIDs.Any(), "MONITE_VEND_ADDR with MONITE_ALLOWED_ENTITY_USER_IDS=*: any program that reaches that listener gets the token of any entity user")
	say(vends && c.Vend.Network == "unix" && c.VendSocketMode&0o002 != 0 && len(c.VendAllowedPeerUIDs) == 0,
		"MONITE_VEND_SOCKET_MODE: every user of this host may get access tokens")
	say(vends && !c.Vend.Loopback(), "MONITE_VEND_ADDR is "+c.openness(!c.VendAppToken().IsZero(), "access tokens and MONITE_APP_TOKEN travel", "gets access tokens"))
	say(vends && !c.AllowedEntityUserIDs.Any() && len(c.AllowedEntityUserIDs.IDs()) == 0, "MONITE_VEND_ADDR is set and no entity user is allowed: every request there is refused")
	say(c.Upstream.Scheme == "http" && !isLoopbackHost(c.Upstream.Hostname()),
		"MONITE_ALLOW_PLAINTEXT_UPSTREAM: the upstream is http://, credentials and tokens travel in the clear")
	say(c.Traces != nil && len(c.Traces.Headers) > 0 && c.Traces.Endpoint.Scheme == "http" && !isLoopbackHost(c.Traces.Endpoint.Hostname()),
		"OTEL_EXPORTER_OTLP_HEADERS: the collector is http://, they travel in the clear")
	said = append(said, c.UntimelyCertificates()...)
	if c.Redis != nil {
		said = append(said, c.Redis.dangers(c.Credentials.Secret())...)
	}
	if c.Identities != nil {
		said = append(said, c.Identities.Warnings...)
	}
	return said
}
