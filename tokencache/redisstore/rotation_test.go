package redisstore

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/tokenendpoint"
)

// rotated is a fleet whose credentials are files that change.
type rotated struct {
	mu    sync.Mutex // guards what follows
	mints map[pair][]time.Time
	bad   map[pair]*tokencache.FetchError
	live  int // replicas whose new pair is live
}

// fetch mints with a pair.
func (r *rotated) fetch(ctx context.Context, p pair, by string) (tokencache.Token, error) {
	r.mu.Lock()
	r.mints[p] = append(r.mints[p], time.Now())
	failed := r.bad[p]
	r.mu.Unlock()
	if !pause(ctx, 300*ms) {
		return tokencache.Token{}, ctx.Err()
	}
	if failed != nil {
		return tokencache.Token{}, failed
	}
	return tokencache.Token{AccessToken: secret.NewToken("token-of-" + p.id + "-" + p.secret), ExpiresIn: 30 * time.Minute, By: by}, nil
}

// source is the files of one replica.
type source struct {
	mu   sync.Mutex // guards pair
	pair pair
}

func (s *source) Pair() (id, clientSecret secret.String) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pair.Pair()
}

func (s *source) write(p pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pair = p
}

// revealed is a pair as a test can compare it.
func revealed(c Credentials) pair {
	id, clientSecret := c.Pair()
	return pair{id.Reveal(), clientSecret.Reveal()}
}

// start runs n replicas, whose files change within a minute.
func (r *rotated) start(t *testing.T, n int, m *memory, from, to pair) {
	random := rand.New(rand.NewPCG(5, 6))
	for range n {
		files := &source{pair: from}
		rotation := &tokenendpoint.Rotation{Source: files}
		store := newStore(Config{Origin: "o", Credentials: rotation, MintsPerSecond: 20}, m)
		fetcher := func(credentials Credentials) tokencache.Fetcher {
			return tokencache.FetcherFunc(func(ctx context.Context, _ tokencache.Grant) (tokencache.Token, error) {
				return r.fetch(ctx, revealed(credentials), store.PairName(credentials))
			})
		}
		cache := tokencache.New(tokencache.Config{
			Fetcher: fetcher(rotation), Store: store, RefreshBefore: 5 * time.Minute, HoldTimeout: 5 * time.Second, Warm: []tokencache.Grant{partner},
		})
		rotation.Prove = func(ctx context.Context, candidate tokenendpoint.Credentials) error {
			return tokencache.Prove(ctx, tokencache.Config{Fetcher: fetcher(candidate), Store: store.With(candidate), HoldTimeout: 10 * time.Second}, partner)
		}
		rotation.OnProof = func(p tokenendpoint.Proof) {
			if p.Err != nil {
				return
			}
			r.mu.Lock()
			r.live++
			r.mu.Unlock()
			cache.Forgive()
			if p.NewClient {
				cache.Refresh()
			}
		}
		rotation.Pair() // the first pair is live
		for _, run := range []func(context.Context) error{cache.Run, rotation.Run} {
			done := make(chan struct{})
			go func() { defer close(done); _ = run(t.Context()) }()
			t.Cleanup(func() { <-done })
		}
		after := time.Minute + time.Duration(random.Int64N(int64(time.Minute)))
		time.AfterFunc(after, func() { files.write(to); rotation.Check() })
	}
}

func newRotated() *rotated {
	return &rotated{mints: map[pair][]time.Time{}, bad: map[pair]*tokencache.FetchError{}}
}

// Without a store, each replica proves a new pair by a mint of its own.
func TestRotationOfAFleetIsOneMint(t *testing.T) {
	n := 300
	if underRace {
		n = 40
	}
	for _, tc := range []struct {
		name string
		to   pair
		most int // mints with the new pair
	}{
		{"another secret", pair{"client", "another-secret-of-some-length"}, 1},
		// All tokens are replaced: the proof's token is taken over.
		{"another client id", pair{"client2", "another-secret-of-some-length"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, m := newRotated(), newMemory()
				m.service = 70 * time.Microsecond
				r.start(t, n, m, creds, tc.to)
				time.Sleep(3 * time.Minute)
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.live != n || len(r.mints[tc.to]) > tc.most || len(r.mints[creds]) != 1 {
					t.Errorf("%d of %d replicas use the new pair, after %d mints; %d mints with the old one, want %d and 1",
						r.live, n, len(r.mints[tc.to]), len(r.mints[creds]), tc.most)
				}
			})
		})
	}
}

// The store loses what it has again and again while the files change: a proof is minted
// again, by one replica each time, and each replica gets to the new pair.
func TestRotationGoesOnThroughFlushes(t *testing.T) {
	const n = 40
	for _, to := range []pair{{"client", "another-secret-of-some-length"}, {"client2", "another-secret-of-some-length"}} {
		synctest.Test(t, func(t *testing.T) {
			r, m := newRotated(), newMemory()
			m.service = 70 * time.Microsecond
			r.start(t, n, m, creds, to)
			flushes := 0
			for ; flushes < 100; flushes++ { // also in the middle of mints, which take 300 ms
				time.Sleep(1700 * ms)
				m.set(func(m *memory) { clear(m.data) })
			}
			time.Sleep(time.Minute)
			r.mu.Lock()
			defer r.mu.Unlock()
			// A flush takes a token, or the lease of one that is being minted.
			if r.live != n || len(r.mints[to]) > 1+2*flushes || len(r.mints[creds]) > 1+2*flushes {
				t.Errorf("%d of %d replicas use the new pair after %d flushes, %d mints with it and %d with the old one",
					r.live, n, flushes, len(r.mints[to]), len(r.mints[creds]))
			}
			t.Logf("%d flushes, %d mints with the new pair, %d with the old one", flushes, len(r.mints[to]), len(r.mints[creds]))
		})
	}
}

// A pair that is refused is tried by two replicas in five seconds, and not by all.
func TestRefusedPairIsTriedByTwoReplicas(t *testing.T) {
	n := 300
	if underRace {
		n = 40
	}
	wrong := pair{"client", "a-secret-that-is-mistyped"}
	synctest.Test(t, func(t *testing.T) {
		r, m := newRotated(), newMemory()
		r.bad[wrong] = &tokencache.FetchError{Reason: tokencache.Rejected, Status: 401}
		r.start(t, n, m, creds, wrong)
		time.Sleep(12 * time.Minute)
		r.mu.Lock()
		defer r.mu.Unlock()
		// Ten minutes have 120 times five seconds.
		if r.live != 0 || len(r.mints[wrong]) > 2*122 || len(r.mints[wrong]) < 2 {
			t.Errorf("%d replicas use the wrong pair; %d mints with it", r.live, len(r.mints[wrong]))
		}
		t.Logf("%d mints by %d replicas in 11 minutes", len(r.mints[wrong]), n)
	})
}

// With the store down a proof is a mint, as it is without one.
func TestProofDoesNotDependOnTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRotated(), newMemory()
		m.down = &Error{Kind: "connect"}
		to := pair{"client", "another-secret-of-some-length"}
		r.start(t, 5, m, creds, to)
		time.Sleep(3 * time.Minute)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.live != 5 || len(r.mints[to]) != 5 {
			t.Errorf("%d of 5 replicas use the new pair, after %d mints", r.live, len(r.mints[to]))
		}
	})
}

// What stands in the store under the new pair's names, but was not sealed with it,
// proves nothing.
func TestPoisonProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newRotated(), newMemory()
		wrong := pair{"client", "a-secret-that-is-mistyped"}
		r.bad[wrong] = &tokencache.FetchError{Reason: tokencache.Rejected, Status: 401}
		id, clientSecret := wrong.Pair()
		k := newRing("o", id, clientSecret).keys(partner)
		old := newRing("o", secret.New(creds.id), secret.New(creds.secret))
		value, _ := old.sealToken(k.token, newMark(time.Now().Add(time.Minute)), sample, time.Now(), false)
		m.data[k.token] = held{value: string(value), ends: time.Now().Add(time.Hour).UnixMilli()}
		r.start(t, 3, m, creds, wrong)
		time.Sleep(3 * time.Minute)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.live != 0 {
			t.Errorf("%d replicas use a pair that nothing has proven", r.live)
		}
	})
}
