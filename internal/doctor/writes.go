package doctor

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// shortGuard is a time for which some clients still repeat: they wait longer after
// each try.
const shortGuard = time.Minute

// checkWrites says what keeps a write from being executed twice. The operator may have
// chosen so, or have an app that never repeats: it is advice.
func (e *examination) checkWrites() {
	guard, ttl := e.cfg.RepeatGuard, e.cfg.IdempotencyTTL
	where := "in this sidecar's memory"
	if e.Store != nil {
		where = "in the shared store"
	}
	f := finding{Step: "writes", Result: note}
	switch {
	case e.cfg.ReadOnly:
		f.Result, f.What = fine, "MONITE_READ_ONLY is set: none is sent"
	case guard == 0:
		f.What = "MONITE_REPEAT_GUARD is 0: a write that an app repeats is sent again, also if Monite has executed it"
		f.Why = "clients repeat after a 5xx or a lost connection; Monite's own sends a write up to three times"
		f.Next = "remove MONITE_REPEAT_GUARD, or have the app send an Idempotency-Key with each write"
		if ttl == 0 {
			f.Next = "remove MONITE_REPEAT_GUARD and MONITE_IDEMPOTENCY_TTL"
		}
	case guard < shortGuard:
		f.What = fmt.Sprintf("MONITE_REPEAT_GUARD is %v: a client that repeats after a longer time may have its write executed twice", guard)
		f.Next = "remove MONITE_REPEAT_GUARD: its default is 10m"
	case ttl == 0:
		f.What = "MONITE_IDEMPOTENCY_TTL is 0: an app that sends an Idempotency-Key is protected no more than others"
		f.Next = "remove MONITE_IDEMPOTENCY_TTL if an app sends this field"
	default:
		f.Result = fine
		f.What = fmt.Sprintf("one of unknown outcome is not repeated for %v, an Idempotency-Key is known for %v; kept %s", guard, ttl, where)
	}
	e.report.add(f)
}

// checkOpenWrites asks the running sidecar for writes that somebody has to look after.
func (e *examination) checkOpenWrites(ctx context.Context) finding {
	var running struct {
		Unknown int `json:"unknown_writes_total"`
	}
	if !e.status(ctx, &running) {
		return finding{Result: note, What: "the running sidecar does not report its writes"}
	}
	if running.Unknown > 0 {
		return finding{Result: note, What: fmt.Sprintf("writes of unknown outcome: %d", running.Unknown), Why: "Monite may have executed them; it did not say so",
			Next: "see 'monite-proxy status -unknown', and read in Monite what became of each"}
	}
	text, err := e.sidecar.Ask(ctx, http.MethodGet, "/metrics")
	if err != nil {
		return finding{Result: note, What: "the running sidecar does not report its metrics"}
	}
	if dropped := counted(text, "monite_proxy_write_records_dropped_total"); dropped > 0 {
		return finding{Result: note, What: fmt.Sprintf("writes that the running sidecar had to forget early: %.0f", dropped), Why: "more than 10,000 were remembered at once",
			Next: "shorten MONITE_IDEMPOTENCY_TTL if most have an Idempotency-Key, or spread the load over more sidecars"}
	}
	return finding{Result: fine, What: "the running sidecar has none of unknown outcome, and has forgotten none early"}
}

// counted returns the value of a metric without labels.
func counted(metrics, name string) float64 {
	for line := range strings.Lines(metrics) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return n
		}
	}
	return 0
}
