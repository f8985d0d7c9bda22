package main

import (
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/listen"
	"github.com/monite-proxy/monite-proxy/internal/logs"
	"github.com/monite-proxy/monite-proxy/proxy"
)

// newDataServer makes the server of one listener for apps; key is that of a named
// identity's listener.
func (s *sidecar) newDataServer(key string) listen.Server {
	if s.cfg.Listener == "std" {
		std := proxy.NewServer(s.handler, key, logs.ForServer(s.log))
		crowd := listen.Crowd{Max: s.shares.App}
		std.ConnState = func(conn net.Conn, state http.ConnState) {
			s.conns.observe(conn, state)
			crowd.Observe(conn, state)
		}
		return std
	}
	strict := proxy.NewStrictServer(s.handler, key, logs.ForServer(s.log))
	strict.ConnState, strict.MaxConns = s.conns.observe, s.shares.App
	return strict
}

// appOptions say who may connect to a listener for apps: the data listener, the
// vend listener, and those of named identities.
func (s *sidecar) appOptions(at config.Listen, mode fs.FileMode) listen.Options {
	options := listen.Options{
		TLS: s.cfg.ServerTLS(s.tlsReloaded), Mode: mode,
		Refused: func(uid uint32) { s.peers.refused(uid, s.log) },
	}
	if at.Network == "unix" { // the configuration has no ports beside peer uids
		options.PeerUIDs = s.cfg.AllowedPeerUIDs
	}
	return options
}

// vendOptions are for the vend listener.
func (s *sidecar) vendOptions() listen.Options {
	options := s.appOptions(s.cfg.Vend, s.cfg.VendSocketMode)
	options.PeerUIDs = s.cfg.VendAllowedPeerUIDs // a port has none
	return options
}

// refusedPeers counts connections of users that are not allowed.
type refusedPeers struct {
	count atomic.Int64
	said  atomic.Int64 // when the log was told, in ns
}

// refused tells the log at most once in ten seconds: a caller that is refused may
// try as often as it likes.
func (r *refusedPeers) refused(uid uint32, log zerolog.Logger) {
	total := r.count.Add(1)
	now, said := time.Now().UnixNano(), r.said.Load()
	if now-said < int64(10*time.Second) || !r.said.CompareAndSwap(said, now) {
		return
	}
	log.Warn().Uint32("uid", uid).Int64("refused_so_far", total).Msg("connection refused: its user may not connect (MONITE_ALLOWED_PEER_UIDS)")
}

// tlsReloaded is told of changes of the TLS files of the data listener.
func (s *sidecar) tlsReloaded(err error) {
	if err != nil {
		s.log.Error().Err(err).Msg("TLS files of the data listener cannot be used; the last good ones stay in use")
		return
	}
	s.log.Info().Msg("TLS files of the data listener changed")
}

// boundAddress is the address of a TCP listener; invalid if it is not a single
// one.
func boundAddress(at config.Listen) netip.Addr {
	bound, err := netip.ParseAddrPort(at.Address)
	if at.Network != "tcp" || err != nil || bound.Addr().IsUnspecified() {
		return netip.Addr{}
	}
	return bound.Addr().Unmap()
}
