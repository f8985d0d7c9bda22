package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

const (
	// guardAfterMint is the least time between two mints of a grant, fleet-wide: a
	// second.
	guardAfterMint = time.Second
	// guardAfterFailure spaces the tries of those who wait.
	guardAfterFailure = 250 * time.Millisecond
)

// Tell ends a claim.
func (s *Store) Tell(ctx context.Context, claimed tokencache.Claim, o tokencache.Outcome) error {
	c, ok := claimed.(*claim)
	if !ok {
		return fmt.Errorf("a claim of type %T", claimed)
	}
	result, err := s.tell(ctx, c, o)
	if err != nil {
		err = s.state.down(err)
		result = "failed"
	}
	if result != "ok" {
		s.state.told(result)
	}
	return err
}

func (s *Store) tell(ctx context.Context, c *claim, o tokencache.Outcome) (result string, err error) {
	// The credentials changed between the claim and the mint: the token would stand
	// under the name of another pair, perhaps of another partner.
	if o.Err != nil || o.Token.AccessToken.IsZero() || o.Token.By != c.ring.pair {
		return "ok", s.endWithout(ctx, c, o.Err)
	}
	value, err := c.ring.sealToken(c.keys.token, c.mark, o.Token, c.wall, c.replaces)
	if err != nil {
		return "ok", s.endWithout(ctx, c, nil)
	}
	born, _ := digits(c.mark[:bornDigits])
	reply, err := s.exchange(ctx, tellScript, []string{c.keys.token, c.keys.lease, c.keys.verdict},
		c.id, value, born+min(o.Token.ExpiresIn, maxLifetime).Milliseconds(), guardAfterMint.Milliseconds())
	if err != nil {
		return "", err
	}
	switch result, _ := text(reply); result {
	case "stored", "older", "late":
		return result, nil
	default:
		return "", s.breaker.trip(time.Now(), &Error{Kind: "protocol"})
	}
}

// endWithout ends a claim of which no token came: the mint failed, or (nil) there was
// none.
func (s *Store) endWithout(ctx context.Context, c *claim, failed *tokencache.FetchError) error {
	guard, key, value, lasts := time.Duration(0), c.keys.verdict, "", time.Duration(0)
	if failed != nil {
		guard = guardAfterFailure
		earlier := c.earlier[0]
		if failed.Reason == tokencache.Throttled {
			key, earlier = c.keys.pause, c.earlier[1]
		}
		var v *verdict
		if v, lasts = newVerdict(failed, earlier, s.me, time.Now().UnixMilli()+s.offset.Load()); v != nil {
			value = string(c.ring.sealBytes(key, v.encode()))
			if len(v.witnesses) == 2 {
				guard = 0 // it counts: nobody tries, and all may hear it now
			}
		}
	}
	_, err := s.exchange(ctx, failedScript, []string{c.keys.lease, key}, c.id, guard.Milliseconds(), value, max(lasts.Milliseconds(), 1))
	return err
}
