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
	t := cfg.Traces
	if t == nil {
		return nil
	}
	c := trace.Config{
		Endpoint: t.Endpoint, Headers: t.Headers, RootCAs: rootsFor(t.Endpoint, t.RootCAs), Timeout: t.Timeout,
		QueueSize: t.QueueSize, BatchSize: t.BatchSize, BatchDelay: t.BatchDelay,
		ServiceName: t.ServiceName, Version: version, Sampler: t.Sampler, Ratio: t.Ratio, Upstream: cfg.Upstream, Log: log,
	}
	for _, a := range t.Attributes {
		c.Attributes = append(c.Attributes, a.Name, a.Value)
	}
	if cfg.ProxyFromEnv {
		ask := httpproxy.FromEnvironment().ProxyFunc()
		c.Proxy = func(r *http.Request) (*url.URL, error) { return ask(r.URL) }
	}
	return trace.New(c)
}
