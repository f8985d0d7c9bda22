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
	"time"

	"crypto/x509"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// Config configures Traces.
type Config struct {
	// Endpoint is the collector's whole URL.
	Endpoint *url.URL
	Headers  []secret.Pair
	// RootCAs are those of the collector. Nil: the system's.
	RootCAs *x509.CertPool
	// Proxy is asked for a forward proxy. Nil: there is none.
	Proxy func(*http.Request) (*url.URL, error)
	// Timeout of one export. Above 0.
	Timeout time.Duration
	// At most QueueSize spans wait. They are sent in batches of BatchSize, and a
	// smaller batch after BatchDelay. All above 0.
	QueueSize, BatchSize int
	BatchDelay           time.Duration
	// ServiceName, Version and Attributes describe this process; the latter are
	// names and values in turn.
	ServiceName, Version string
	Attributes           []string
	// Sampler is a value of OTEL_TRACES_SAMPLER, Ratio that of traceidratio.
	Sampler string
	Ratio   float64
	// Upstream is the origin that attempts go to.
	Upstream *url.URL
	Log      zerolog.Logger
}
