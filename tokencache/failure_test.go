package tokencache

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// bounds of the pause after the nth failure in a row.
func TestPauseAfterFailures(t *testing.T) {
	tests := []struct {
		name                 string
		err                  FetchError
		attempt              int
		demandMin, demandMax time.Duration
		aheadMin, aheadMax   time.Duration
	}{
		{"first", FetchError{Reason: Unavailable}, 1, 125 * ms, 250 * ms, 125 * ms, 250 * ms},
		{"second", FetchError{Reason: Unavailable}, 2, 250 * ms, 500 * ms, 250 * ms, 500 * ms},
		{"third", FetchError{Reason: TimedOut}, 3, 375 * ms, 750 * ms, 500 * ms, time.Second},
		{"seventh", FetchError{Reason: Malformed}, 7, 375 * ms, 750 * ms, 8 * time.Second, 16 * time.Second},
		{"eighth", FetchError{Reason: Malformed}, 8, 375 * ms, 750 * ms, 15 * time.Second, 30 * time.Second},
		{"twentieth", FetchError{Reason: Unavailable}, 20, 375 * ms, 750 * ms, 15 * time.Second, 30 * time.Second},
		{"a reason nobody knows", FetchError{Reason: "odd"}, 1, 125 * ms, 250 * ms, 125 * ms, 250 * ms},
		{"throttled, no Retry-After", FetchError{Reason: Throttled}, 1, time.Second, time.Second, time.Second, time.Second},
		{"throttled for 7 s", FetchError{Reason: Throttled, RetryAfter: 7 * time.Second}, 1, 7 * time.Second, 7 * time.Second, 7 * time.Second,
			7 * time.Second},
		{"503 with 20 s", FetchError{Reason: Unavailable, RetryAfter: 20 * time.Second}, 1, 20 * time.Second, 20 * time.Second, 20 * time.Second,
			20 * time.Second},
		{"503 with an hour is capped", FetchError{Reason: Unavailable, RetryAfter: time.Hour}, 9, time.Minute, time.Minute, time.Minute, time.Minute},
		{"negative Retry-After is none", FetchError{Reason: Unavailable, RetryAfter: -time.Hour}, 1, 125 * ms, 250 * ms, 125 * ms, 250 * ms},
		{"refused", FetchError{Reason: Rejected}, 1, 5 * time.Second, 6250 * ms, 5 * time.Second, 6250 * ms},
		{"refused twice", FetchError{Reason: Rejected}, 2, 10 * time.Second, 12500 * ms, 10 * time.Second, 12500 * ms},
		{"refused for long", FetchError{Reason: Rejected}, 20, 24 * time.Second, 30 * time.Second, 24 * time.Second, 30 * time.Second},
		{"refused with Retry-After", FetchError{Reason: Rejected, RetryAfter: 45 * time.Second}, 1, 45 * time.Second, 45 * time.Second,
			45 * time.Second, 45 * time.Second},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			const now = int64(1e15)
			for jitter, want := range map[float64][2]time.Duration{0: {tc.demandMin, tc.aheadMin}, 1: {tc.demandMax, tc.aheadMax}} {
				var f *failure
				for range tc.attempt {
					f = newFailure(&tc.err, f, now, jitter)
				}
				if got := [2]time.Duration{time.Duration(f.demandAt - now), time.Duration(f.aheadAt - now)}; got != want {
					t.Errorf("jitter %v: next try for a caller and ahead in %v, want %v", jitter, got, want)
				}
			}
		})
	}
}

// For every reason, attempt, Retry-After and jitter.
func TestPauseIsAlwaysBounded(t *testing.T) {
	const now = int64(5)
	for _, reason := range []Reason{Rejected, Throttled, Unavailable, Malformed, TimedOut, Full, ""} {
		for _, asked := range []time.Duration{-1, 0, 1, time.Second, 59 * time.Second, 61 * time.Second, year} {
			for _, jitter := range []float64{0, 0.5, 0.999999} {
				var f *failure
				for attempt := 1; attempt <= 20; attempt++ {
					f = newFailure(&FetchError{Reason: reason, RetryAfter: asked}, f, now, jitter)
					demand, ahead := time.Duration(f.demandAt-now), time.Duration(f.aheadAt-now)
					least := min(max(asked, 0), time.Minute)
					if demand < max(least, 125*ms) || demand > ahead || ahead > max(least, 30*time.Second) {
						t.Fatalf("%q attempt %d asked %v jitter %v: demand %v, ahead %v", reason, attempt, asked, jitter, demand, ahead)
					}
					if f.attempts != attempt || f.since != now {
						t.Fatalf("attempts, since = %d, %d, want %d, %d", f.attempts, f.since, attempt, now)
					}
				}
			}
		}
	}
}

func TestOutageBeginsWithItsFirstFailure(t *testing.T) {
	first := newFailure(errDown, nil, 100e9, 0)
	second := newFailure(errDown, first, 101e9, 0)
	if second.since != 100e9 || second.attempts != 2 {
		t.Errorf("since, attempts = %d, %d, want 100e9, 2", second.since, second.attempts)
	}
}

// A failure that nobody followed up for an hour says nothing of the hour.
func TestOldFailureIsNotThisOutage(t *testing.T) {
	first := newFailure(errDown, nil, 100e9, 0)
	second := newFailure(errDown, first, 100e9+int64(time.Hour), 0)
	if second.since != 100e9+int64(time.Hour) || second.attempts != 1 {
		t.Errorf("since, attempts = %v, %d, want 1h1m40s, 1", time.Duration(second.since), second.attempts)
	}
}

func TestDouble(t *testing.T) {
	tests := []struct {
		first    time.Duration
		attempts int
		limit    time.Duration
		want     time.Duration
	}{
		{1, 1, 100, 1}, {1, 2, 100, 2}, {1, 7, 100, 64}, {1, 8, 100, 100}, {1, 1 << 30, 100, 100},
		{5, 0, 100, 5}, {5, -3, 100, 5}, {200, 1, 100, 100}, {200, 2, 100, 100}, {50, 2, 100, 100},
	}
	for _, tc := range tests {
		if got := double(tc.first, tc.attempts, tc.limit); got != tc.want {
			t.Errorf("double(%d, %d, %d) = %d, want %d", tc.first, tc.attempts, tc.limit, got, tc.want)
		}
	}
}

func TestErrorTextsNameKindAndReason(t *testing.T) {
	cause := &FetchError{Reason: Rejected, Status: 422, Err: errors.New("because")}
	err := error(&Error{GrantType: EntityUser, Reason: Rejected, Cause: cause})
	if got, want := err.Error(), "no entity_user token: rejected: token endpoint: rejected (status 422): because"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if found, ok := errors.AsType[*FetchError](err); !ok || found != cause || !errors.Is(err, cause.Err) {
		t.Errorf("the cause cannot be found in %v", err)
	}
	bare := (&Error{GrantType: ClientCredentials, Reason: Full}).Error() + (&FetchError{Reason: TimedOut}).Error()
	if strings.Contains(bare, "nil") || strings.Contains(bare, "status") {
		t.Errorf("text without cause and status: %q", bare)
	}
}
