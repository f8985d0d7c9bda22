package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// retry sends a request once more where nothing can happen twice:
//
//   - GET and HEAD, when the connection broke before a response;
//   - anything, when the connection was not made for it and provably no byte of
//     this request left.
//
// Never after a time-out, never a body that cannot be sent again, and no more
// than one in ten requests, so that a broken upstream gets no double load.
type retry struct {
	next http.RoundTripper
	// saved counts tenths of a retry: each request saves one, a retry costs ten.
	saved atomic.Int64
}

const (
	retryCost = 10
	maxSaved  = 10 * retryCost
)

func newRetry(next http.RoundTripper) *retry {
	r := &retry{next: next}
	r.saved.Store(maxSaved)
	return r
}

// attempt sends out, and once more where the rules of retry allow it.
func (c *call) attempt(out *http.Request) (*http.Response, error) {
	retry := c.handler.retry
	retry.save()
	response, err := c.trip(out)
	if err == nil || c.record.Retried || !c.body.replayable() || out.Context().Err() != nil ||
		!worthRetry(out.Method, err) || !retry.spend() {
		return response, err
	}
	c.record.Retried = true // once per request, a replay after an auth rejection included
	c.unsure = c.unsure || mayHaveActed(err)
	again := out.WithContext(out.Context())
	again.Body = c.body.reader()
	response, last := c.trip(again)
	if mayHaveActed(err) && last != nil && !mayHaveActed(last) {
		// That the second attempt never left says nothing of the first, which may
		// have been executed: the first error decides the response.
		return nil, fmt.Errorf("%w; then %w", err, last)
	}
	return response, last
}

// trip is the one call that sends: once, in a span of its own if there is a trace.
func (c *call) trip(out *http.Request) (*http.Response, error) {
	next := c.handler.retry.next
	if c.span == nil {
		return next.RoundTrip(out)
	}
	span := c.span.Attempt(c.record.Method, c.attempts)
	c.attempts++
	out = out.WithContext(out.Context())
	out.Header = maps.Clone(out.Header) // what broke may still be writing the other one
	parent, state := span.Context()
	setOrDelete(out.Header, "Traceparent", parent)
	setOrDelete(out.Header, "Tracestate", state)
	response, err := next.RoundTrip(out)
	if err != nil {
		span.End(0, stepOf(err))
		return nil, err
	}
	span.End(response.StatusCode, "")
	return response, nil
}

func setOrDelete(header http.Header, name, value string) {
	if value == "" {
		delete(header, name)
		return
	}
	header[name] = []string{value}
}

func (r *retry) save() {
	if r.saved.Load() < maxSaved {
		r.saved.Add(1)
	}
}

func (r *retry) spend() bool {
	for {
		saved := r.saved.Load()
		if saved < retryCost {
			return false
		}
		if r.saved.CompareAndSwap(saved, saved-retryCost) {
			return true
		}
	}
}

func mayHaveActed(err error) bool {
	broken, ok := errors.AsType[*upstream.Error](err)
	return ok && broken.Outcome != upstream.NotSent
}

func worthRetry(method string, err error) bool {
	broken, ok := errors.AsType[*upstream.Error](err)
	switch {
	case !ok || broken.Timeout:
		return false
	case broken.Outcome == upstream.NotSent:
		return broken.Reused
	default:
		return method == http.MethodGet || method == http.MethodHead
	}
}
