package tokencache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func (t *table) count() (n int) {
	for range t.all {
		n++
	}
	return n
}

func TestNumberOfGrantsIsBounded(t *testing.T) {
	setup{entries: 10}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for n := range 1000 {
			s.get(t, c, user(n))
			if got := c.table.count(); got > 10 || got != c.table.size {
				t.Fatalf("%d entries, size %d, want at most 10", got, c.table.size)
			}
		}
	})
}

// kept tells which of the first n users are in the table.
func kept(c *Cache, n int) (users []int) {
	for i := range n {
		if c.table.get(user(i)) != nil {
			users = append(users, i)
		}
	}
	return users
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	tests := []struct {
		name string
		uses []int
		want []int // are kept, of at most 5
	}{
		{"of those used once", []int{1, 2, 3, 4, 5, 6}, []int{2, 3, 4, 5, 6}},
		{"used once goes before used again", []int{1, 1, 2, 2, 3, 4, 5, 6, 7}, []int{1, 2, 5, 6, 7}},
		{"however long ago", []int{1, 1, 2, 3, 4, 5, 6, 7, 8, 9}, []int{1, 6, 7, 8, 9}},
		{"of those used again, if all are", []int{1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 1, 6}, []int{1, 3, 4, 5, 6}},
		{"used again, in a place that no newcomer can keep", []int{1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 6, 7, 7}, []int{3, 4, 5, 6, 7}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			setup{entries: 5}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
				for _, n := range tc.uses {
					s.get(t, c, user(n))
					time.Sleep(time.Second)
				}
				if got := kept(c, 10); !slices.Equal(got, tc.want) {
					t.Errorf("kept %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// Where all have been used again, the coldest of them make room for newcomers, so
// that those can be seen a second time: a fifth of the table is theirs.
func TestUsersOfYesterdayLeaveRoomForNewOnes(t *testing.T) {
	setup{entries: 10}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for range 2 {
			for n := range 10 {
				s.get(t, c, user(n))
				time.Sleep(time.Second)
			}
		}
		for _, n := range []int{10, 11, 12, 13} {
			s.get(t, c, user(n))
			time.Sleep(time.Second)
		}
		if got, want := kept(c, 20), []int{2, 3, 4, 5, 6, 7, 8, 9, 12, 13}; !slices.Equal(got, want) {
			t.Errorf("kept %v, want %v", got, want)
		}
	})
}

// A page that loads ten things in a moment has been used once.
func TestUsesWithinASecondAreOne(t *testing.T) {
	setup{entries: 5}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for range 10 {
			s.get(t, c, user(0))
			time.Sleep(90 * ms)
		}
		if c.table.get(user(0)).again.Load() {
			t.Error("a burst counts as a second use")
		}
		time.Sleep(time.Second)
		s.get(t, c, user(0))
		if !c.table.get(user(0)).again.Load() {
			t.Error("the use after it does not count as one")
		}
	})
}

func TestUseIsNotedTwentyTimesASecondAtMost(t *testing.T) {
	e := &entry{}
	for after, want := range map[time.Duration]bool{0: false, 50 * ms: false, 50*ms + 1: true} {
		e.lastUsed.Store(int64(time.Hour))
		if got := e.touch(instant{mono: int64(time.Hour + after)}); got != want {
			t.Errorf("%v after the last: noted %t, want %t", after, got, want)
		}
	}
}

// More are waited for than an eviction looks at.
func TestTheOneThatCanGoIsFoundAmongManyThatCannot(t *testing.T) {
	const entries = 2 * evictLook
	var c table
	for n := range entries {
		c.pin(user(n), entries, instant{})
	}
	for n := range 10 { // an eviction begins anywhere
		c.get(user(n)).pins.Add(-1)
		if c.pin(user(entries+n), entries, instant{}) == nil || c.get(user(n)) != nil {
			t.Fatal("no room was made")
		}
	}
}

func TestGrantsAreSpreadOverTheShards(t *testing.T) {
	var c table
	random := rand.New(rand.NewPCG(7, 8))
	seen := map[*atomic.Pointer[map[Grant]*entry]]int{}
	const each = 100
	for range each * shardCount {
		seen[c.shard(Grant{EntityUser, fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012x", random.Uint64N(1<<48))})]++
	}
	for _, n := range seen {
		if len(seen) != shardCount || n > 2*each {
			t.Fatalf("%d shards are in use, one by %d grants, want %d and about %d", len(seen), n, shardCount, each)
		}
	}
}

func TestEntryWithoutTokenGoesFirst(t *testing.T) {
	setup{entries: 3}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.refused[user(3)] = errRejected
		for n := 1; n <= 3; n++ {
			_, _ = c.Token(t.Context(), user(n))
			time.Sleep(time.Second)
		}
		s.get(t, c, user(4)) // in the place of 3, which was used last
		if c.table.get(user(1)) == nil || c.table.get(user(2)) == nil || c.table.get(user(3)) != nil {
			t.Error("a refused grant pushed out one that holds a token")
		}
	})
}

func TestHotGrantSurvivesAScan(t *testing.T) {
	scan := 100_000
	if underRace {
		scan /= 10
	}
	setup{lifetime: time.Hour, entries: 32}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		s.get(t, c, partner)
		for n := range scan {
			if n%10 == 0 {
				s.get(t, c, partner)
				time.Sleep(60 * ms) // longer than the granularity of the last use
			}
			if _, err := c.Token(t.Context(), user(n)); err != nil {
				t.Fatal(err)
			}
		}
		if s.mints() < scan || len(s.mintsOf(partner)) > 1 {
			t.Errorf("%d mints of the hot grant in 10 minutes, want 1", len(s.mintsOf(partner)))
		}
	})
}

func TestWarmGrantsAreNeverEvicted(t *testing.T) {
	setup{entries: 3, warm: []Grant{partner, user(0), partner}}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		for n := range 100 {
			s.get(t, c, user(n))
			time.Sleep(time.Second)
		}
		if c.table.get(partner) == nil || c.table.get(user(0)) == nil || c.table.count() != 3 {
			t.Errorf("%d entries, a warm grant was evicted", c.table.count())
		}
	})
}

func TestMoreWarmGrantsThanEntriesAreAllKept(t *testing.T) {
	setup{entries: 2, warm: []Grant{user(1), user(2), user(3)}, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		time.Sleep(time.Second)
		_, err := c.Token(t.Context(), user(4))
		if e, ok := errors.AsType[*Error](err); !c.Warmed() || !ok || e.Reason != Full {
			t.Errorf("Warmed() = %v, Token of another = %v, want true, Full", c.Warmed(), err)
		}
	})
}

func TestFullOfMintsRefusesAtOnce(t *testing.T) {
	setup{latency: time.Second, entries: 3}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		var callers sync.WaitGroup
		for n := range 3 {
			callers.Go(func() { s.get(t, c, user(n)) })
		}
		synctest.Wait()
		began := time.Now()
		_, err := c.Token(t.Context(), user(9))
		if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Full || e.RetryAfter < time.Second || time.Since(began) != 0 {
			t.Errorf("Token() = %v after %v, want Full at once", err, time.Since(began))
		}
		callers.Wait()
		s.get(t, c, user(9))
	})
}

// All who waited have left, and others need the room: the token that is being
// minted is still found when it comes.
func TestGrantIsNotEvictedDuringItsMint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEndpoint(8*time.Second, 30*time.Minute) // longer than a caller waits
		var c *Cache
		config := settings(s)
		config.MaxEntries = 2
		config.OnMint = func(m Mint) {
			if e := c.table.get(m.Grant); e == nil || e.current.Load() == nil {
				t.Errorf("the token of %v is lost", m.Grant)
			}
		}
		c = open(t, config)
		for n := range 8 {
			_, _ = c.Token(t.Context(), user(n))
			time.Sleep(100 * ms)
		}
		time.Sleep(time.Minute)
	})
}

func TestEqualGrantsShareAndOthersDoNot(t *testing.T) {
	types := []GrantType{ClientCredentials, EntityUser, "", "client_credentials ", "entity_user x", "entity", `entity_user""`, `entity_user\`}
	ids := []string{"", " ", "x", "x ", " x", "_user", "x y", "\x00", "\x00x", "é", "e\u0301", "\xff", "\xfe", `"`, `""x`, `\`, "a:b", "a/b", "A", "a"}
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		id := make([]byte, random.IntN(12))
		for i := range id {
			id[i] = ` "\x_:/é`[random.IntN(9)]
		}
		ids = append(ids, string(id))
	}
	keys, owner := map[string]Grant{}, map[*entry]Grant{}
	var c table
	for _, grantType := range types {
		for _, id := range ids {
			grant := Grant{grantType, id}
			e := c.pin(grant, 1<<20, instant{})
			if other, taken := owner[e]; taken && other != grant {
				t.Fatalf("%q and %q share an entry", grant, other)
			}
			if other, taken := keys[e.key]; taken && other != grant {
				t.Fatalf("%q and %q share a flight", grant, other)
			}
			owner[e], keys[e.key] = grant, grant
			if c.get(grant) != e {
				t.Fatalf("%q is not found", grant)
			}
		}
	}
}

// The last four characters choose the shard; here they are all the same.
func TestGrantsOfOneShardDoNotShareTokens(t *testing.T) {
	setup{latency: ms, entries: 2000}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		var callers sync.WaitGroup
		for round := range 3 {
			for n := range 400 {
				grant := Grant{EntityUser, fmt.Sprintf("%08x-0000-4000-8000-00000000beef", n)}
				callers.Go(func() {
					if _, number := s.get(t, c, grant); number != 1 {
						t.Errorf("round %d: token %d, want 1", round, number)
					}
				})
			}
			callers.Wait()
		}
		if s.mints() != 400 || c.table.count() != 400 {
			t.Errorf("%d mints, %d entries, want 400, 400", s.mints(), c.table.count())
		}
	})
}

func TestTableUnderConcurrentUse(t *testing.T) {
	var c table
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(w)))
			for range 1000 {
				grant := user(random.IntN(60))
				if e := c.pin(grant, 20, instant{mono: random.Int64()}); e != nil {
					if e.grant != grant {
						t.Errorf("pin(%v) gave %v", grant, e.grant)
					}
					if found := c.get(grant); found != e {
						t.Errorf("a pinned entry was evicted")
					}
					e.pins.Add(-1)
				}
			}
		})
	}
	writers.Wait()
	if c.count() != c.size || c.size > 20 {
		t.Errorf("%d entries, size %d, want at most 20", c.count(), c.size)
	}
}
