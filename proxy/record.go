package proxy

import (
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// Where a response comes from.
const (
	OriginUpstream = "upstream"
	OriginProxy    = "proxy"
)

// Outcome says whether upstream may have executed a request.
type Outcome = upstream.Outcome

// The outcomes of a response made by the proxy.
const (
	NotSent          = upstream.NotSent // no byte reached upstream: sending again is safe
	Rejected Outcome = "rejected"       // upstream refused the token before acting: sending again is safe
	Unknown          = upstream.Unknown // upstream may have acted: read before sending again
)

// Record sums up one request when it has ended, for the log, the metrics, the history
// and the trace. It holds no id of an entity or a user, no path, query, header or
// body. A later request may use its memory: copy what is to be kept.
type Record struct {
	Start     time.Time
	RequestID string
	// Method is one of the allowed methods, or "other".
	Method string
	// Route is a template of Monite's published paths, or "other".
	Route string
	// Status is the status that the app got; 499 if it went away before a response.
	Status int
	// Origin is OriginUpstream or OriginProxy.
	Origin string
	// ErrorType is the proxy_... type of a response made by the proxy.
	ErrorType string
	// Violation is the rule that a refused head broke; set by the strict listener.
	Violation string
	// Outcome is set on responses made by the proxy, and where the app went away.
	Outcome   Outcome
	GrantType string
	// AppToken: the app had to show the app token, and did.
	AppToken bool
	// Duration of the whole request; set at its end.
	Duration time.Duration
	// TokenWait is the time that the credential step waited for its token, and for
	// the other one if there was a replay.
	TokenWait time.Duration
	// ConnectTime is the part of UpstreamTime in which a connection was made. 0:
	// there was one.
	ConnectTime time.Duration
	// UpstreamTime is from sending to the response's head, the last attempt's.
	UpstreamTime time.Duration
	// Replay is why the request was sent a second time: "401" or "expired".
	Replay string
	// Retried: sent once more on a new connection.
	Retried bool
	// Sent: upstream was asked at least once.
	Sent bool
	// TraceID and SpanID are empty without traces. Sampled: they are exported.
	TraceID, SpanID string
	Sampled         bool
	// Identity is the name of a named identity; empty for the default one.
	Identity string
	// Audited is the proxy_... type with which rules on trial would have refused
	// the request; empty if they would not.
	Audited                     string
	RequestBytes, ResponseBytes int64
	UpstreamRequestID           string
	// Aborted: the response was cut off visibly, after its head had gone out.
	Aborted bool
	// RepeatOf is the request id of the write that this one repeats, by accident or on
	// purpose.
	RepeatOf string
	// Repeat is the fate of a write that is remembered: sent, overridden, replayed,
	// refused, in_progress, reused, gone or unavailable. Keyed: it had a key. Waited:
	// an equal one was under way.
	Repeat        string
	Keyed, Waited bool
	// Delivered: the app's connection has taken upstream's response to a write that is
	// remembered, and nothing says that the app was gone. DeliveryKnown: there was such
	// a response.
	DeliveryKnown, Delivered bool
	// Err is the cause of a response made by the proxy; nil if the app's request
	// was at fault. It holds no secret.
	Err error
}
