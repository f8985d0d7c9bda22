package trace

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/monite-proxy/monite-proxy/proxy"
)

// Traces makes spans and exports them while Run runs.
type Traces struct {
	tracer trace.Tracer
	queue  *queue
	// client is said of each attempt.
	client []attribute.KeyValue
}

var _ proxy.Tracer = (*Traces)(nil)

// New makes Traces. Nothing is sent before Run.
func New(c Config) *Traces {
	upload := newUpload(c)
	return newTraces(c, otlptrace.NewUnstarted(upload), upload.rejected.Load)
}

func newTraces(c Config, to sdk.SpanExporter, rejected func() int64) *Traces {
	q := newQueue(c, to, rejected)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(q.report)) // or the SDK writes to stderr itself
	attributes := []attribute.KeyValue{
		attribute.String("telemetry.sdk.name", "opentelemetry"), attribute.String("telemetry.sdk.language", "go"),
		attribute.String("telemetry.sdk.version", otel.Version()), attribute.String("service.version", c.Version),
	}
	for _, a := range c.Attributes {
		attributes = append(attributes, attribute.String(a.Name, a.Value))
	}
	// Of two of one name the last counts.
	attributes = append(attributes, attribute.String("service.name", c.ServiceName))
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sampler(c)),
		sdk.WithResource(resource.NewSchemaless(attributes...)),
		sdk.WithSpanProcessor(q),
		// Given, so that the SDK does not look for them in the environment.
		sdk.WithRawSpanLimits(sdk.SpanLimits{AttributeCountLimit: 32, AttributeValueLengthLimit: 256}),
	)
	return &Traces{
		tracer: provider.Tracer("github.com/monite-proxy/monite-proxy"), queue: q,
		client: append(address(c.Upstream.Host, c.Upstream.Scheme), attribute.String("network.protocol.version", "1.1")),
	}
}

func sampler(c Config) sdk.Sampler {
	name, parentBased := strings.CutPrefix(c.Sampler, "parentbased_")
	root := sdk.AlwaysSample()
	switch name {
	case "always_off":
		root = sdk.NeverSample()
	case "traceidratio":
		root = sdk.TraceIDRatioBased(c.Ratio)
	}
	if parentBased {
		return sdk.ParentBased(root)
	}
	return root
}

// Run exports until ctx ends, and then what is left, for up to flushTimeout.
func (t *Traces) Run(ctx context.Context) error { return t.queue.run(ctx) }

// Dropped returns the number of spans that were lost: there was no room, or the
// collector did not take them.
func (t *Traces) Dropped() int64 { return t.queue.dropped.Load() + t.queue.rejected() }

// parent reads the app's trace context. A repeated one counts as none (Trace Context
// section 3.2.1: a list of them is not a traceparent).
func parent(from proxy.SpanStart) context.Context {
	ctx := context.Background()
	if len(from.Traceparent) != 1 {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{
		"traceparent": from.Traceparent[0], "tracestate": strings.Clone(strings.Join(from.Tracestate, ",")), // without the head that it is cut out of
	})
}
