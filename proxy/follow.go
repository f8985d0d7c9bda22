package proxy

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

// followers read writes to their end whose apps do not wait any more: the app has
// gone, or has been told that upstream did not respond in time. What became of the
// write is then known, to the journal and in the audit line.
type followers struct {
	limit time.Duration // for one
	most  int64         // at once

	now  atomic.Int64
	all  sync.WaitGroup
	ends context.Context //nolint:containedctx // of all of them; Handler.StopFollowing ends it
	stop context.CancelFunc
}

// maxFollowed leaves upstream's connections to those who still wait.
const maxFollowed = 256

// defaultFollow is for keys alone, where the guard is off.
const defaultFollow = 10 * time.Minute

func newFollowers(limit time.Duration, maxInFlight int64) *followers {
	if limit <= 0 {
		limit = defaultFollow
	}
	f := &followers{limit: limit, most: min(maxFollowed, max(1, maxInFlight/2))}
	f.ends, f.stop = context.WithCancel(context.Background())
	return f
}

// source is the source of the rest of a write's response.
type source struct {
	head func(context.Context) (*http.Response, error)
	drop func()
}

// restOf is of a write whose response has not begun.
func restOf(rest *upstream.Rest) source { return source{head: rest.Follow, drop: rest.Drop} }

// bodyOf is of one whose response the app could not be given whole.
func bodyOf(response *http.Response, body *copied) source {
	return source{
		head: func(ctx context.Context) (*http.Response, error) {
			context.AfterFunc(ctx, func() { _ = body.ReadCloser.Close() })
			return response, nil
		},
		drop: func() {},
	}
}

// follow takes claim from its call, and reads the write to its end. told is the app's
// error; nil if the app gets upstream's response. It reports false if too many are
// followed: then the source is closed, and the claim is the caller's again.
func (c *call) follow(claim *writes.Claim, from source, told *failed) bool {
	all := c.handler.followers
	all.all.Add(1) // first: a caller that sees the number may wait for all
	if all.now.Add(1) > all.most || all.ends.Err() != nil {
		all.now.Add(-1)
		all.all.Done()
		from.drop()
		if c.copied != nil {
			claim.Unknown(c.copied.status)
		}
		return false
	}
	c.followed = true
	// The call ends with its handler, and its request and response with it.
	left := &call{handler: c.handler, log: c.log, identity: c.identity, record: c.record, copied: c.copied, claim: claim}
	left.peer, left.peerKnown = c.peerUID()
	left.listener = c.listenerName()
	left.record.Status, left.record.Origin, left.record.Outcome, left.record.DeliveryKnown = statusClientGone, OriginProxy, Unknown, true
	if told != nil && c.Err() == nil {
		left.record.Status, left.record.ErrorType = told.status, told.kind
	}
	go func() {
		defer all.all.Done()
		defer all.now.Add(-1)
		left.toItsEnd(from)
	}()
	return true
}

// toItsEnd reads a response that no app receives.
func (c *call) toItsEnd(from source) {
	claim := c.claim
	defer c.tellAudit()
	status := 0 // upstream's; the app's may be 499
	// Whatever happens, the claim ends.
	defer func() {
		claim.Unknown(status)
		claim.Delivered(false)
	}()
	ctx, cancel := context.WithTimeout(c.handler.followers.ends, c.handler.followers.limit)
	defer cancel()
	response, err := from.head(ctx)
	if err != nil {
		return
	}
	defer func() { _ = response.Body.Close() }()
	refused := rejected(response) != ""
	status = response.StatusCode
	c.record.Status, c.record.Origin, c.record.ErrorType = response.StatusCode, OriginUpstream, ""
	if id := safeID(response.Header.Get("X-Request-Id")); id != "" {
		c.record.UpstreamRequestID = id
	}
	verdict := verdictOn(response.StatusCode)
	switch {
	case refused, verdict == notExecuted:
		c.record.Outcome = ""
		if refused || response.StatusCode == http.StatusUnauthorized {
			c.record.Outcome = Rejected
		}
		claim.Release()
		return
	case verdict == doubtful:
		return
	}
	if c.copied == nil {
		c.copied = newCopied(response, c.handler.config.Journal.MaxResponse())
	}
	for c.copied.err == nil && !c.copied.large {
		_, _ = io.CopyN(io.Discard, response.Body, 32<<10)
	}
	if !c.copied.whole() && !c.copied.large {
		return
	}
	// What is too large to be kept need not be read: the status says what happened.
	c.record.Outcome = ""
	claim.Answered(response.StatusCode, c.copied.response())
}

// Followed is the number of writes that are read to their end although their app
// does not wait any more.
func (h *Handler) Followed() int64 { return h.followers.now.Load() }

// FinishFollowing waits for the writes that are followed, until ctx ends; those
// that are left are then cut off, and are unknown. It reports false if there were
// any. No request may begin from then on.
func (h *Handler) FinishFollowing(ctx context.Context) bool {
	done := make(chan struct{})
	go func() {
		h.followers.all.Wait()
		close(done)
	}()
	defer h.followers.stop()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		none := h.Followed() == 0
		h.followers.stop()
		<-done
		return none
	}
}
