package config

import (
	"crypto/x509"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// Traces says which spans are exported, and where to. Other programs use the OTEL_*
// variables too, so they are validated only if traces are on.
type Traces struct {
	// Endpoint is the whole URL.
	Endpoint *url.URL
	Headers  []secret.Pair
	// RootCAs are the system's and those of the certificate's file. Nil: only the
	// system's.
	RootCAs *x509.CertPool
	// Timeout of one export, what is tried again included.
	Timeout     time.Duration
	ServiceName string
	// Attributes of the resource, in the order given.
	Attributes []Attribute
	Sampler    string  // always_on, always_off, traceidratio, or one of them after parentbased_
	Ratio      float64 // of traceidratio: 0 to 1
	// At most QueueSize spans wait. They are sent in batches of BatchSize, and a
	// smaller batch after BatchDelay.
	QueueSize, BatchSize int
	BatchDelay           time.Duration
}

// Attribute is a name and its value.
type Attribute struct{ Name, Value string }

const (
	otelPrefix         = "OTEL_"
	otlpEndpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	otlpTracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
)

// buildTraces returns nil if nothing is exported.
func buildTraces(parsed *spec, wrong *mistakes) *Traces {
	if parsed.OTELDisabled || parsed.TracesExporter == "none" || parsed.OTLPEndpoint == "" && parsed.OTLPTracesEndpoint == "" {
		return nil
	}
	oneOf("OTEL_TRACES_EXPORTER", parsed.TracesExporter, wrong, "otlp", "none")
	t := &Traces{
		Timeout:     milliseconds(min(parsed.OTLPTimeout, parsed.BSPExportTimeout)),
		ServiceName: parsed.OTELServiceName,
		QueueSize:   int(parsed.BSPQueueSize), BatchSize: int(parsed.BSPBatchSize), BatchDelay: milliseconds(parsed.BSPDelay),
	}
	if parsed.OTLPTracesTimeout > 0 {
		t.Timeout = milliseconds(min(parsed.OTLPTracesTimeout, parsed.BSPExportTimeout))
	}
	if t.BatchSize > t.QueueSize {
		wrong.refuse("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "it is larger than OTEL_BSP_MAX_QUEUE_SIZE")
	}
	t.Endpoint = buildEndpoint(parsed, wrong)
	name, protocol := ofTraces("OTEL_EXPORTER_OTLP_PROTOCOL", parsed.OTLPProtocol, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", parsed.OTLPTracesProtocol)
	if protocol != "" {
		oneOf(name, protocol, wrong, "http/protobuf")
	}
	name, path := ofTraces("OTEL_EXPORTER_OTLP_CERTIFICATE", parsed.OTLPCertificate, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", parsed.OTLPTracesCertificate)
	t.RootCAs = buildRoots(name, path, wrong)
	t.Headers = buildHeaders(parsed, wrong)
	t.Attributes = buildAttributes(parsed.OTELResource, wrong)
	for _, a := range t.Attributes {
		if a.Name == "service.name" && t.ServiceName == "" {
			t.ServiceName = a.Value
		}
	}
	if t.ServiceName == "" {
		t.ServiceName = "monite-proxy"
	}
	buildSampler(t, parsed, wrong)
	return t
}

func milliseconds(n number) time.Duration { return time.Duration(n) * time.Millisecond }

// ofTraces returns the value for traces alone, if it is set.
func ofTraces(name, value, ownName, own string) (string, string) {
	if own != "" {
		return ownName, own
	}
	return name, value
}

// buildEndpoint makes the collector's URL. The variable for traces holds the whole
// URL, the other one a base.
func buildEndpoint(parsed *spec, wrong *mistakes) *url.URL {
	name, text := ofTraces(otlpEndpoint, parsed.OTLPEndpoint, otlpTracesEndpoint, parsed.OTLPTracesEndpoint)
	at, problem := parseURL(text, "http:// or https://")
	if problem == "" {
		if _, ok := originHost(at); !ok {
			problem = "its host or port is not valid"
		}
	}
	if problem != "" {
		wrong.refuse(name, problem)
		return nil
	}
	if name == otlpEndpoint {
		at = at.JoinPath("v1", "traces")
	}
	return at
}

func buildHeaders(parsed *spec, wrong *mistakes) []secret.Pair {
	name, text := "OTEL_EXPORTER_OTLP_HEADERS", parsed.OTLPHeaders
	if !parsed.OTLPTracesHeaders.IsZero() {
		name, text = "OTEL_EXPORTER_OTLP_TRACES_HEADERS", parsed.OTLPTracesHeaders
	}
	pairs, ok := text.Pairs()
	if !ok {
		wrong.refuse(name, "")
	}
	return pairs
}

func buildAttributes(text string, wrong *mistakes) (all []Attribute) {
	for item := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		name, value, found := strings.Cut(item, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !found || name == "" || err != nil {
			wrong.refuse("OTEL_RESOURCE_ATTRIBUTES", "")
			return nil
		}
		all = append(all, Attribute{name, value})
	}
	return all
}

func buildSampler(t *Traces, parsed *spec, wrong *mistakes) {
	t.Sampler, t.Ratio = oneOf("OTEL_TRACES_SAMPLER", parsed.TracesSampler, wrong,
		"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"), 1
	if parsed.TracesSamplerArg == "" || !strings.HasSuffix(t.Sampler, "traceidratio") {
		return
	}
	ratio, err := strconv.ParseFloat(parsed.TracesSamplerArg, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		wrong.refuse("OTEL_TRACES_SAMPLER_ARG", "")
	}
	t.Ratio = ratio
}

// shown is the endpoint without its path, in which some vendors have the key, and
// of the attributes the names: anything may be in their values.
func (t *Traces) shown() (endpoint, attributes string) {
	if t == nil {
		return "", ""
	}
	names := make([]string, len(t.Attributes))
	for i, a := range t.Attributes {
		names[i] = a.Name
	}
	return originOf(t.Endpoint.String()), strings.Join(names, ",")
}

// originOf is the scheme and the host of a URL; empty if it is not one.
func originOf(text string) string {
	at, err := url.Parse(text)
	if err != nil || at.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: at.Scheme, Host: at.Host}).String()
}
