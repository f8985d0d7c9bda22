package tokencache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// warmed returns a cache of n grants that hold tokens.
func warmed(tb testing.TB, n int) (*Cache, []Grant) {
	tb.Helper()
	c := New(settings(newEndpoint(0, time.Hour)))
	grants := []Grant{partner}
	for i := range n - 1 {
		grants = append(grants, user(i))
	}
	for _, grant := range grants {
		if _, err := c.Token(tb.Context(), grant); err != nil {
			tb.Fatal(err)
		}
	}
	return c, grants
}

func TestHitDoesNotAllocate(t *testing.T) {
	c, grants := warmed(t, 1024)
	ctx := t.Context()
	hit := func() {
		for _, grant := range grants {
			if _, err := c.Token(ctx, grant); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := testing.AllocsPerRun(20, hit); got != 0 {
		t.Errorf("%v allocations in %d hits, want 0", got, len(grants))
	}
	wallJumps(c, 57*time.Minute)
	if got := testing.AllocsPerRun(20, hit); got != 0 {
		t.Errorf("%v allocations in %d hits on stale tokens, want 0", got, len(grants))
	}
}

func BenchmarkHit(b *testing.B) {
	for _, n := range []int{1, 1024} {
		name := map[int]string{1: "1 grant", 1024: "1024 grants"}[n]
		c, grants := warmed(b, n)
		ctx := b.Context()
		b.Run(name+"/serial", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := c.Token(ctx, grants[i%n]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := c.Token(ctx, grants[i%n]); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func TestCachedAgreesWithToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mints := 0
		c := New(Config{Fetcher: FetcherFunc(func(context.Context, Grant) (Token, error) {
			mints++
			return Token{AccessToken: secret.New("token"), ExpiresIn: time.Minute}, nil
		}), HoldTimeout: time.Second})
		grant := Grant{Type: ClientCredentials}
		for _, wait := range []time.Duration{0, time.Second, 30 * time.Second, 28 * time.Second, 2 * time.Second, time.Hour} {
			time.Sleep(wait)
			before := mints
			cached := c.Cached(grant)
			if _, err := c.Token(t.Context(), grant); err != nil {
				t.Fatal(err)
			}
			if minted := mints > before; cached == minted {
				t.Errorf("Cached() = %t after another %v, and Token minted: %t", cached, wait, minted)
			}
		}
	})
}
