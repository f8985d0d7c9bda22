// Package trace exports the spans of requests by OTLP over HTTP.
//
//	trace.go   Traces: a proxy.Tracer that has a queue
//	span.go    what is said of a request: method, route template, status, outcome,
//	           and never a path, query, id, header or body
//	queue.go   spans wait here, bounded; a request never does
//	upload.go  one POST to the collector, tried again within its time
//
// The exporter of the OpenTelemetry project is not used, but its SDK and its
// encoding are: that one links gRPC, which is 5 MB, honours HTTPS_PROXY whoever
// asks, and follows redirects.
package trace

import (
	"net/http"
	"net/url"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
)

// Config configures Traces.
type Config struct {
	config.Traces
	// Proxy is asked for a forward proxy. Nil: there is none.
	Proxy func(*http.Request) (*url.URL, error)
	// Version is that of this process.
	Version string
	// Upstream is the origin that attempts go to.
	Upstream *url.URL
	Log      zerolog.Logger
}
