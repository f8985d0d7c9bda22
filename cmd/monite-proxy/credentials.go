package main

import (
	"time"

	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/tokenendpoint"
)

// newRotation makes a pair from changed files wait for a mint that succeeds.
// endpoint gets its credentials from it.
func (s *sidecar) newRotation(endpoint *tokenendpoint.Endpoint, grant tokencache.Grant, metrics func() *admin.Metrics) *tokenendpoint.Rotation {
	rotation := &tokenendpoint.Rotation{
		Source: s.cfg.Credentials, Prove: tokenendpoint.ProveBy(endpoint, grant), Timeout: s.cfg.TokenTimeout,
		OnProof: func(proof tokenendpoint.Proof) {
			s.proven(proof, metrics())
		},
	}
	endpoint.Credentials = rotation
	return rotation
}

// proven is told how each proof of a new pair ended.
func (s *sidecar) proven(proof tokenendpoint.Proof, metrics *admin.Metrics) {
	switch {
	case proof.Err == nil:
		metrics.ObserveRotation("ok")
		s.log.Info().Str("live_client_hash", proof.Live).Bool("new_client", proof.NewClient).
			Msg("new credentials are proven by a mint and live")
		// Tokens that live stay: they are good to their end. What was refused may
		// be accepted now.
		s.cache.Forgive()
		if proof.NewClient {
			// Another client id may be another partner: the two are not mixed for longer
			// than the refresh of all tokens takes.
			s.cache.Refresh()
		}
		return
	case proof.Err.Reason == tokencache.Rejected:
		metrics.ObserveRotation("refused")
	default:
		metrics.ObserveRotation("failed")
	}
	line := s.log.Error().Str("reason", string(proof.Err.Reason)).Int("status", proof.Err.Status).
		Str("live_client_hash", proof.Live).Str("new_client_hash", proof.New).Float64("retry_in_s", proof.RetryIn.Seconds())
	if proof.Err.Err != nil {
		line = line.AnErr("cause", proof.Err.Err)
	}
	if proof.Err.Reason == tokencache.Rejected {
		line.Msg("old pair live, new pair refused: the token endpoint did not accept the changed credentials")
	} else {
		line.Msg("old pair live, new pair unproven: no mint with the changed credentials has succeeded yet")
	}
}

// credentialsStatus is what /status shows of the credentials.
func (s *sidecar) credentialsStatus() admin.CredentialsStatus {
	of := s.rotation.Status()
	status := admin.CredentialsStatus{
		Live: of.Live, New: of.New, NewPair: string(of.State), Tries: of.Tries, Reason: string(of.Reason), RetryIn: of.RetryIn.Seconds(),
	}
	if !of.Since.IsZero() {
		status.Rotated = of.Since.UTC().Format(time.RFC3339)
	}
	switch of.State {
	case tokenendpoint.NoNewPair:
		status.Summary = "the pair of the configuration is live"
	case tokenendpoint.Proving:
		status.Summary = "old pair live, new pair is being proven"
	default:
		status.Summary = "old pair live, new pair " + string(of.State)
	}
	return status
}
