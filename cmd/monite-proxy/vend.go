package main

import (
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/listen"
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
		AllowedHosts: cfg.AllowedHosts, Bound: boundAddress(cfg.Vend), AppToken: cfg.AppToken,
		MaxInFlight: int64(cfg.MaxInFlight), Log: s.log, Audit: s.audit.log, Listener: cfg.Vend.String(),
		Observe: s.observe,
	})
	server := proxy.NewServer(vendor, "", serverLog(s.log))
	server.ReadTimeout, server.WriteTimeout = 10*time.Second, cfg.HoldTimeout*2+30*time.Second // nothing streams here
	return server
}
