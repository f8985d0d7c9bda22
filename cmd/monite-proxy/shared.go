package main

import (
	"context"
	"crypto/x509"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/redisstore"
	"github.com/monite-proxy/monite-proxy/tokencache/tokenendpoint"
)

// shared holds what this replica shares with others, and how it reports that.
type shared struct {
	store   *redisstore.Store // nil: nothing is shared
	metrics *admin.Shared
	// since is the time at which the store went down, in ns since 1970; 0 if it is
	// up.
	downSince atomic.Int64
	lastAlarm atomic.Int64 // when poison was last spoken of

	adopted, told, questions atomic.Int64
}

// storeConfig is the store of the configuration, as pair's owner.
func storeConfig(cfg *config.Config, pair redisstore.Credentials) redisstore.Config {
	r := cfg.Redis
	c := redisstore.Config{
		Addresses: r.Addresses, Unix: r.Network == "unix", Master: r.Master, Database: r.Database, User: r.User, Password: r.Password,
		TLS: r.TLS, RootCAs: r.RootCAs, Where: r.String(),
		Origin: cfg.Upstream.String(), Credentials: pair, MintsPerSecond: cfg.MintsPerSecond,
	}
	if c.TLS && c.RootCAs == nil {
		c.RootCAs, _ = x509.SystemCertPool() // read before the process is confined
	}
	return c
}

// newShared makes the store, if there is one.
func (s *sidecar) newShared(endpoint *tokenendpoint.Endpoint) {
	if s.cfg.Redis == nil {
		return
	}
	c := storeConfig(s.cfg, s.rotation)
	c.OnEvent, c.OnChange = s.storeEvent, s.storeChanged
	store := redisstore.New(c)
	s.shared.store = store
	s.shared.metrics = s.metrics.NewShared(s.sharedStatus)
	endpoint.By = func(pair tokenendpoint.Credentials) string { return store.PairName(pair) }
}

// masterPort returns the port of the server that the Sentinels name, which is not in
// the configuration; if they do not respond, Redis' default port. After a failover to
// another port nothing is shared.
func (s *sidecar) masterPort() []uint16 {
	if s.cfg.Redis == nil || s.cfg.Redis.Master == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return []uint16{s.shared.store.MasterPort(ctx), 6379}
}

// share adds the store to the cache's configuration.
func (s *sidecar) share(c *tokencache.Config) {
	if s.shared.store != nil {
		c.Store, c.StoreTimeout, c.OnAdopt = s.shared.store, s.cfg.Redis.Timeout, s.tokenAdopted
	}
}

func (s *sidecar) tokenAdopted(grant tokencache.Grant, age time.Duration) {
	s.shared.adopted.Add(1)
	s.shared.metrics.ObserveAdopted(grant)
	s.log.Debug().Str("grant_type", string(grant.Type)).Float64("token_age_s", seconds(age)).Msg("token taken from the shared store")
}

// storeEvent counts, and speaks of poison, at most once a minute.
func (s *sidecar) storeEvent(e redisstore.Event) {
	switch {
	case e.Answer != "":
		s.shared.questions.Add(1)
		s.shared.metrics.ObserveAnswer(e.Answer)
	case e.Told != "":
		if e.Told == "stored" {
			s.shared.told.Add(1)
		}
		s.shared.metrics.ObserveTold(e.Told)
	default:
		s.shared.metrics.ObserveExchange(e.Exchange)
	}
	if e.Answer != "poison" {
		return
	}
	now, last := time.Now().Unix(), s.shared.lastAlarm.Load()
	if now-last >= 60 && s.shared.lastAlarm.CompareAndSwap(last, now) {
		s.log.Error().Msg("an entry in the shared store could not be decrypted and was removed: another program writes there")
	}
}

// storeChanged says once what is the matter with the store.
func (s *sidecar) storeChanged(now redisstore.Status) {
	switch now.State {
	case "up":
		if since := s.shared.downSince.Swap(0); since != 0 {
			s.log.Info().Str("where", now.Where).Float64("down_s", seconds(time.Since(time.Unix(0, since)))).Msg("the shared store responds again")
			return
		}
		s.log.Info().Str("where", now.Where).Msg("tokens are shared")
	case "down":
		s.shared.downSince.CompareAndSwap(0, time.Now().UnixNano())
		s.log.Warn().Str("where", now.Where).Str("reason", now.LastError).Msg("the shared store does not respond: this replica mints its own tokens until it does")
	case "aside":
		s.log.Warn().Str("where", now.Where).Float64("clock_offset_s", seconds(now.Offset)).Msg("the clocks of this host and of the shared store differ by more than 30 s: nothing is shared")
	}
}

// sharedStatus returns the store's state for /status and the metrics.
func (s *sidecar) sharedStatus() admin.SharedStatus {
	of := s.shared.store.Status()
	status := admin.SharedStatus{
		State: of.State, Where: of.Where, LastError: of.LastError, RetryIn: seconds(of.RetryIn), Offset: of.Offset.Seconds(),
		Adopted: s.shared.adopted.Load(), Told: s.shared.told.Load(), Questions: s.shared.questions.Load(),
	}
	if !of.Since.IsZero() {
		status.Since = of.Since.UTC().Format(time.RFC3339)
	}
	return status
}
