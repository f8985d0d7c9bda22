package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/proxy"
)

// vend is the listener that hands out tokens. Its zero value is none.
type vend struct {
	server   *http.Server
	listener *listener
}

// newVend makes its server; nil if there is to be none.
func (s *sidecar) newVend(metrics *admin.Metrics, history *admin.History) *http.Server {
	cfg := s.cfg
	if cfg.Vend == (config.Listen{}) {
		return nil
	}
	vendor := proxy.NewVendor(proxy.VendConfig{
		Tokens: s.cache, Users: cfg.AllowedEntityUserIDs, Default: cfg.EntityUserID,
		AllowedHosts: cfg.AllowedHosts, Bound: boundAddress(cfg.Vend), AppToken: cfg.VendAppToken,
		MaxInFlight: int64(cfg.MaxInFlight), Log: s.log, Audit: s.audit.log, Listener: cfg.Vend.String(),
		Observe: func(r *proxy.Record) {
			metrics.ObserveRequest(r)
			history.ObserveRequest(r)
		},
	})
	server := proxy.NewServer(vendor, "", serverLog(s.log))
	server.ReadTimeout, server.WriteTimeout = 10*time.Second, cfg.HoldTimeout*2+30*time.Second // nothing streams here
	return server
}

// stop lets the requests under way end, for a few seconds: a token that is not
// handed out harms nothing.
func (v *vend) stop() {
	if v.server == nil {
		return
	}
	v.listener.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if v.server.Shutdown(ctx) != nil {
		_ = v.server.Close()
	}
}

func (v *vend) sayWhere(line *zerolog.Event) {
	if v.listener != nil {
		line.Str("vend", fmt.Sprint(v.listener.Addr()))
	}
}
