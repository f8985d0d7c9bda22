package writes

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestReplicasKnowEachOthersWrites(t *testing.T) {
	for _, e := range endings {
		replicas(t, func(t *testing.T, _ *shared, a, b *Journal) {
			c, k := sent(t, a, payment("first")), sent(t, a, keyed("first", "k"))
			time.AfterFunc(5*time.Second, func() { e.end(c); e.end(k) })
			guard, keys := e.guard, e.keys
			if e.name == "written, the app was reset" {
				guard = Send // only its own process can look at the connection
			}
			is(t, b, payment("repeat"), guard)
			is(t, b, keyed("repeat", "k"), keys)
		})
	}
}

func TestClaimOfADeadReplicaBecomesUnknown(t *testing.T) {
	replicas(t, func(t *testing.T, _ *shared, a, b *Journal) {
		sent(t, a, payment("first"))
		sent(t, a, keyed("first", "k"))
		is(t, b, payment("repeat"), InProgress)
		time.Sleep(lapseMargin)
		is(t, b, payment("repeat"), Refuse)
		is(t, b, keyed("repeat", "k"), Refuse)
		if got := b.Unknown(10); len(got) != 2 {
			t.Errorf("the other replica lists %d", len(got))
		}
		b.Forget("first")
		sent(t, b, payment("on purpose"))
	})
}

func TestLateEndOfAWriteIsBelieved(t *testing.T) {
	replicas(t, func(t *testing.T, _ *shared, a, b *Journal) {
		k := sent(t, a, keyed("first", "k")) // followed for longer than its claim counts
		time.Sleep(5 * time.Minute)
		is(t, b, keyed("repeat", "k"), Refuse)
		k.Answered(201, created("a"))
		b.memory = NewMemory(10, 1<<20) // what this replica has heard so far
		is(t, b, keyed("repeat", "k"), Replay)
	})
}

func TestKeyedWriteIsNotSentWithoutTheSharedStore(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, _ *Journal) {
		store.down = true
		is(t, a, keyed("first", "k"), Unavailable)
		store.down = false
		sent(t, a, keyed("first", "k")).Unknown(0)
	})
}

// The call was done, its reply was lost: nothing was sent, and nobody else may be
// told that it was.
func TestClaimWithoutAReplyIsTakenBackOrLapses(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
		store.forget = true
		is(t, a, keyed("first", "k"), Unavailable)
		store.forget = false
		sent(t, b, keyed("second", "k"))
	})
}

func TestGuardFallsBackToMemory(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
		sent(t, a, payment("first")).Unknown(0)
		is(t, b, payment("seen"), Refuse)
		store.down = true
		is(t, a, payment("repeat"), Refuse)
		is(t, b, payment("repeat"), Refuse) // it has heard of it
		other := payment("other")
		other.Target = resource
		sent(t, a, other).Unknown(0)
		is(t, a, other, Refuse)
		store.down = false
		is(t, a, other, Refuse)
	})
}

// An override that could not be claimed leaves the earlier write unknown.
func TestOverrideWithoutTheStoreChangesNothing(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, _ *Journal) {
		sent(t, a, keyed("first", "k")).Unknown(0)
		again := keyed("second", "k")
		again.RepeatOf = "first"
		store.down = true
		is(t, a, again, Unavailable)
		store.down = false
		is(t, a, keyed("third", "k"), Refuse)
		is(t, a, again, Send)
	})
}

// Each of two replicas has a way to let go, and each remembers the write.
func TestWhatOneReplicaLetsGoOfIsFreeAtAll(t *testing.T) {
	for _, tt := range []struct {
		name string
		lets func(*testing.T, *Journal)
	}{
		{"forget", func(t *testing.T, j *Journal) {
			if !j.Forget("first") {
				t.Error("it does not know the write")
			}
		}},
		{"read", func(_ *testing.T, j *Journal) {
			r := payment("read").Request
			r.Target = resource
			j.Read(&r, time.Now())
		}},
	} {
		for _, w := range []*Write{payment("first"), keyed("first", "k")} {
			if w.Key != "" && tt.name == "read" {
				continue // TestReadDoesNotFreeAKey
			}
			for i := range 2 {
				replicas(t, func(t *testing.T, _ *shared, a, b *Journal) {
					sent(t, a, w).Unknown(0)
					again := *w
					again.RequestID = "again"
					is(t, b, &again, Refuse)
					is(t, a, &again, Refuse)
					time.Sleep(readAfter)
					by, other := a, b
					if i == 1 {
						by, other = b, a
					}
					tt.lets(t, by)
					c := sent(t, other, &again)
					is(t, by, &again, InProgress)
					c.Unknown(0)
					is(t, by, &again, Refuse)
				})
			}
		}
	}
}

// A key that was let go of may name another request, and a write that was not sent
// then leaves it free.
func TestKeyThatWasLetGoOfIsFree(t *testing.T) {
	replicas(t, func(t *testing.T, _ *shared, a, b *Journal) {
		sent(t, a, keyed("first", "k")).Unknown(0)
		is(t, b, keyed("again", "k"), Refuse)
		a.Forget("first")
		other := keyed("other", "k")
		other.Target = resource
		sent(t, b, other).Release()
		sent(t, b, keyed("again", "k")).Release()
		sent(t, a, other).Release()
	})
}

// busyStore is a shared store during whose look something else happens, once.
type busyStore struct {
	*shared
	meanwhile func()
}

func (s *busyStore) Look(ctx context.Context, name Name) (Record, bool, error) {
	if do := s.meanwhile; do != nil {
		s.meanwhile = nil
		do()
	}
	return s.shared.Look(ctx, name)
}

// Two repeats learn at once that another replica has sent the write again. The second of
// them waits for the first: it is not refused because of the old record.
func TestRepeatThatIsBeatenToTheStoreWaits(t *testing.T) {
	replicas(t, func(t *testing.T, _ *shared, a, b *Journal) {
		store := &busyStore{shared: a.config.Shared.(*shared)}
		b.config.Shared = store
		sent(t, a, payment("first")).Unknown(0)
		is(t, b, payment("repeat"), Refuse)
		a.Forget("first")
		again := sent(t, a, payment("again"))
		var other Decision
		store.meanwhile = func() {
			go func() { other = b.Begin(t.Context(), payment("other")) }()
			synctest.Wait()
		}
		time.AfterFunc(time.Second, func() {
			answered(again, false)
		})
		if !is(t, b, payment("second"), Replay).Waited {
			t.Error("it has waited, and does not say so")
		}
		synctest.Wait()
		if other.Verdict != Replay {
			t.Errorf("verdict %d, want %d", other.Verdict, Replay)
		}
	})
}

// looksOnly is a shared store that goes away between a look and a claim.
type looksOnly struct{ *shared }

func (looksOnly) Claim(context.Context, Name, Record, ID) (Record, error) { return Record{}, errDown }

// Another replica has let go of the write, and the store goes away before the repeat can
// be claimed there: what is remembered here holds.
func TestLettingGoThatCannotBeClaimedFreesNothing(t *testing.T) {
	for want, w := range map[Verdict]*Write{Refuse: payment("first"), Unavailable: keyed("first", "k")} {
		replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
			sent(t, a, w).Unknown(0)
			again := *w
			again.RequestID = "again"
			is(t, b, &again, Refuse)
			b.Forget("first")
			a.config.Shared = looksOnly{store}
			is(t, a, &again, want)
			store.down = true
			is(t, a, &again, Refuse)
		})
	}
}

// The other replica sends it again on purpose, and its id is the one to name from then on.
func TestRepeatOnPurposeIsKnownToAll(t *testing.T) {
	replicas(t, func(t *testing.T, _ *shared, a, b *Journal) {
		sent(t, a, payment("first")).Unknown(0)
		is(t, b, payment("repeat"), Refuse)
		sent(t, a, onPurpose("second", "first")).Unknown(0)
		is(t, b, onPurpose("third", "second"), Send).Claim.Unknown(0)
		began := time.Now()
		if d := is(t, a, onPurpose("fourth", "third"), Send); !d.Overridden || d.Earlier.RequestID != "third" || time.Since(began) > 0 {
			t.Errorf("overridden: %v, of %q, after %v", d.Overridden, d.Earlier.RequestID, time.Since(began))
		}
	})
}

// A store that has lost what it had is not news: what a replica remembers holds.
func TestLostRecordFreesNothingThatIsRemembered(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
		sent(t, a, payment("first")).Unknown(0)
		is(t, b, payment("again"), Refuse)
		clear(store.records)
		is(t, a, payment("again"), Refuse)
		is(t, b, payment("again"), Refuse)
	})
}

func TestOneAtATimeAcrossReplicas(t *testing.T) {
	replicas(t, func(t *testing.T, _ *shared, a, b *Journal) {
		var under, most atomic.Int64
		var all sync.WaitGroup
		for i := range 20 {
			j := []*Journal{a, b}[i%2]
			all.Go(func() {
				c := sent(t, j, payment(numbered(i)))
				most.Store(max(most.Load(), under.Add(1)))
				time.Sleep(time.Second)
				under.Add(-1)
				written(c, true)
			})
		}
		all.Wait()
		if most.Load() != 1 {
			t.Errorf("%d at once", most.Load())
		}
	})
}

func TestExchangesPerWrite(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
		c := sent(t, a, keyed("first", "k"))
		if store.calls != 1 {
			t.Errorf("%d exchanges before the write", store.calls)
		}
		written(c, true)
		if store.calls != 2 {
			t.Errorf("%d exchanges for a write with a key", store.calls)
		}
		store.calls = 0
		written(sent(t, a, payment("first")), true)
		if store.calls != 2 {
			t.Errorf("%d exchanges for a write without a key", store.calls)
		}
		store.calls = 0
		is(t, b, keyed("again", "k"), Replay).Claim.Delivered(true)
		if store.calls != 1 {
			t.Errorf("%d exchanges for a repeat", store.calls)
		}
	})
}

// Its response was said to be delivered, and the store was away when that was taken back.
// What the store has is older than what the replica remembers.
func TestOlderRecordOfTheStoreIsNotBelieved(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*Claim)
		want Verdict
	}{
		{"the delivery is taken back", func(c *Claim) { written(c, false) }, Replay},
		{"unknown", func(c *Claim) { c.Unknown(0) }, Refuse},
	} {
		t.Run(tt.name, func(t *testing.T) {
			replicas(t, func(t *testing.T, store *shared, a, _ *Journal) {
				written(sent(t, a, payment("before")), true)
				old := maps.Clone(store.records)
				tt.end(sent(t, a, payment("first")))
				store.records = old // a failover to a server that lacks the last writes
				is(t, a, payment("repeat"), tt.want)
			})
		})
	}
	t.Run("the store was away", func(t *testing.T) {
		replicas(t, func(t *testing.T, store *shared, a, _ *Journal) {
			c := sent(t, a, payment("first"))
			c.Answered(201, created("a"))
			c.Written(yes)
			store.down = true
			c.Delivered(false)
			store.down = false
			is(t, a, payment("repeat"), Replay)
		})
	})
}

// The store has not heard that the write is unknown: to it, its claim has lapsed. Letting
// go of it at another replica is news all the same.
func TestLettingGoIsNewsToAReplicaThatKnowsMore(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
		c := sent(t, a, payment("first"))
		store.down = true
		c.Unknown(0)
		store.down = false
		time.Sleep(a.config.Patience + lapseMargin)
		is(t, b, payment("repeat"), Refuse)
		is(t, a, payment("repeat"), Refuse)
		b.Forget("first")
		sent(t, a, payment("again"))
	})
}

// Node runs timers before it reads from sockets: an app that was busy gives a response up
// that has come in time, and repeats at once, at another replica.
func TestRepeatElsewhereHearsThatTheDeliveryIsTakenBack(t *testing.T) {
	replicas(t, func(t *testing.T, _ *shared, a, b *Journal) {
		c := sent(t, a, payment("first"))
		c.Answered(201, created("a"))
		c.Written(yes)
		time.AfterFunc(20*time.Millisecond, func() { c.Delivered(false) })
		is(t, b, payment("repeat"), Replay)
	})
}

// lateStore is a shared store in which something else happens before a claim takes the
// place of another.
type lateStore struct {
	*shared
	meanwhile func()
}

func (s lateStore) Claim(ctx context.Context, name Name, mine Record, over ID) (Record, error) {
	if over != (ID{}) {
		s.meanwhile()
	}
	return s.shared.Claim(ctx, name, mine, over)
}

func TestRepeatElsewhereHearsOfItAtTheLastMoment(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
		c := sent(t, a, payment("first"))
		c.Answered(201, created("a"))
		c.Written(yes)
		b.config.Shared = lateStore{store, func() { c.Delivered(false) }}
		is(t, b, payment("repeat"), Replay)
	})
}

// A process hears of the end of a connection much sooner.
func TestEqualWriteElsewhereAMinuteLaterDoesNotWait(t *testing.T) {
	replicas(t, func(t *testing.T, _ *shared, a, b *Journal) {
		written(sent(t, a, payment("first")), true)
		time.Sleep(time.Minute)
		began := time.Now()
		if d := is(t, b, payment("second"), Send); d.Overridden || time.Since(began) > 0 {
			t.Errorf("overridden: %v, after %v", d.Overridden, time.Since(began))
		}
	})
}

// A replica knows of its own responses whether they were taken.
func TestEqualWriteOfOneReplicaDoesNotWait(t *testing.T) {
	replicas(t, func(t *testing.T, _ *shared, a, _ *Journal) {
		began := time.Now()
		for i := range 100 {
			c := sent(t, a, payment(numbered(i)))
			written(c, true)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("100 equal writes took %v", took)
		}
	})
}

// lossyStore loses the reply to a claim that takes the place of another, or the claim
// itself, and then something else happens instead.
type lossyStore struct {
	*shared
	instead func()
}

func (s lossyStore) Claim(ctx context.Context, name Name, mine Record, over ID) (Record, error) {
	loses := over != (ID{}) && mine.Keyed && mine.RepeatOf != ""
	if loses && s.instead != nil {
		s.instead()
		return Record{}, errDown
	}
	found, err := s.shared.Claim(ctx, name, mine, over)
	if loses {
		err = errDown
	}
	return found, err
}

// A repeat on purpose was claimed, and its replica does not know: it says not_sent. The
// first write is as unknown as before.
func TestRepeatOnPurposeWithoutAReplyFreesNothing(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
		sent(t, b, keyed("first", "k")).Unknown(0)
		again := keyed("again", "k")
		again.RepeatOf = "first"
		a.config.Shared = lossyStore{shared: store}
		is(t, a, again, Unavailable)
		b.memory = NewMemory(10, 1<<20)
		is(t, b, keyed("repeat", "k"), Refuse)
	})
}

// The first write ends at that moment: what is known of it by now is not undone.
func TestRepeatOnPurposeThatGetsLostUndoesNothing(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
		first := sent(t, b, keyed("first", "k"))
		time.Sleep(time.Minute + lapseMargin)
		again := keyed("again", "k")
		again.RepeatOf = "first"
		a.config.Shared = lossyStore{store, func() { answered(first, false) }}
		is(t, a, again, Unavailable)
		a.config.Shared = store
		is(t, a, keyed("repeat", "k"), Replay)
	})
}

// The store goes away while a repeat waits for the first write: that one is under way, as
// far as is known here, and no repeat is sent until the store says how it ended.
func TestRepeatThatWaitsIsNotSentWhenTheStoreGoesAway(t *testing.T) {
	replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
		c := sent(t, a, payment("first"))
		away := func(down bool) {
			store.mu.Lock()
			defer store.mu.Unlock()
			store.down = down
		}
		time.AfterFunc(5*time.Second, func() { away(true) })
		is(t, b, payment("repeat"), Refuse)
		is(t, b, payment("repeat"), Refuse)
		away(false)
		answered(c, false)
		is(t, b, payment("repeat"), Replay)
	})
}

// The store was away for a moment when a write was sent: when it ends, the other replicas
// hear of it.
func TestEndOfAWriteIsToldToAStoreThatIsBack(t *testing.T) {
	for want, end := range map[Verdict]func(*Claim){
		Refuse: func(c *Claim) { c.Unknown(0) },
		Replay: func(c *Claim) { answered(c, false) },
		Send:   func(c *Claim) { written(c, true) },
	} {
		replicas(t, func(t *testing.T, store *shared, a, b *Journal) {
			store.down = true
			c := sent(t, a, payment("first"))
			store.down = false
			end(c)
			is(t, b, payment("repeat"), want)
		})
	}
}
