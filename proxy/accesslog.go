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
	log     zerolog.Logger
	observe func(*Record) // may be nil
	// auditLog gets the lines of the writes; listener is named in them.
	auditLog zerolog.Logger
	listener string
	refused  auditLimit
	tracer   Tracer // nil: no traces
}

// begin makes the call of one request, which arrived at start. It must end.
func (a *accessLog) begin(h *Handler, w http.ResponseWriter, in *http.Request, start time.Time) *call {
	c := calls.Get().(*call)
	c.handler, c.log, c.w, c.Context = h, a, w, in.Context()
	c.room.in = *in.WithContext(c)
	c.in = &c.room.in
	c.record = Record{
		Start:     start,
		RequestID: requestID(in.Header["X-Request-Id"]),
		Method:    methodLabel(in.Method),
		Route:     otherRoute,
	}
	c.beginSpan()
	w.Header()["X-Request-Id"] = c.value(valueEchoedID, c.record.RequestID)
	return c
}

// end is deferred. It tells of the request, and turns a panic into a response while
// that can be done.
func (c *call) end() {
	r := recover()
	if r == nil {
		c.tell()
		c.free()
		return
	}
	if err, ok := r.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		// Not a fault: the panic makes a cut-off response visible to the app.
		c.tell()
		panic(http.ErrAbortHandler)
	}
	// The value of a panic may hold anything, secrets too: its type is enough.
	c.log.log.Error().Str("request_id", c.record.RequestID).Str("panic", fmt.Sprintf("%T", r)).
		Bytes("stack", debug.Stack()).Msg("panic in the handler")
	if c.record.Status != 0 {
		c.tell()
		panic(http.ErrAbortHandler)
	}
	c.w.Header().Set("Connection", "close") // nobody knows what still holds the request
	c.refuse(c.classify(errors.New("panic")))
	c.tell()
}

// tell reports how the request ended to the log, the metrics, the history and the
// trace.
func (c *call) tell() {
	c.record.Duration = time.Since(c.record.Start)
	if c.span != nil {
		c.span.End(&c.record)
	}
	if c.log.observe != nil {
		c.log.observe(&c.record)
	}
	if c.audited() && !c.followed {
		c.tellAudit()
	}
	level := level(&c.record)
	if line := c.log.log.WithLevel(level); line.Enabled() && level >= c.log.log.GetLevel() {
		c.write(line, requestFields, "request")
	}
}

// tellAudit writes the audit line of a write.
func (c *call) tellAudit() { c.write(c.log.auditLog.Info(), auditFields, "audit") }

// write writes one line.
func (c *call) write(line *zerolog.Event, fields []LogField, message string) {
	for i := range fields {
		fields[i].write(line, fields[i].Name, c)
	}
	line.Msg(message)
}

// otherRoute labels every path that Monite does not publish.
const otherRoute = "other"

// milliseconds is a duration as the log and Server-Timing say it: to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// level is that of the line: what the operator of the sidecar must look at is an error, what
// upstream did wrong a warning, an app that went away is of no interest, and what
// an app asks for wrongly is its own affair, whatever the status.
func level(record *Record) zerolog.Level {
	switch {
	case record.Status == statusClientGone && record.Outcome == Unknown && record.Method != http.MethodGet && record.Method != http.MethodHead:
		return zerolog.WarnLevel // a person may have to find out how it ended
	case record.Status == statusClientGone:
		return zerolog.DebugLevel
	case record.Status >= 500 && record.Origin == OriginProxy:
		switch record.ErrorType {
		case problemUpgrade.kind, problemCoding.kind, problemVersion.kind:
			return zerolog.InfoLevel
		case problemOverloaded.kind, problemRateLimited.kind, problemDraining.kind: // a good request at a bad time
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
	if len(given) == 1 && isID(given[0]) {
		return given[0]
	}
	var random [16]byte
	binary.BigEndian.PutUint64(random[:8], rand.Uint64())
	binary.BigEndian.PutUint64(random[8:], rand.Uint64())
	return hex.EncodeToString(random[:])
}

// isID reports whether text can be a request id. It has at most 128 bytes, all of them
// visible ASCII.
func isID(text string) bool {
	if text == "" || len(text) > 128 {
		return false
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
