package proxy

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// Tracer tells a third party where the time of a request went. It is given no
// request, and so no path, id, header or body: only what is named here.
type Tracer interface {
	// Begin starts the span of one request.
	Begin(SpanStart) Span
}

// SpanStart holds what is known of a request when it arrives.
type SpanStart struct {
	// Traceparent and Tracestate are the app's fields: the parent, if they are right.
	Traceparent, Tracestate []string
	Time                    time.Time
	Method                  string // as in Record
	TLS                     bool
	// Listener is the one that the app used, as the audit line names it.
	Listener string
}

// Span is that of one request. Its methods are called by one goroutine at a time.
type Span interface {
	// IDs are those of the trace and the span, in hexadecimal digits. sampled: they
	// are exported.
	IDs() (trace, span string, sampled bool)
	// Waited tells of a wait for a token that is over. failed: there is none.
	Waited(from, to time.Time, failed bool)
	// Attempt starts the span of one attempt at upstream. resend is the number of
	// earlier attempts.
	Attempt(method string, resend int) AttemptSpan
	// End ends it; the record is complete.
	End(*Record)
}

// AttemptSpan is that of one attempt.
type AttemptSpan interface {
	// Context are the fields that tell upstream of the trace. An empty one is not sent.
	Context() (traceparent, tracestate string)
	// End ends it, at the head of the response. status is 0 and errorType a short name
	// of the step that failed if there is none.
	End(status int, errorType string)
}

// beginSpan does nothing without a tracer.
func (c *call) beginSpan() {
	if c.log.tracer == nil {
		return
	}
	c.span = c.log.tracer.Begin(SpanStart{
		Traceparent: c.in.Header["Traceparent"], Tracestate: c.in.Header["Tracestate"],
		Time: c.record.Start, Method: c.record.Method, TLS: c.in.TLS != nil, Listener: c.listenerName(),
	})
	c.record.TraceID, c.record.SpanID, c.record.Sampled = c.span.IDs()
}

// minWait is the shortest wait that gets a span: a cached token takes microseconds.
const minWait = time.Millisecond

// waited adds up the waits for tokens, and tells the trace of each.
func (c *call) waited(from time.Time, err error) {
	to := time.Now()
	c.record.TokenWait += to.Sub(from)
	if c.span != nil && to.Sub(from) >= minWait {
		c.span.Waited(from, to, err != nil)
	}
}

// stepOf names what failed, for a span. An error's text may hold an address.
func stepOf(err error) string {
	broken, ok := errors.AsType[*upstream.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case !ok:
		return "other"
	case broken.Timeout:
		return "timeout"
	}
	return string(broken.Op)
}

// ErrorName names, for the end of a span, what went wrong: the type of our own
// response, upstream's status, or what became of the app. "" if nothing did.
func (r *Record) ErrorName() string {
	switch {
	case r.ErrorType != "":
		return r.ErrorType
	case r.Status == statusClientGone:
		return "client_gone"
	case r.Aborted:
		return "aborted"
	case r.Status >= http.StatusInternalServerError:
		return strconv.Itoa(r.Status)
	}
	return ""
}
