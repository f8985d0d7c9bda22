package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Error is why the server did not do what it was asked. It holds nothing that the
// server wrote but the first word of its errors.
type Error struct {
	// Kind is an upper-case word of Redis, such as NOAUTH, or one of ours: timeout,
	// connect, tls, closed, protocol, poison, clock.
	Kind string
	// Err is of the network. May be nil.
	Err error
}

func (e *Error) Error() string {
	text := "shared store: " + e.Kind
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

var errAside = &Error{Kind: "clock"}

// kindOf is the Kind of any error.
func kindOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	return "closed"
}

const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// breaker keeps questions from a server that has failed. The first query after the
// pause is the probe; those beside it fail as before it.
type breaker struct {
	mu       sync.Mutex // guards what follows
	err      error      // why it is open; nil: it is not
	failures int        // in a row
	failed   time.Time
	until    time.Time
	probing  bool
}

// allow returns the error of the last exchange while the pause lasts: slow stays slow
// and down stays down, which the cache treats differently. urgent: without the server
// a request fails, so it is tried a second after it has failed.
func (b *breaker) allow(now time.Time, urgent bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err == nil:
		return nil
	case b.probing, now.Before(b.until) && !(urgent && now.Sub(b.failed) >= firstPause):
		return b.err
	default:
		b.probing = true
		return nil
	}
}

func (b *breaker) succeed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err, b.failures, b.probing = nil, 0, false
}

// forget lets the next question be a probe, if one was under way.
func (b *breaker) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

// trip opens the breaker and returns err.
func (b *breaker) trip(now time.Time, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	// Several questions of one moment fail together: that is one failure.
	if b.probing || !now.Before(b.until) {
		b.failures++
		pause := min(firstPause<<min(b.failures-1, 5), longestPause)
		b.until = now.Add(pause/2 + rand.N(pause/2))
	}
	b.err, b.failed, b.probing = err, now, false
	return err
}

// retryIn returns how long the pause still lasts, and its reason.
func (b *breaker) retryIn(now time.Time) (time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		return 0, nil
	}
	return max(b.until.Sub(now), 0), b.err
}
