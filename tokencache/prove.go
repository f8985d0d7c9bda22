package tokencache

import (
	"context"
	"errors"
)

// Prove gets one token of grant as a Cache of this configuration would, and keeps
// nothing of it: it proves the credentials that the Fetcher and the Store use. A
// token that is found in the Store proves them too, because only who has them can
// have put it there. Its errors are *FetchError, or ctx's.
//
// It tries once: its callers have pauses of their own.
func Prove(ctx context.Context, config Config, grant Grant) error {
	config.Warm = nil
	c := New(config)
	defer c.close()
	defer context.AfterFunc(ctx, c.end)()
	e := c.table.pin(grant, 1, c.clock.now())
	defer e.pins.Add(-1)
	e.waiting.Add(1) // it is wanted now
	defer e.waiting.Add(-1)
	_, err := c.mint(e)
	if errors.Is(err, ErrClosed) {
		return ctx.Err()
	}
	return err
}
