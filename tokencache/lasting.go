package tokencache

import (
	"context"
	"errors"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

const (
	// nearEnd reports whether a token is about to end: less than a tenth of its life
	// is left, but no more than a minute.
	nearEnd = time.Minute
	// leastLeft is the lifetime that a token must have left to be given away at all.
	// What a mint gave without a lifetime that makes sense counts as living for a
	// second.
	leastLeft = 2 * time.Second
)

// Lasting returns a token of grant for a caller that takes it away, and how long it
// still lives. Where that is less than wish, or than half of its life if that is
// less, it is minted anew first. When that fails the token at hand will do, unless it
// is about to end. It waits and fails as Token does.
//
// For example: with a wish of 11 minutes, a token of 30 minutes is minted anew
// from its 20th minute on; if the endpoint is down, the old one is given away
// until its 29th.
func (c *Cache) Lasting(ctx context.Context, grant Grant, wish time.Duration) (secret.String, time.Duration, error) {
	if _, err := c.Token(ctx, grant); err != nil {
		return secret.String{}, 0, err
	}
	now := c.clock.now()
	e := c.table.pin(grant, c.config.MaxEntries, now)
	if e == nil {
		return secret.String{}, 0, &Error{GrantType: grant.Type, Reason: Full, RetryAfter: minInterval}
	}
	defer e.pins.Add(-1)
	if m := c.unrefused(e); m != nil && m.left(now) >= max(leastLeft, min(wish, m.lifetime/2)) {
		return m.token, m.left(now), nil
	}

	cause := &FetchError{Reason: Unavailable, Err: errors.New("the token is about to end")}
	until, blocked := c.blocked(e, now)
	if blocked != nil {
		cause = blocked
	} else if err := c.renew(ctx, e); err != nil {
		if errors.Is(err, ErrClosed) || ctx.Err() != nil {
			return secret.String{}, 0, err
		}
		if failed, ok := errors.AsType[*FetchError](err); ok {
			cause = failed
		}
	}
	now = c.clock.now()
	m := c.unrefused(e)
	if m == nil || m.left(now) < max(leastLeft, min(nearEnd, m.lifetime/10)) {
		return secret.String{}, 0, c.unavailable(e, cause, until, now)
	}
	return m.token, m.left(now), nil
}

// unrefused is the token of e, if upstream has not refused it.
func (c *Cache) unrefused(e *entry) *minted {
	if m := e.current.Load(); m != nil && e.refused.Load() != m {
		return m
	}
	return nil
}

// renew has e minted although it holds a token, and waits for it.
func (c *Cache) renew(ctx context.Context, e *entry) error {
	timeout := time.NewTimer(c.config.HoldTimeout)
	defer timeout.Stop()
	e.forced.Store(true)
	for {
		_, err, ended := c.join(ctx, e, timeout.C)
		switch {
		case !ended && err == nil:
			return &FetchError{Reason: TimedOut}
		case !errors.Is(err, errAbandoned):
			return err
		}
	}
}
