package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/http/httpproxy"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/internal/listen"
	"github.com/monite-proxy/monite-proxy/internal/logs"
	"github.com/monite-proxy/monite-proxy/internal/named"
	"github.com/monite-proxy/monite-proxy/internal/trace"
	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/proxy/dial"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/proxy/writes"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/tokenendpoint"
)

// sidecar is everything that runs. newSidecar makes it, run walks through its life.
type sidecar struct {
	cfg      *config.Config
	log      zerolog.Logger
	lines    *logs.Writer // what log writes to
	audit    *logs.Audit
	metrics  *admin.Metrics
	history  *admin.History
	grant    tokencache.Grant // of a request that names no identity
	upstream *upstream.Transport
	pauses   pauses
	rotation *tokenendpoint.Rotation
	shared   shared
	cache    *tokencache.Cache
	watcher  *secret.Watcher
	traces   *trace.Traces // nil: none are exported
	journal  *writes.Journal
	handler  *proxy.Handler
	health   *admin.Health
	peers    refusedPeers
	probes   probes
	conns    connCount
	shares   listen.Shares
	named    *named.Keeper
	quit     chan struct{} // the quit endpoint was called
	hurried  atomic.Bool   // a second signal came
	hungUp   chan struct{} // the terminal was closed
	terminal *terminal     // nil: there is none

	data, admin endpoint
	vend        endpoint // zero without MONITE_VEND_ADDR
}

// newSidecar puts the parts together, in the order in which they need each
// other: tokens, the handler of requests, the servers for apps, the admin server.
// Nothing runs yet.
func newSidecar(cfg *config.Config, logger zerolog.Logger, lines *logs.Writer, audit *logs.Audit, started time.Time) *sidecar {
	s := &sidecar{cfg: cfg, log: logger, lines: lines, audit: audit, quit: make(chan struct{}, 1), hungUp: make(chan struct{}, 1)}
	s.metrics, s.history = admin.NewMetrics(), admin.NewHistory()
	s.shares = listen.SharesOf(cfg.MaxInFlight, appListeners(cfg))
	policy := named.Policy(cfg, cfg.Identities)
	s.grant = policy.Default
	s.newTokens()
	s.newHandler(policy)
	s.data.server = s.newDataServer("")
	s.vend.server = s.newVend()
	s.admin.server = s.newAdmin(started)
	return s
}

const (
	// maxMintsAtOnce limits the mints under way. How many there may be in a second
	// is MONITE_MAX_MINTS_PER_SECOND.
	maxMintsAtOnce = 16
)

// appListeners is the number of listeners for apps.
func appListeners(cfg *config.Config) int {
	n := 1
	if cfg.Identities != nil {
		for _, identity := range cfg.Identities.All {
			if identity.Listen != (config.Listen{}) {
				n++
			}
		}
	}
	return n
}

// newTokens makes what mints: the credentials, the token endpoint and the cache.
func (s *sidecar) newTokens() {
	cfg := s.cfg
	// One transport for all: the first request goes out on the connection of the
	// first mint, and the mint for a new user finds an open one. A warm grant and a
	// proof go besides the mints.
	s.upstream = newTransport(cfg)
	s.upstream.OnStaleAddresses = s.staleAddresses
	s.upstream.KeepWarm, s.upstream.Reserve = cfg.KeepWarm, maxMintsAtOnce+2
	s.upstream.MaxConns = s.shares.Upstream + s.upstream.Reserve
	endpoint := &tokenendpoint.Endpoint{Origin: cfg.Upstream, APIVersion: cfg.APIVersion, Transport: s.upstream.Reserved()}
	s.rotation = s.newRotation(endpoint)
	s.newShared(endpoint)
	s.watcher = &secret.Watcher{Files: cfg.Files(), OnReload: s.reloaded}
	c := tokencache.Config{
		Fetcher:     endpoint,
		Warm:        []tokencache.Grant{s.grant},
		MintTimeout: cfg.TokenTimeout, RefreshBefore: cfg.RefreshBefore, HoldTimeout: cfg.HoldTimeout,
		MaxEntries: cfg.MaxIdentities, MaxMints: maxMintsAtOnce, MintsPerSecond: cfg.MintsPerSecond,
		OnMint: s.minted,
	}
	s.share(&c)
	s.cache = tokencache.New(c)
	s.health = &admin.Health{Tokens: s.cache}
}

// newHandler makes what forwards requests, and the named identities behind it.
func (s *sidecar) newHandler(policy identity.Policy) {
	cfg := s.cfg
	version, _, _ := build()
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
	if s.traces = newTraces(cfg, s.log, version); s.traces != nil {
		tracer = s.traces
	}
	remembered := writes.Config{Guard: cfg.RepeatGuard, KeyTTL: cfg.IdempotencyTTL, Patience: cfg.UpstreamTimeout}
	var sharedPace func(context.Context) (time.Duration, error)
	var accepted func(tokencache.Grant, time.Time)
	if s.shared.store != nil {
		accepted = s.cache.Accepted
		remembered.Shared = s.shared.store.Records(cfg.Redis.Timeout)
		sharedPace = s.shared.store.Pace(cfg.MaxRequestsPerSecond)
	}
	s.journal = writes.New(remembered)
	s.handler = proxy.New(proxy.Config{
		Origin: cfg.Upstream, Tokens: s.cache, Upstream: s.upstream, APIVersion: cfg.APIVersion,
		Policy: policy, HandleSecret: handleSecret,
		AllowedHosts: cfg.AllowedHosts, Bound: boundAddress(cfg.Listen), AppToken: cfg.AppToken, ReadOnly: cfg.ReadOnly,
		MaxInFlight: int64(cfg.MaxInFlight), MaxBodyBytes: cfg.MaxBodyBytes, ReplayBodyBytes: cfg.ReplayBodyBytes,
		Log: s.log, Audit: s.audit.Log, Listener: cfg.Listen.String(), Tracer: tracer,
		MaxPerSecond: cfg.MaxRequestsPerSecond, SharedPace: sharedPace, OnAccepted: accepted, OnLimited: s.cache.PutOff,
		Explain: !cfg.Production(), Observe: s.observe, Journal: s.journal, FollowFor: cfg.RepeatGuard,
	})
	s.named = named.New(named.Config{
		Settings: cfg, Log: s.log, SetPolicy: s.handler.SetPolicy, NewServer: s.newDataServer, Options: s.appOptions,
		Reloaded: s.metrics.ObserveIdentityReload,
	})
}

// observe is told of each request of an app, when it has ended.
func (s *sidecar) observe(r *proxy.Record) {
	if s.probes.is(r) {
		return
	}
	s.metrics.ObserveRequest(r)
	s.history.ObserveRequest(r)
	s.pauses.seen(r.Start.Add(r.Duration))
}

// minted is told of each mint.
func (s *sidecar) minted(mint tokencache.Mint) {
	s.metrics.ObserveMint(mint)
	s.history.ObserveMint(mint)
	s.logMint(mint)
	if mint.Err != nil && mint.Err.Reason == tokencache.Rejected {
		s.watcher.Check() // the secret may have changed just now
		s.rotation.Hurry()
	}
}

// newAdmin makes the server of the admin listener.
func (s *sidecar) newAdmin(started time.Time) listen.Server {
	cfg := s.cfg
	version, commit, goVersion := build()
	c := admin.Config{
		Sources: admin.Sources{
			Tokens: s.cache, InFlight: s.handler.InFlight, RateLimitRemaining: s.handler.RateLimitRemaining, DroppedLines: s.lines.Dropped, DroppedAuditLines: s.audit.Dropped,
			RefusedPeers: s.peers.count.Load, MadeAhead: s.upstream.MadeAhead, NewPair: func() bool { return s.rotation.Status().New != "" }, Identities: s.named.Count,
			Writes: s.journal, Followed: s.handler.Followed,
			Environment: cfg.Environment, Version: version, Commit: commit, GoVersion: goVersion,
		},
		Health: s.health, Metrics: s.metrics, Production: cfg.Production(), Upstream: cfg.Upstream.String(), Default: s.grant, AllowedHosts: cfg.AllowedHosts,
		Listeners: s.addresses, Started: started, Credentials: s.credentialsStatus, Named: s.named.Status,
		History: s.history, StatusPage: cfg.StatusPage, Settings: cfg.Redacted(),
	}
	if s.traces != nil {
		c.DroppedSpans = s.traces.Dropped
	}
	if s.shared.store != nil {
		c.Shared = s.sharedStatus
	}
	if cfg.QuitEndpoint {
		c.Quit = func() {
			select {
			case s.quit <- struct{}{}:
			default: // asked already
			}
		}
	}
	handler := admin.New(c)
	crowd := listen.Crowd{Max: s.shares.Admin, CutActive: true} // nothing here is worth more than a probe
	server := &http.Server{
		Handler: handler, ErrorLog: logs.ForServer(s.log), ConnState: crowd.Observe,
		ReadHeaderTimeout: 3 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 60 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
	server.RegisterOnShutdown(handler.Close)
	return server
}

// staleAddresses is told when upstream is reached by addresses of an earlier
// lookup.
func (s *sidecar) staleAddresses(stale dial.Stale) {
	line := s.log.Warn().Str("host", stale.Host).Float64("age_s", seconds(stale.Age))
	if stale.Err == nil {
		line.Msg("the name server is slow: using the addresses of an earlier lookup")
		return
	}
	line.AnErr("cause", stale.Err).Msg("the name cannot be looked up: using the addresses of an earlier lookup")
}

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

// rootsFor returns the roots that were configured for the origin, or else the
// system's. crypto/x509 would read those at the first handshake, when the process
// is confined already.
func rootsFor(origin *url.URL, configured *x509.CertPool) *x509.CertPool {
	if configured != nil || origin.Scheme != "https" {
		return configured
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil // it will say the same
	}
	return roots
}
