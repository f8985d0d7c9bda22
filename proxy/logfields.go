package proxy

import (
	"time"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/rs/zerolog"
)

// LogField is one field of the log. Names and meanings are stable: alerts and
// searches of other people rely on them.
type LogField struct {
	Name, In, Meaning string
	// write adds the field to a line, if there is something to say. nil: the logger
	// itself writes it.
	write func(line *zerolog.Event, name string, c *call)
}

// LogFields are all the fields of the lines "request" and "audit", in their
// order. The table in the documentation is made of this, and so are the lines.
var LogFields = []LogField{
	{"level", "both", "request: info; warn for a 5xx from Monite or a response that was cut off; error for a 5xx from the proxy, but warn for proxy_overloaded and proxy_draining, and info for 501 and 505, which the app causes; debug if the app went away. audit: info", nil},
	{"time", "both", "RFC 3339 with milliseconds", nil},
	{"request_id", "both", "the app's `X-Request-Id`, or a new one",
		writeText(func(c *call) string { return c.record.RequestID })},
	{"trace_id", "request", "the trace id, if traces are on",
		writeText(func(c *call) string { return c.record.TraceID })},
	{"span_id", "request", "the id of the request's span",
		writeText(func(c *call) string { return c.record.SpanID })},
	{"listener", "audit", "the listener that the app used, as `MONITE_LISTEN_ADDR` or an identity's `listen_addr` has it",
		writeAlways(func(c *call) string { return c.listenerName() })},
	{"app_token", "audit", "whether the app had to show `MONITE_APP_TOKEN`, and did",
		func(line *zerolog.Event, name string, c *call) { line.Bool(name, c.record.AppToken) }},
	{"peer_uid", "audit", "the user id of the app's process; over a unix socket on Linux",
		func(line *zerolog.Event, name string, c *call) {
			if uid, known := c.peerUID(); known {
				line.Uint32(name, uid)
			}
		}},
	{"method", "both", "GET, HEAD, POST, PUT, PATCH, DELETE or other",
		writeAlways(func(c *call) string { return c.record.Method })},
	{"route", "both", "the template of Monite's published path, or other",
		writeAlways(func(c *call) string { return c.record.Route })},
	{"status", "both", "the status that the app got; 499 if it went away first",
		func(line *zerolog.Event, name string, c *call) { line.Int(name, c.record.Status) }},
	{"origin", "both", "who made the response: upstream or proxy",
		writeAlways(func(c *call) string { return c.record.Origin })},
	{"duration_ms", "request", "the whole request, to the end of its response",
		writeDuration(func(c *call) (time.Duration, bool) { return c.record.Duration, true })},
	{"error_type", "both", "the `proxy_…` type of the proxy's own response",
		writeText(func(c *call) string { return c.record.ErrorType })},
	{"outcome", "request", "not_sent, rejected or unknown, if the proxy made the response",
		writeText(func(c *call) string { return string(c.record.Outcome) })},
	{"outcome", "audit", "the same, or answered if the response is Monite's",
		writeAlways(func(c *call) string { return c.auditOutcome() })},
	{"would_refuse", "both", "the `proxy_…` type with which rules on trial (`audit_only`) would have refused the request",
		writeText(func(c *call) string { return c.record.Audited })},
	{"identity", "both", "the name of the named identity, if the request used one",
		writeText(func(c *call) string { return c.record.Identity })},
	{"grant_type", "both", "client_credentials or entity_user, once the request was resolved to an identity",
		writeText(func(c *call) string { return c.record.GrantType })},
	{"entity_user_hash", "audit", "the entity user, as twelve digits of a SHA-256",
		writeText(func(c *call) string { return ids.Hash(c.identity.Grant.EntityUserID) })},
	{"entity_hash", "audit", "the entity, likewise",
		writeText(func(c *call) string { return ids.Hash(c.identity.EntityID) })},
	{"token_wait_ms", "request", "the wait for a token",
		writeDuration(func(c *call) (time.Duration, bool) { return c.record.TokenWait, c.record.GrantType != "" })},
	{"upstream_ms", "request", "from sending to the head of the response, of the last attempt",
		writeDuration(func(c *call) (time.Duration, bool) { return c.record.UpstreamTime, c.record.Sent })},
	{"violation", "request", "why the request head was refused, such as length_and_coding",
		writeText(func(c *call) string { return c.record.Violation })},
	{"replay", "both", "why the request was sent again with a new token: 401 or expired",
		writeText(func(c *call) string { return c.record.Replay })},
	{"retried", "request", "true if the request was sent once more on a new connection",
		writeTrue(func(c *call) bool { return c.record.Retried })},
	{"repeat_of", "both", "the request id of the earlier write that this one repeats",
		writeText(func(c *call) string { return c.record.RepeatOf })},
	{"delivered", "both", "whether the app has received Monite's response to its write; false: the app had gone, and the status is Monite's",
		func(line *zerolog.Event, name string, c *call) {
			if c.record.DeliveryKnown {
				line.Bool(name, c.record.Delivered)
			}
		}},
	{"upstream_request_id", "both", "Monite's own `X-Request-Id`, for its support",
		writeText(func(c *call) string { return c.record.UpstreamRequestID })},
	{"aborted", "request", "true if the response was cut off visibly",
		writeTrue(func(c *call) bool { return c.record.Aborted })},
	{"cause", "request", "the error behind the proxy's own response",
		func(line *zerolog.Event, name string, c *call) {
			if c.record.Err != nil {
				line.AnErr(name, c.record.Err)
			}
		}},
	{"request_bytes", "request", "of the body",
		func(line *zerolog.Event, name string, c *call) { line.Int64(name, c.record.RequestBytes) }},
	{"response_bytes", "request", "of the body",
		func(line *zerolog.Event, name string, c *call) { line.Int64(name, c.record.ResponseBytes) }},
	{"message", "both", "request or audit", nil},
}

var requestFields, auditFields = fieldsIn("request"), fieldsIn("audit")

// fieldsIn returns the fields of one kind of line.
func fieldsIn(line string) (fields []LogField) {
	for _, field := range LogFields {
		if field.write != nil && (field.In == line || field.In == "both") {
			fields = append(fields, field)
		}
	}
	return fields
}

func writeAlways(of func(*call) string) func(*zerolog.Event, string, *call) {
	return func(line *zerolog.Event, name string, c *call) { line.Str(name, of(c)) }
}

func writeText(of func(*call) string) func(*zerolog.Event, string, *call) {
	return func(line *zerolog.Event, name string, c *call) {
		if value := of(c); value != "" {
			line.Str(name, value)
		}
	}
}

func writeTrue(of func(*call) bool) func(*zerolog.Event, string, *call) {
	return func(line *zerolog.Event, name string, c *call) {
		if of(c) {
			line.Bool(name, true)
		}
	}
}

func writeDuration(of func(*call) (d time.Duration, known bool)) func(*zerolog.Event, string, *call) {
	return func(line *zerolog.Event, name string, c *call) {
		if d, known := of(c); known {
			line.Float64(name, milliseconds(d))
		}
	}
}
