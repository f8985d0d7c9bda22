package redisstore

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

// The server's clock is set while tokens are shared, and is right again later. It moves
// the ends of all keys with it. No request fails, none gets a token that has ended, and
// afterwards tokens are shared as before.
func TestServerClockThatJumps(t *testing.T) {
	const n = 20
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 10 * time.Minute, -10 * time.Minute, 25 * time.Second, -25 * time.Second} {
		for _, minting := range []bool{false, true} {
			name := jump.String()
			if minting {
				name += ", in the middle of a mint"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, n, true)
					if minting {
						time.AfterFunc(150*ms, func() { f.fault(func(m *memory) { m.offset = jump }) })
						f.start(ms)
						time.Sleep(time.Minute)
					} else {
						f.start(10 * time.Second)
						time.Sleep(7 * time.Minute)
						f.fault(func(m *memory) { m.offset = jump })
					}
					time.Sleep(40 * time.Minute)
					f.fault(func(m *memory) { m.offset = 0 })
					time.Sleep(30 * time.Minute)
					// On its own each replica mints three times an hour.
					if m := f.measure(); m.failed != 0 || m.mints > 4*n {
						t.Errorf("%d failed requests and %d mints of %d replicas while the clock was wrong, want none and at most %d", m.failed, m.mints, n, 4*n)
					}
					time.Sleep(time.Hour)
					if m := f.measure(); m.failed != 0 || m.mints > 4 {
						t.Errorf("%d failed requests and %d mints in an hour, want none and at most 4: they share again", m.failed, m.mints)
					}
					f.end()
				})
			})
		}
	}
}

// What is under way when the server's clock is set is never free: it is unknown too
// early, or pending for too long, and its end is believed in any case.
func TestServerClockThatJumpsFreesNoKey(t *testing.T) {
	for jump, want := range map[time.Duration]writes.State{time.Hour: writes.Unknown, -time.Hour: writes.Pending} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			one, other := newStore(Config{Credentials: creds}, m).Records(0), newStore(Config{Credentials: creds}, m).Records(0)
			name, mine := writes.Name{1}, pending(true)
			mine.TTL = 24 * time.Hour
			mustClaim(t, one, name, mine, writes.ID{})
			m.offset = jump
			if got := mustClaim(t, other, name, pending(true), writes.ID{}); got.Claim != mine.Claim || got.State != want {
				t.Errorf("after %v: %s, want %s", jump, got.State, want)
			}
			mine.State, mine.Status = writes.Answered, 201
			if err := one.Settle(t.Context(), name, mine); err != nil {
				t.Fatal(err)
			}
			m.offset = 0
			if got := mustClaim(t, other, name, pending(true), writes.ID{}); got.Claim != mine.Claim || got.State != writes.Answered {
				t.Errorf("after %v and back: %s, want %s", jump, got.State, writes.Answered)
			}
		})
	}
}
