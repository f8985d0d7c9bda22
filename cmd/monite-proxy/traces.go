package main

import (
	"net/http"
	"net/url"

	"github.com/rs/zerolog"
	"golang.org/x/net/http/httpproxy"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/trace"
)

// newTraces returns nil if none are exported.
func newTraces(cfg *config.Config, log zerolog.Logger, version string) *trace.Traces {
	if cfg.Traces == nil {
		return nil
	}
	c := trace.Config{Traces: *cfg.Traces, Version: version, Upstream: cfg.Upstream, Log: log}
	c.RootCAs = rootsFor(c.Endpoint, c.RootCAs)
	if cfg.ProxyFromEnv {
		ask := httpproxy.FromEnvironment().ProxyFunc()
		c.Proxy = func(r *http.Request) (*url.URL, error) { return ask(r.URL) }
	}
	return trace.New(c)
}
