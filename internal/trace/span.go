package trace

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/monite-proxy/monite-proxy/proxy"
)

// The names are OpenTelemetry's stable ones for HTTP. url.path, url.query and
// url.full, which it asks for, are left out: ids are in them.

// span is that of one request.
type span struct {
	of    *Traces
	ctx   context.Context // with the span in it: the parent of the others
	otel  trace.Span
	start proxy.SpanStart
}

// Begin implements proxy.Tracer.
func (t *Traces) Begin(start proxy.SpanStart) proxy.Span {
	ctx, of := t.tracer.Start(parent(start), spanName(start.Method, ""),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(start.Time))
	return &span{of: t, ctx: ctx, otel: of, start: start}
}

func (s *span) IDs() (traceID, spanID string, sampled bool) {
	c := s.otel.SpanContext()
	return c.TraceID().String(), c.SpanID().String(), c.IsSampled()
}

func (s *span) Waited(from, to time.Time, failed bool) {
	_, wait := s.of.tracer.Start(s.ctx, "token wait", trace.WithTimestamp(from))
	if failed {
		wait.SetStatus(codes.Error, "")
	}
	wait.End(trace.WithTimestamp(to))
}

func (s *span) End(r *proxy.Record) {
	if !s.otel.IsRecording() {
		s.otel.End()
		return
	}
	scheme := "http"
	if s.start.TLS {
		scheme = "https"
	}
	route := r.Route
	if route == "other" {
		route = ""
	}
	s.otel.SetName(spanName(r.Method, route))
	s.otel.SetAttributes(methodOf(r.Method), attribute.String("url.scheme", scheme))
	s.otel.SetAttributes(address(s.start.Listener, "")...)
	s.given("http.route", route)
	if r.Status != 0 && r.Status != 499 { // no such status was sent
		s.otel.SetAttributes(attribute.Int("http.response.status_code", r.Status))
	}
	s.given("monite_proxy.origin", r.Origin)
	s.given("monite_proxy.outcome", string(r.Outcome))
	s.given("monite_proxy.replay", r.Replay)
	s.given("monite_proxy.grant_type", r.GrantType)
	if r.Retried {
		s.otel.SetAttributes(attribute.Bool("monite_proxy.retried", true))
	}
	name := r.ErrorName()
	s.given("error.type", name)
	// For a server, refusing a bad request is not an error.
	if r.Status >= http.StatusInternalServerError || r.Aborted {
		s.otel.SetStatus(codes.Error, "")
	}
	s.otel.End(trace.WithTimestamp(r.Start.Add(r.Duration)))
}

func (s *span) given(name, value string) {
	if value != "" {
		s.otel.SetAttributes(attribute.String(name, value))
	}
}

// attempt is the span of one attempt.
type attempt struct {
	ctx  context.Context
	otel trace.Span
}

func (s *span) Attempt(method string, resend int) proxy.AttemptSpan {
	ctx, of := s.of.tracer.Start(s.ctx, spanName(method, ""), trace.WithSpanKind(trace.SpanKindClient))
	if of.IsRecording() {
		of.SetAttributes(s.of.client...)
		of.SetAttributes(methodOf(method))
		if resend > 0 {
			of.SetAttributes(attribute.Int("http.request.resend_count", resend))
		}
	}
	return attempt{ctx, of}
}

func (a attempt) Context() (traceparent, tracestate string) {
	fields := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(a.ctx, fields)
	return fields["traceparent"], fields["tracestate"]
}

func (a attempt) End(status int, errorType string) {
	if status != 0 {
		a.otel.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= http.StatusBadRequest {
			errorType = strconv.Itoa(status)
		}
	}
	if errorType != "" {
		a.otel.SetAttributes(attribute.String("error.type", errorType))
		a.otel.SetStatus(codes.Error, "")
	}
	a.otel.End()
}

// spanName has no more values than there are methods and routes.
func spanName(method, route string) string {
	if method == "other" {
		method = "HTTP"
	}
	if route == "" {
		return method
	}
	return method + " " + route
}

func methodOf(method string) attribute.KeyValue {
	if method == "other" {
		method = "_OTHER"
	}
	return attribute.String("http.request.method", method)
}

// address splits host:port; a unix socket is an address without a port.
func address(text, scheme string) []attribute.KeyValue {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return []attribute.KeyValue{attribute.String("server.address", path)}
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), map[string]string{"https": "443", "http": "80"}[scheme]
	}
	all := []attribute.KeyValue{attribute.String("server.address", host)}
	if number, err := strconv.Atoi(port); err == nil {
		all = append(all, attribute.Int("server.port", number))
	}
	return all
}
