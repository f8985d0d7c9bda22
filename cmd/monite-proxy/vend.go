package main

import (
	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/listen"
	"github.com/monite-proxy/monite-proxy/internal/logs"
	"github.com/monite-proxy/monite-proxy/proxy"
)

// newVend makes the server that hands out tokens; nil without MONITE_VEND_ADDR.
func (s *sidecar) newVend() listen.Server {
	cfg := s.cfg
	if cfg.Vend == (config.Listen{}) {
		return nil
	}
	vendor := proxy.NewVendor(proxy.VendConfig{
		Tokens: s.cache, Users: cfg.AllowedEntityUserIDs, Default: cfg.EntityUserID,
		AllowedHosts: cfg.AllowedHosts, Bound: boundAddress(cfg.Vend), AppToken: cfg.VendAppToken,
		MaxInFlight: int64(cfg.MaxInFlight), Log: s.log, Audit: s.audit.Log, Listener: cfg.Vend.String(),
		Observe: s.observe,
	})
	server := proxy.NewStrictServer(vendor, "", logs.ForServer(s.log))
	server.MaxConns = s.shares.Vend
	return server
}
