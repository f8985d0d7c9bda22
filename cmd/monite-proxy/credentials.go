package main

import (
	"context"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/tokenendpoint"
)

// newRotation has a pair from changed files wait for a mint that succeeds, here or in
// another replica. endpoint gets its credentials from it.
func (s *sidecar) newRotation(endpoint *tokenendpoint.Endpoint) *tokenendpoint.Rotation {
	rotation := &tokenendpoint.Rotation{Source: s.cfg.Credentials, Timeout: s.cfg.TokenTimeout, OnProof: s.proven}
	rotation.Prove = func(ctx context.Context, candidate tokenendpoint.Credentials) error {
		with := *endpoint
		with.Credentials = candidate
		c := tokencache.Config{
			Fetcher: &with, MintTimeout: s.cfg.TokenTimeout, HoldTimeout: s.cfg.TokenTimeout, MintsPerSecond: s.cfg.MintsPerSecond,
		}
		if s.shared.store != nil {
			c.Store, c.StoreTimeout = s.shared.store.With(candidate), s.cfg.Redis.Timeout
		}
		return tokencache.Prove(ctx, c, s.grant)
	}
	endpoint.Credentials = rotation
	return rotation
}

// proven is told how each proof of a new pair ended.
func (s *sidecar) proven(proof tokenendpoint.Proof) {
	switch {
	case proof.Err == nil:
		s.metrics.ObserveRotation("ok")
		s.log.Info().Str("live_client_hash", proof.Live).Bool("new_client", proof.NewClient).
			Msg("new credentials are live: a mint with them succeeded")
		// Live tokens stay: they are good to their end. A grant that was refused may
		// be accepted now.
		s.cache.Forgive()
		if proof.NewClient {
			// Another client id may be another partner: the two are not mixed for longer
			// than the refresh of all tokens takes.
			s.cache.Refresh()
		}
		return
	case proof.Err.Reason == tokencache.Rejected:
		s.metrics.ObserveRotation("refused")
	default:
		s.metrics.ObserveRotation("failed")
	}
	line := s.log.Error().Str("reason", string(proof.Err.Reason)).Int("status", proof.Err.Status).
		Str("live_client_hash", proof.Live).Str("new_client_hash", proof.New).Float64("retry_in_s", seconds(proof.RetryIn))
	if proof.Err.Err != nil {
		line = line.AnErr("cause", proof.Err.Err)
	}
	if proof.Err.Reason == tokencache.Rejected {
		line.Msg("old pair live, new pair refused: the token endpoint did not accept the changed credentials")
	} else {
		line.Msg("old pair live, new pair unproven: no mint with the changed credentials has succeeded yet")
	}
}

// credentialsStatus returns the credentials' part of /status.
func (s *sidecar) credentialsStatus() admin.CredentialsStatus {
	of := s.rotation.Status()
	status := admin.CredentialsStatus{
		Live: of.Live, New: of.New, NewPair: string(of.State), Tries: of.Tries, Reason: string(of.Reason), RetryIn: seconds(of.RetryIn),
	}
	if !of.Since.IsZero() {
		status.Rotated = of.Since.UTC().Format(time.RFC3339)
	}
	switch of.State {
	case tokenendpoint.NoNewPair:
		status.Summary = "the configured credentials are live"
		if s.refusedForGood() {
			status.Summary = "the configured credentials are refused"
		}
	case tokenendpoint.Proving:
		status.Summary = "old pair live, new pair is being proven"
	default:
		status.Summary = "old pair live, new pair " + string(of.State)
	}
	return status
}

func (s *sidecar) logMint(mint tokencache.Mint) {
	line := s.log.Info()
	if mint.Err != nil {
		line = s.log.Error().Str("reason", string(mint.Err.Reason)).Int("status", mint.Err.Status).
			Float64("retry_in_s", seconds(mint.RetryIn))
		if mint.Err.Err != nil {
			line = line.AnErr("cause", mint.Err.Err)
		}
	} else {
		line = line.Float64("expires_in_s", seconds(mint.ExpiresIn)).Float64("refresh_in_s", seconds(mint.RefreshIn))
	}
	line = line.Str("grant_type", string(mint.Grant.Type)).Float64("duration_ms", float64(mint.Duration.Microseconds())/1000)
	switch {
	case mint.Err == nil:
		line.Msg("token minted")
	default:
		line.Msg("mint failed: " + admin.Explain(mint.Err, mint.Grant.Type))
	}
}

// reloaded is told of every change of the secret files.
func (s *sidecar) reloaded(r secret.Reload) {
	for _, err := range r.Failed {
		s.metrics.ObserveSecretReload(false)
		s.log.Error().Err(err).Msg("secret file cannot be used; the old value stays in use")
	}
	for _, file := range r.Recovered {
		s.log.Info().Str("file", file.Path()).Msg("secret file can be used again")
	}
	if r.WatchFailed != nil {
		s.log.Warn().Err(r.WatchFailed).Msg("secret files are polled, not watched")
	}
	for _, file := range r.Changed {
		s.metrics.ObserveSecretReload(true)
		s.log.Info().Str("file", file.Path()).Msg("secret file changed")
	}
	if len(r.Changed) > 0 {
		s.rotation.Check()
	}
}

// seconds has no more digits than a person reads: milliseconds.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
