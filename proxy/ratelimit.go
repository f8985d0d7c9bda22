package proxy

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// longestQueue limits a request's wait for its turn. Clients wait for seconds and
	// not for minutes, and repeat what takes longer.
	longestQueue = time.Second
	// longestHold limits what is believed of Retry-After and RateLimit-Reset.
	longestHold = time.Minute
)

// pacer spreads requests to upstream, so that Monite need not respond with 429, which
// it does to all requests of a client id. Monite's own count (the RateLimit fields of
// its responses) is of all replicas, and slows this one down when little is left.
type pacer struct {
	limit   rate.Limit
	limiter *rate.Limiter // nil: no limit
	shared  func(context.Context) (time.Duration, error)
	// onLimited is told for how long Monite wants no requests. May be nil.
	onLimited func(time.Duration)
	// remaining is the number that Monite sent last; -1 if it has not.
	remaining atomic.Int64

	mu    sync.Mutex // guards what follows
	until time.Time  // no request is sent before
	reset time.Time  // when the whole limit holds again
}

func newPacer(perSecond int, shared func(context.Context) (time.Duration, error)) *pacer {
	p := &pacer{limit: rate.Limit(perSecond), shared: shared}
	p.remaining.Store(-1)
	if perSecond > 0 {
		p.limiter = rate.NewLimiter(p.limit, max(1, perSecond/10))
	}
	return p
}

// wait returns when the next request may be sent, or a failure if that is too late.
func (p *pacer) wait(ctx context.Context) error {
	if p == nil || p.limiter == nil { // a Handler that tests put together has none
		return nil
	}
	now := time.Now()
	turn := p.limiter.ReserveN(now, 1)
	pause := max(turn.DelayFrom(now), p.held(now))
	if p.shared != nil && pause <= longestQueue {
		if others, err := p.shared(ctx); err == nil {
			pause = max(pause, others)
		}
	}
	if pause > longestQueue {
		turn.CancelAt(now)
		f := notSent(&problemRateLimited)
		f.retryAfter = pause
		return f
	}
	if pause <= 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		turn.CancelAt(now)
		return ctx.Err()
	}
}

// held is the time for which nothing may be sent. It also ends a slower pace that is
// over.
func (p *pacer) held(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reset.IsZero() && !now.Before(p.reset) {
		p.reset = time.Time{}
		p.limiter.SetLimitAt(now, p.limit)
	}
	return p.until.Sub(now)
}

// heard reads what Monite says is left.
func (p *pacer) heard(response *http.Response) {
	if p == nil {
		return
	}
	left, known := fieldNumber(response.Header["Ratelimit-Remaining"])
	if known {
		p.remaining.Store(left)
	}
	tooMany := response.StatusCode == http.StatusTooManyRequests
	if !known && !tooMany || p.limiter == nil && left > 0 && !tooMany {
		return
	}
	seconds, _ := fieldNumber(response.Header["Ratelimit-Reset"])
	reset, hold := min(time.Duration(seconds)*time.Second, longestHold), time.Duration(0)
	switch {
	case tooMany:
		asked, _ := fieldNumber(response.Header["Retry-After"])
		hold = max(reset, min(time.Duration(asked)*time.Second, longestHold), time.Second)
	case left == 0:
		hold = reset
	}
	if hold > 0 && p.onLimited != nil {
		p.onLimited(hold)
	}
	if p.limiter == nil {
		return
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case hold > 0:
		p.until = now.Add(hold)
	case reset > 0:
		if slower := rate.Limit(float64(left) / reset.Seconds()); slower < p.limit {
			p.limiter.SetLimitAt(now, max(slower, 1))
			p.reset = now.Add(reset)
		}
	}
}

// fieldNumber reads a field that is a number from 0.
func fieldNumber(values []string) (n int64, ok bool) {
	if len(values) != 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(values[0], 10, 32)
	return n, err == nil && n >= 0
}

// RateLimitRemaining returns the number of requests that the client id has left, as
// Monite last reported. ok is false if it has not.
func (h *Handler) RateLimitRemaining() (n int64, ok bool) {
	n = h.pacer.remaining.Load()
	return n, n >= 0
}
