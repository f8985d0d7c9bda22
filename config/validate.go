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
		UpstreamTimeout: parsed.UpstreamTimeout, ShutdownDelay: parsed.ShutdownDelay, DrainTimeout: parsed.DrainTimeout,
		MaxIdentities: int(parsed.MaxIdentities), MaxInFlight: int(parsed.MaxInFlight),
		MaxBodyBytes: int64(parsed.MaxBodyBytes), ReplayBodyBytes: int64(parsed.ReplayBodyBytes),
		QuitEndpoint: parsed.QuitEndpoint, StatusPage: parsed.StatusPage,
	}
	cfg.Environment, cfg.Upstream = buildUpstream(parsed, wrong)
	cfg.APIVersion = buildDate("MONITE_API_VERSION", parsed.APIVersion, wrong)
	cfg.RootCAs = buildRoots(parsed.CAFile, wrong)
	cfg.clientCertificate = buildClientCertificate(parsed.CertFile, parsed.KeyFile, wrong)
	cfg.LogLevel = oneOf("MONITE_LOG_LEVEL", parsed.LogLevel, wrong, "trace", "debug", "info", "warn", "error")
	cfg.Listener = oneOf("MONITE_LISTENER", parsed.Listener, wrong, "strict", "std")
	cfg.LogFormat = oneOf("MONITE_LOG_FORMAT", parsed.LogFormat, wrong, "json", "console")
	buildIdentity(cfg, parsed, wrong)
	buildListeners(cfg, parsed, wrong)
	return cfg
}

func buildIdentity(cfg *Config, parsed *spec, wrong *mistakes) {
	cfg.Credentials.id = buildRequired("MONITE_CLIENT_ID", parsed.ClientID, parsed.ClientIDFile, wrong)
	cfg.Credentials.secret = buildRequired("MONITE_CLIENT_SECRET", parsed.ClientSecret, parsed.ClientSecretFile, wrong)
	cfg.GrantType = oneOf("MONITE_GRANT_TYPE", parsed.GrantType, wrong, "client_credentials", "entity_user")
	cfg.EntityUserID = buildID("MONITE_ENTITY_USER_ID", parsed.EntityUserID, wrong)
	cfg.EntityID = buildID("MONITE_ENTITY_ID", parsed.EntityID, wrong)
	if cfg.GrantType == "entity_user" && parsed.EntityUserID == "" {
		wrong.refuse("MONITE_ENTITY_USER_ID", "needed because MONITE_GRANT_TYPE is entity_user")
	}
	cfg.AllowedEntityIDs = buildAllowList("MONITE_ALLOWED_ENTITY_IDS", parsed.AllowedEntityIDs, cfg.EntityID, wrong)
	cfg.AllowedEntityUserIDs = buildAllowList("MONITE_ALLOWED_ENTITY_USER_IDS", parsed.AllowedEntityUserIDs, cfg.EntityUserID, wrong)
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
	} else if dataOK && data.overlaps(admin) {
		wrong.add("MONITE_ADMIN_ADDR", "another address than that of MONITE_LISTEN_ADDR")
	}
	cfg.Listen, cfg.Admin = data, admin
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

// dangers are the settings that are allowed and must not pass unseen.
func (c *Config) dangers() []string {
	var said []string
	say := func(when bool, text string) {
		if when {
			said = append(said, text)
		}
	}
	say(c.AllowedEntityIDs.Any(), "MONITE_ALLOWED_ENTITY_IDS is *: every app that reaches the port may name any entity")
	say(c.AllowedEntityUserIDs.Any(), "MONITE_ALLOWED_ENTITY_USER_IDS is *: every app that reaches the port may act as any entity user")
	remote := !c.Listen.Loopback()
	guarded := !c.AppToken().IsZero()
	say(remote && guarded, "MONITE_ALLOW_REMOTE: the data listener is open to other hosts; MONITE_APP_TOKEN travels in the clear")
	say(remote && !guarded, "MONITE_ALLOW_REMOTE: the data listener is open to other hosts, and without MONITE_APP_TOKEN whoever reaches it acts with these credentials")
	say(remote && c.Listen.AllInterfaces() && len(c.AllowedHosts) == 0,
		"MONITE_ALLOWED_HOSTS is empty while the data listener is on all interfaces: requests from other hosts are refused with 421")
	say(c.Upstream.Scheme == "http" && !isLoopbackHost(c.Upstream.Hostname()),
		"MONITE_ALLOW_PLAINTEXT_UPSTREAM: the upstream is http://, credentials and tokens travel in the clear")
	return said
}
