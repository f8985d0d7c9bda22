package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/http/httpproxy"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/tokenendpoint"
)

// newSidecar puts the parts together, in the order in which they need each
// other: endpoint, cache, handler, servers. Nothing runs yet.
func newSidecar(cfg *config.Config, logger zerolog.Logger, lines *logWriter, audit *audit, started time.Time) *sidecar {
	s := &sidecar{cfg: cfg, log: logger, lines: lines, audit: audit, quit: make(chan struct{}, 1)}
	version, commit, goVersion := build()

	s.upstream, s.mints = newTransport(cfg), newTransport(cfg)
	s.upstream.MaxConns = min(cfg.MaxInFlight, maxUpstreamConns)
	s.upstream.OnStaleAddresses, s.mints.OnStaleAddresses = s.staleAddresses, s.staleAddresses
	s.mints.MaxConns, s.mints.MaxIdleConns = maxMints+2, 4 // a warm grant and a proof go besides
	grant := defaultGrant(cfg)
	var metrics *admin.Metrics
	history := admin.NewHistory()
	endpoint := &tokenendpoint.Endpoint{Origin: cfg.Upstream, APIVersion: cfg.APIVersion, Transport: s.mints}
	s.rotation = s.newRotation(endpoint, grant, func() *admin.Metrics { return metrics })
	s.cache = tokencache.New(tokencache.Config{
		Fetcher:     endpoint,
		Warm:        []tokencache.Grant{grant},
		MintTimeout: cfg.TokenTimeout, RefreshBefore: cfg.RefreshBefore, HoldTimeout: cfg.HoldTimeout,
		MaxEntries: cfg.MaxIdentities, MaxMints: maxMints, MintsPerSecond: cfg.MaxMints,
		OnMint: func(mint tokencache.Mint) {
			metrics.ObserveMint(mint)
			history.ObserveMint(mint)
			s.logMint(mint)
			if mint.Err != nil && mint.Err.Reason == tokencache.Rejected {
				s.watcher.Check() // the secret may have changed just now
				s.rotation.Hurry()
			}
		},
	})
	inFlight := func() int64 { return s.handler.InFlight() }
	metrics = admin.NewMetrics(s.cache, inFlight, version, commit, goVersion)
	metrics.CountDroppedLines(lines.dropped.Load, audit.dropped)
	metrics.ShowEnvironment(cfg.Environment)
	s.named = newIdentities(cfg, logger, metrics)
	metrics.CountRefusedPeers(s.peers.count.Load)
	metrics.ShowNewPair(func() bool { return s.rotation.Status().New != "" })
	s.watcher = &secret.Watcher{Files: cfg.Files(), OnReload: func(r secret.Reload) { s.reloaded(r, metrics) }}
	s.health = &admin.Health{Tokens: s.cache}

	var handleSecret func() secret.String
	if cfg.TokenHandles {
		// Of the live pair: a secret that was mistyped in its file makes no handles, and
		// pushes none of the keys out.
		handleSecret = func() secret.String {
			_, live := s.rotation.Pair()
			return live
		}
	}
	var tracer proxy.Tracer
	if s.traces = newTraces(cfg, logger, version); s.traces != nil {
		tracer = s.traces
		metrics.CountDroppedSpans(s.traces.Dropped)
	}
	s.handler = proxy.New(proxy.Config{
		Origin: cfg.Upstream, Tokens: s.cache, Upstream: forApps(s.upstream), APIVersion: cfg.APIVersion,
		Policy: policy(cfg, cfg.Identities), HandleSecret: handleSecret,
		AllowedHosts: cfg.AllowedHosts, Bound: boundAddress(cfg.Listen), AppToken: cfg.AppToken, ReadOnly: cfg.ReadOnly,
		MaxInFlight: int64(cfg.MaxInFlight), MaxBodyBytes: cfg.MaxBodyBytes, ReplayBodyBytes: cfg.ReplayBodyBytes,
		Log: logger, Audit: audit.log, Listener: cfg.Listen.String(), Tracer: tracer,
		Explain: cfg.Environment != "eu" && cfg.Environment != "us",
		Observe: func(r *proxy.Record) {
			metrics.ObserveRequest(r)
			history.ObserveRequest(r)
			if r.Audited != "" {
				s.named.metrics.ObserveAudit(r.Audited)
			}
		},
	})
	s.data = s.newDataServer("")
	s.named.setPolicy, s.named.newServer, s.named.serveDoor = s.handler.SetPolicy, s.newDataServer, s.serveOn
	s.named.options = s.appOptions
	s.vend.server = s.newVend(metrics, history)

	adminConfig := admin.Config{
		Tokens: s.cache, Health: s.health, Metrics: metrics, Version: version, Commit: commit, GoVersion: goVersion,
		Environment: cfg.Environment, Upstream: cfg.Upstream.String(), Default: grant, AllowedHosts: cfg.AllowedHosts,
		InFlight: inFlight, Started: started, Credentials: s.credentialsStatus, Named: s.named.status, History: history, StatusPage: cfg.StatusPage,
	}
	for _, setting := range cfg.Redacted() {
		adminConfig.Settings = append(adminConfig.Settings, admin.Setting(setting))
	}
	if cfg.QuitEndpoint {
		adminConfig.Quit = func() {
			select {
			case s.quit <- struct{}{}:
			default:
			}
		}
	}
	adminHandler := admin.New(adminConfig)
	s.admin = &http.Server{
		Handler: adminHandler, ErrorLog: serverLog(logger),
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 60 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	s.admin.RegisterOnShutdown(adminHandler.Close)
	return s
}

// newDataServer makes the server of one listener for apps; key is that of a named
// identity's listener.
func (s *sidecar) newDataServer(key string) server {
	if s.cfg.Listener == "std" {
		std := proxy.NewServer(s.handler, key, serverLog(s.log))
		std.ConnState = s.conns.observe
		return std
	}
	strict := proxy.NewStrictServer(s.handler, key, serverLog(s.log))
	strict.ConnState = s.conns.observe
	return strict
}

const (
	// maxUpstreamConns keeps the descriptors of 1,024 busy apps and of their
	// upstream connections well within what a container usually has.
	maxUpstreamConns = 1024
	maxMints         = 16
)

func newTransport(cfg *config.Config) *upstream.Transport {
	t := &upstream.Transport{
		Origin:                cfg.Upstream,
		TLS:                   &tls.Config{RootCAs: rootsFor(cfg.Upstream, cfg.RootCAs), GetClientCertificate: cfg.ClientCertificate(), MinVersion: tls.VersionTLS12},
		ResponseHeaderTimeout: cfg.UpstreamTimeout,
	}
	if cfg.ProxyFromEnv {
		t.Proxy = httpproxy.FromEnvironment().ProxyFunc()
	}
	return t
}

// rootsFor are those that were configured for the origin, or else the system's.
// They are never left to crypto/x509, which would read them at the first
// handshake, where the process is confined already.
func rootsFor(origin *url.URL, configured *x509.CertPool) *x509.CertPool {
	if configured != nil || origin.Scheme != "https" {
		return configured
	}
	roots, err := config.SystemRoots()
	if err != nil {
		return nil // it will say the same
	}
	return roots
}

// boundAddress is the address of a TCP listener; invalid if it is no single one.
func boundAddress(at config.Listen) netip.Addr {
	bound, err := netip.ParseAddrPort(at.Address)
	if at.Network != "tcp" || err != nil || bound.Addr().IsUnspecified() {
		return netip.Addr{}
	}
	return bound.Addr().Unmap()
}

func (s *sidecar) logMint(mint tokencache.Mint) {
	line := s.log.Info()
	if mint.Err != nil {
		line = s.log.Error().Str("reason", string(mint.Err.Reason)).Int("status", mint.Err.Status).
			Float64("retry_in_s", mint.RetryIn.Seconds())
		if mint.Err.Err != nil {
			line = line.AnErr("cause", mint.Err.Err)
		}
	} else {
		line = line.Float64("expires_in_s", mint.ExpiresIn.Seconds()).Float64("refresh_in_s", mint.RefreshIn.Seconds())
	}
	line = line.Str("grant_type", string(mint.Grant.Type)).Float64("duration_ms", float64(mint.Duration.Microseconds())/1000)
	switch {
	case mint.Err == nil:
		line.Msg("token minted")
	case mint.Err.Reason == tokencache.Rejected:
		line.Msg("the token endpoint refused the mint: check the credentials, the entity user and the environment")
	default:
		line.Msg("mint failed")
	}
}

// reloaded is told of every change of the secret files.
func (s *sidecar) reloaded(r secret.Reload, metrics *admin.Metrics) {
	for _, err := range r.Failed {
		metrics.ObserveReload(false)
		s.log.Error().Err(err).Msg("secret file cannot be used, the old value stays")
	}
	for _, file := range r.Recovered {
		s.log.Info().Str("file", file.Path()).Msg("secret file can be used again")
	}
	if r.WatchFailed != nil {
		s.log.Warn().Err(r.WatchFailed).Msg("secret files are polled, not watched")
	}
	for _, file := range r.Changed {
		metrics.ObserveReload(true)
		s.log.Info().Str("file", file.Path()).Msg("secret file changed")
	}
	if len(r.Changed) > 0 {
		s.rotation.Check()
	}
}
