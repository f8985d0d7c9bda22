package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"
)

// accessLog is the outermost step: whatever happens to a request, it ends here,
// in one line and one Record; and an audit line if it is a write. The fields
// are those of logfields.go.
type accessLog struct {
	next    http.Handler
	log     zerolog.Logger
	observe func(*Record) // may be nil
	// auditLog gets the lines of the writes; listener is named in them.
	auditLog zerolog.Logger
	listener string
	tracer   Tracer // nil: no traces
}

func (a *accessLog) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	record := &Record{
		Start:     time.Now(),
		RequestID: requestID(in.Header["X-Request-Id"]),
		Method:    methodLabel(in.Method),
		Route:     otherRoute,
	}
	a.beginSpan(in, record)
	w.Header().Set("X-Request-Id", record.RequestID)
	defer func() {
		r := recover()
		if r == nil {
			a.end(record, in)
			return
		}
		if err, ok := r.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			// Not a fault: it is how a cut-off answer stays visible to the app.
			a.end(record, in)
			panic(http.ErrAbortHandler)
		}
		// The value of a panic may hold anything, secrets too: its type is enough.
		a.log.Error().Str("request_id", record.RequestID).Str("panic", fmt.Sprintf("%T", r)).
			Bytes("stack", debug.Stack()).Msg("panic in the handler")
		if record.Status != 0 {
			a.end(record, in)
			panic(http.ErrAbortHandler)
		}
		writeProblem(w, in, classify(errors.New("panic"), record), record)
		a.end(record, in)
	}()
	a.next.ServeHTTP(w, in.WithContext(newCall(in.Context(), record)))
}

func (a *accessLog) end(record *Record, in *http.Request) {
	record.Duration = time.Since(record.Start)
	// Whoever keeps the record must not keep a policy that was replaced, nor the ids
	// in a path.
	record.view, record.prefix, record.path, record.explanation = nil, nil, "", nil
	if record.span != nil {
		record.span.End(record)
	}
	if a.observe != nil {
		a.observe(record)
	}
	if isWrite(in.Method) {
		a.audit(record, in)
	}
	line := a.log.WithLevel(level(record))
	if !line.Enabled() || level(record) < a.log.GetLevel() {
		return
	}
	line = line.Str("request_id", record.RequestID)
	if record.TraceID != "" {
		line = line.Str("trace_id", record.TraceID).Str("span_id", record.SpanID)
	}
	line = line.
		Str("method", record.Method).
		Str("route", record.Route).
		Int("status", record.Status).
		Str("origin", record.Origin).
		Float64("duration_ms", milliseconds(record.Duration))
	if record.ErrorType != "" {
		line = line.Str("error_type", record.ErrorType)
	}
	if record.Violation != "" {
		line = line.Str("violation", record.Violation)
	}
	if record.Outcome != "" {
		line = line.Str("outcome", string(record.Outcome))
	}
	if record.GrantType != "" {
		line = line.Str("grant_type", record.GrantType).Float64("token_wait_ms", milliseconds(record.TokenWait))
	}
	if record.Sent {
		line = line.Float64("upstream_ms", milliseconds(record.UpstreamTime))
	}
	if record.Replay != "" {
		line = line.Str("replay", record.Replay)
	}
	if record.Retried {
		line = line.Bool("retried", true)
	}
	if record.Identity != "" {
		line = line.Str("identity", record.Identity)
	}
	if record.Audited != "" {
		line = line.Str("would_refuse", record.Audited)
	}
	if record.UpstreamRequestID != "" {
		line = line.Str("upstream_request_id", record.UpstreamRequestID)
	}
	if record.Aborted {
		line = line.Bool("aborted", true)
	}
	if record.Err != nil {
		line = line.AnErr("cause", record.Err)
	}
	line.Int64("request_bytes", record.RequestBytes).Int64("response_bytes", record.ResponseBytes).Msg("request")
}

// milliseconds is how the log and Server-Timing say a duration: to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// level: what the operator of the sidecar must look at is an error, what
// upstream did wrong a warning, an app that went away is of no interest, and what
// an app asks for wrongly is its own affair, whatever the status.
func level(record *Record) zerolog.Level {
	switch {
	case record.Status == statusClientGone && record.Outcome == Unknown && record.Method != http.MethodGet && record.Method != http.MethodHead:
		return zerolog.WarnLevel // somebody may have to find out what became of it
	case record.Status == statusClientGone:
		return zerolog.DebugLevel
	case record.Status >= 500 && record.Origin == OriginProxy:
		switch record.ErrorType {
		case problemUpgrade.kind, problemCoding.kind, problemVersion.kind:
			return zerolog.InfoLevel
		case problemOverloaded.kind, problemDraining.kind: // a good request at a bad time
			return zerolog.WarnLevel
		}
		return zerolog.ErrorLevel
	case record.Status >= 500 || record.Aborted:
		return zerolog.WarnLevel
	default:
		return zerolog.InfoLevel
	}
}

// requestID keeps the app's id if it is one short printable value.
func requestID(given []string) string {
	if len(given) == 1 && len(given[0]) > 0 && len(given[0]) <= 128 && printable(given[0]) {
		return given[0]
	}
	var random [16]byte
	binary.BigEndian.PutUint64(random[:8], rand.Uint64())
	binary.BigEndian.PutUint64(random[8:], rand.Uint64())
	return hex.EncodeToString(random[:])
}

// printable: visible ASCII only.
func printable(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
