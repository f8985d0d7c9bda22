package tokencache

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

const (
	year = 365 * 24 * time.Hour
	ms   = time.Millisecond
)

func TestLifetimeAndRefresh(t *testing.T) {
	const before = 5 * time.Minute
	tests := []struct {
		name                    string
		expiresIn, took, before time.Duration
		jitter                  float64
		lifetime, refreshAt     time.Duration
	}{
		{"usual", 1800 * time.Second, 0, before, 0, 30 * time.Minute, 25 * time.Minute},
		{"usual, most jitter", 1800 * time.Second, 0, before, 0.999, 30 * time.Minute, 25*time.Minute + 59940*ms},
		{"short: half of it", 60 * time.Second, 0, before, 0, time.Minute, 30 * time.Second},
		{"short, most jitter", 60 * time.Second, 0, before, 0.999, time.Minute, 35994 * ms},
		{"a day", 86400 * time.Second, 0, before, 0, 24 * time.Hour, 24*time.Hour - before},
		{"ten years are not believed", 10 * year, 0, before, 0, 24 * time.Hour, 24*time.Hour - before},
		{"longest duration", 1<<63 - 1, 0, before, 0.999, 24 * time.Hour, 24*time.Hour - before + 59940*ms},
		{"two seconds", 2 * time.Second, 0, before, 0, 2 * time.Second, time.Second},
		{"two seconds, most jitter", 2 * time.Second, 0, before, 0.999, 2 * time.Second, 1199800 * time.Microsecond},
		{"one second: no room to refresh", time.Second, 0, before, 0, time.Second, time.Second},
		{"half a second counts as one", 500 * ms, 0, before, 0, time.Second, time.Second},
		{"nothing", 0, 0, before, 0, time.Second, time.Second},
		{"negative", -time.Hour, 0, before, 0.999, time.Second, time.Second},
		{"most negative", -1 << 63, 10 * time.Second, before, 0, 11 * time.Second, 11 * time.Second},
		{"slow mint outlives it", 5 * time.Second, 9900 * ms, before, 0, 10900 * ms, 10900 * ms},
		{"slow mint leaves one second", 10 * time.Second, 9 * time.Second, before, 0, 10 * time.Second, 10 * time.Second},
		{"slow mint delays the refresh", 30 * time.Second, 20 * time.Second, before, 0, 30 * time.Second, 21 * time.Second},
		{"slow mint counts from its start", 1800 * time.Second, 9 * time.Second, before, 0, 30 * time.Minute, 25 * time.Minute},
		{"never ahead", 1800 * time.Second, 0, 0, 0.999, 30 * time.Minute, 30 * time.Minute},
		{"negative lead is none", 1800 * time.Second, 0, -time.Hour, 0.5, 30 * time.Minute, 30 * time.Minute},
		{"lead larger than half", 1800 * time.Second, 0, time.Hour, 0, 30 * time.Minute, 15 * time.Minute},
		{"lead of one second", 1800 * time.Second, 0, time.Second, 0, 30 * time.Minute, 1799 * time.Second},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			begun := instant{mono: 7e9, wall: 1.7e18}
			token := Token{AccessToken: secret.New("x"), ExpiresIn: tc.expiresIn}
			m := newMinted(token, begun, begun.after(tc.took, tc.took), tc.before, tc.jitter)
			if m.lifetime != tc.lifetime || (m.refreshAt-tc.refreshAt).Abs() > time.Microsecond {
				t.Errorf("lifetime, refreshAt = %v, %v, want %v, %v", m.lifetime, m.refreshAt, tc.lifetime, tc.refreshAt)
			}
		})
	}
}

// Whatever the endpoint says and however slow it is: no mint within the first
// second after the answer, no token believed for more than a day.
func TestLifetimeIsAlwaysBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	magnitude := func(limit int) time.Duration { return time.Duration(random.Int64()) >> random.IntN(limit) }
	for range 200_000 {
		expiresIn := magnitude(63)
		if random.IntN(4) == 0 {
			expiresIn = -expiresIn
		}
		took, before := magnitude(63)%(time.Minute), magnitude(63)
		begun := instant{mono: 1, wall: 1.7e18}
		m := newMinted(Token{ExpiresIn: expiresIn}, begun, begun.after(took, took), before, random.Float64())
		if m.refreshAt < took+time.Second || m.refreshAt > m.lifetime || m.lifetime > max(24*time.Hour, took+time.Second) {
			t.Fatalf("newMinted(%v, took %v, before %v): lifetime %v, refreshAt %v", expiresIn, took, before, m.lifetime, m.refreshAt)
		}
		if m.state(begun.after(took, took)) != fresh {
			t.Fatalf("newMinted(%v, took %v, before %v) is not fresh when it comes", expiresIn, took, before)
		}
	}
}

func (i instant) after(mono, wall time.Duration) instant {
	return instant{i.mono + int64(mono), i.wall + int64(wall)}
}

func TestStateByTheClockThatSaysOlder(t *testing.T) {
	at := func(text string) time.Duration {
		when, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(when.UnixNano())
	}
	now2026 := at("2026-03-01 12:00:00")
	token := func(wall time.Duration) *minted {
		return &minted{start: instant{mono: 50e9, wall: int64(wall)}, lifetime: 30 * time.Minute, refreshAt: 25 * time.Minute}
	}
	tests := []struct {
		name       string
		minted     *minted
		mono, wall time.Duration // since the start
		state      state
		age        time.Duration
	}{
		{"new", token(now2026), 0, 0, fresh, 0},
		{"just before the refresh", token(now2026), 25*time.Minute - 1, 25*time.Minute - 1, fresh, 25*time.Minute - 1},
		{"at the refresh", token(now2026), 25 * time.Minute, 25 * time.Minute, stale, 25 * time.Minute},
		{"just before the end", token(now2026), 30*time.Minute - 1, 30*time.Minute - 1, stale, 30*time.Minute - 1},
		{"at the end", token(now2026), 30 * time.Minute, 30 * time.Minute, expired, 30 * time.Minute},
		{"suspended into staleness", token(now2026), time.Minute, 26 * time.Minute, stale, 26 * time.Minute},
		{"suspended past the end", token(now2026), time.Minute, 2 * time.Hour, expired, 2 * time.Hour},
		{"wall set forward a day", token(now2026), time.Minute, 24 * time.Hour, expired, 24 * time.Hour},
		{"wall set back an hour", token(now2026), 10 * time.Minute, -50 * time.Minute, fresh, 10 * time.Minute},
		{"wall set back, token over", token(now2026), 31 * time.Minute, -time.Hour, expired, 31 * time.Minute},
		{"wall set back to 1970", token(now2026), 26 * time.Minute, -now2026, stale, 26 * time.Minute},
		{"born in 1970, NTP comes", token(0), time.Minute, now2026, expired, now2026},
		{"across 2038", token(at("2038-01-19 03:14:00")), time.Minute, time.Minute, fresh, time.Minute},
		{"slewed by NTP", token(now2026), 25*time.Minute - time.Second, 25 * time.Minute, stale, 25 * time.Minute},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			now := tc.minted.start.after(tc.mono, tc.wall)
			if got := tc.minted.state(now); got != tc.state {
				t.Errorf("state() = %v, want %v", got, tc.state)
			}
			if got := tc.minted.age(now); got != tc.age {
				t.Errorf("age() = %v, want %v", got, tc.age)
			}
			if got := tc.minted.left(now); got != 30*time.Minute-tc.age {
				t.Errorf("left() = %v, want %v", got, 30*time.Minute-tc.age)
			}
		})
	}
}
