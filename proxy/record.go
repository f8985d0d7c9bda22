package proxy

import (
	"context"
	"time"
)

// Where an answer comes from.
const (
	OriginUpstream = "upstream"
	OriginProxy    = "proxy"
)

// Outcome says whether upstream may have executed a request.
type Outcome string

// The outcomes of an answer made by the proxy.
const (
	NotSent  Outcome = "not_sent" // no byte reached upstream: sending again is safe
	Rejected Outcome = "rejected" // upstream refused the token before acting: sending again is safe
	Unknown  Outcome = "unknown"  // upstream may have acted: read before sending again
)

// Record is what is known of one request. The access log and the metrics are
// made of it. It holds no id of an entity or a user, no path, query, header or
// body.
type Record struct {
	Start     time.Time
	RequestID string
	// Method is one of the allowed methods, or "other".
	Method string
	// Route is a template of Monite's published paths, or "other".
	Route string
	// Status is what the app got; 499 if it went away before an answer.
	Status int
	// Origin is OriginUpstream or OriginProxy.
	Origin string
	// ErrorType is the proxy_... type of an answer made by the proxy.
	ErrorType string
	// Violation is the rule that a refused head broke; set by the strict listener.
	Violation string
	// Outcome is set on answers made by the proxy, and where the app went away.
	Outcome   Outcome
	GrantType string
	// Duration of the whole request; set at its end.
	Duration time.Duration
	// TokenWait is the time until the credential step had a token.
	TokenWait time.Duration
	// UpstreamTime is from sending to the answer's head, the last attempt's.
	UpstreamTime time.Duration
	// Replay is why the request was sent a second time: "401" or "expired".
	Replay string
	// Retried: sent once more on a new connection.
	Retried bool
	// Sent: upstream was asked at least once.
	Sent bool
	// rejected: upstream refused the token, and no new one could be had.
	rejected bool
	// unsure: an attempt broke after it was sent, and was followed by another. What
	// became of the other is no news of the first.
	unsure                      bool
	RequestBytes, ResponseBytes int64
	UpstreamRequestID           string
	// Aborted: the answer was cut off visibly, after its head had gone out.
	Aborted bool
	// Err is the cause of an answer made by the proxy; nil if the app's request
	// was at fault. It holds no secret.
	Err error
}

type recordKey struct{}

func withRecord(ctx context.Context, r *Record) context.Context {
	return context.WithValue(ctx, recordKey{}, r)
}

func recordFrom(ctx context.Context) *Record {
	r, _ := ctx.Value(recordKey{}).(*Record)
	return r
}
