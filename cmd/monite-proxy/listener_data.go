package main

import (
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
)

// appOptions are for a listener of apps: the data listener, and those of named
// identities.
func (s *sidecar) appOptions(at config.Listen, mode fs.FileMode) listenOptions {
	options := listenOptions{
		TLS: s.cfg.ServerTLS(s.tlsReloaded), Mode: mode,
		Refused: func(uid uint32) { s.peers.refused(uid, s.log) },
	}
	if at.Network == "unix" { // the configuration has no ports beside peer uids
		options.PeerUIDs = s.cfg.AllowedPeerUIDs
	}
	return options
}

// vendOptions are for the vend listener.
func (s *sidecar) vendOptions() listenOptions {
	options := s.appOptions(s.cfg.Vend, s.cfg.VendSocketMode)
	options.PeerUIDs = s.cfg.VendAllowedPeerUIDs // a port has none
	return options
}

// refusedPeers counts connections of users that are not allowed.
type refusedPeers struct {
	count atomic.Int64
	said  atomic.Int64 // when the log was told, in ns
}

// refused tells the log at most once in ten seconds: who is refused may try as
// often as he likes.
func (r *refusedPeers) refused(uid uint32, log zerolog.Logger) {
	total := r.count.Add(1)
	now, said := time.Now().UnixNano(), r.said.Load()
	if now-said < int64(10*time.Second) || !r.said.CompareAndSwap(said, now) {
		return
	}
	log.Warn().Uint32("uid", uid).Int64("refused_so_far", total).Msg("connection of a user that MONITE_ALLOWED_PEER_UIDS does not name")
}

// tlsReloaded is told of changes of the TLS files of the data listener.
func (s *sidecar) tlsReloaded(err error) {
	if err != nil {
		s.log.Error().Err(err).Msg("TLS files of the data listener cannot be used, the last good ones stay")
		return
	}
	s.log.Info().Msg("TLS files of the data listener changed")
}
