package tokencache

import (
	"errors"
	"fmt"
	"time"
)

// Reason is why there is no token. It is a metric label and a log field.
type Reason string

// The reasons. A Fetcher returns the first five.
const (
	Rejected    Reason = "rejected"    // the endpoint refused this grant: 400, 401, 403, 422
	Throttled   Reason = "throttled"   // 429: it wants no mint of this client id for a while
	Unavailable Reason = "unavailable" // no connection, a 5xx, anything else
	Malformed   Reason = "malformed"   // a response that is not a token
	TimedOut    Reason = "timeout"     // no response in time
	Full        Reason = "full"        // every entry is being minted
	Paced       Reason = "paced"       // more mints are wanted than the budget gives in time
)

// FetchError is the error of a Fetcher that got no token.
type FetchError struct {
	Reason Reason
	// Status of the token endpoint's response. 0: there was none.
	Status int
	// RetryAfter is the pause that the endpoint asked for. 0: it asked for none.
	RetryAfter time.Duration
	// Err holds no secret and nothing that the endpoint wrote. May be nil.
	Err error
}

func (e *FetchError) Error() string {
	text := "token endpoint: " + string(e.Reason)
	if e.Status != 0 {
		text += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *FetchError) Unwrap() error { return e.Err }

// Error is returned by Token when no token came within the hold timeout.
type Error struct {
	GrantType GrantType
	Reason    Reason
	// RetryAfter is the time until the next try. 0 with Rejected: trying again does
	// not help until the credentials or the user change.
	RetryAfter time.Duration
	Cause      error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("no %s token: %s", e.GrantType, e.Reason)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Cause }

// ErrClosed is returned by Token for a grant without a token once Run has ended.
var ErrClosed = errors.New("token cache is closed")

const (
	firstBackoff = 250 * time.Millisecond
	// demandBackoff is the longest pause between two tries while callers ask: an
	// endpoint that is back is noticed within a second.
	demandBackoff = 750 * time.Millisecond
	// aheadBackoff is the longest pause between two tries while no caller waits.
	aheadBackoff = 30 * time.Second
	// rejectedBackoff .. aheadBackoff: a refused grant is not hammered.
	rejectedBackoff = 5 * time.Second
	// sameOutage is the time after a due try within which a failure still belongs to
	// the same outage. It must be longer than a mint can take.
	sameOutage = 6 * time.Minute
	// maxRetryAfter bounds what is believed of Retry-After.
	maxRetryAfter = 60 * time.Second
)

// failure is the last unsuccessful mint of a grant. It is never changed after
// it was stored; a success removes it.
type failure struct {
	err      *FetchError
	since    int64 // monotonic; the first failure in a row ended then
	attempts int   // failures in a row
	// alone says that the failure seems to be this grant's own, and not an outage of the
	// endpoint; or that it took too long to hold up other grants.
	alone bool
	// The earliest next try, monotonic: for a caller that waits, and for a refresh
	// that no caller waits for. Never below Retry-After.
	demandAt, aheadAt int64
}

// newFailure follows previous (nil if the mint before was a success). jitter is
// in [0, 1).
func newFailure(err *FetchError, previous *failure, now int64, jitter float64) *failure {
	f := &failure{err: err, since: now, attempts: 1}
	if previous != nil && now-previous.aheadAt < int64(sameOutage) {
		f.since, f.attempts = previous.since, previous.attempts+1
	}
	if err.Reason == Rejected {
		pause := double(rejectedBackoff, f.attempts, aheadBackoff*4/5) // and a quarter of it as jitter
		pause = max(pause+time.Duration(jitter*float64(pause)/4), retryAfter(err))
		f.demandAt = now + int64(pause)
		f.aheadAt = f.demandAt
		return f
	}
	spread := func(pause time.Duration) int64 {
		pause = pause/2 + time.Duration(jitter*float64(pause)/2)
		return now + int64(max(pause, retryAfter(err)))
	}
	f.demandAt = spread(double(firstBackoff, f.attempts, demandBackoff))
	f.aheadAt = spread(double(firstBackoff, f.attempts, aheadBackoff))
	return f
}

func retryAfter(err *FetchError) time.Duration {
	asked := min(max(err.RetryAfter, 0), maxRetryAfter)
	if err.Reason == Throttled {
		asked = max(asked, minInterval)
	}
	return asked
}

// double returns first doubled (attempts-1) times, at most limit, which twenty times exceed.
func double(first time.Duration, attempts int, limit time.Duration) time.Duration {
	return min(first<<min(max(attempts-1, 0), 20), limit)
}
