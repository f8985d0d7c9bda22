package redisstore

import (
	"context"
	"time"
)

const (
	// paceTimeout is all that a request leaves the server to say when it may go.
	paceTimeout = 10 * time.Millisecond
	// longestPace limits a request's wait for its turn.
	longestPace = time.Second
)

// Pace returns how to ask when the next request of all replicas may be sent, if they
// may send so many in a second. nil for 0. A turn that comes within a second is taken,
// a later one is not.
func (s *Store) Pace(perSecond int) func(context.Context) (time.Duration, error) {
	if perSecond <= 0 {
		return nil
	}
	emission := time.Second / time.Duration(perSecond)
	burst := max(emission, 100*time.Millisecond)
	return func(ctx context.Context) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(ctx, paceTimeout)
		defer cancel()
		reply, err := s.exchange(ctx, paceScript, []string{s.rings.of(s.credentials).prefix + "r"},
			emission.Microseconds(), burst.Microseconds(), longestPace.Microseconds())
		if err != nil {
			return 0, err
		}
		us, ok := reply.(int64)
		if !ok || us < 0 {
			return 0, s.breaker.trip(time.Now(), &Error{Kind: "protocol"})
		}
		return time.Duration(us) * time.Microsecond, nil
	}
}
