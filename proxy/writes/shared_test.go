package writes

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// replicas are journals that share a store.
func replicas(t *testing.T) (*shared, *Journal, *Journal) {
	store := newShared()
	with := func(c *Config) { c.Shared = store }
	return store, newJournal(t, with), newJournal(t, with)
}

func TestReplicasKnowEachOthersWrites(t *testing.T) {
	for _, e := range endings {
		synctest.Test(t, func(t *testing.T) {
			_, a, b := replicas(t)
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
	synctest.Test(t, func(t *testing.T) {
		_, a, b := replicas(t)
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
	synctest.Test(t, func(t *testing.T) {
		_, a, b := replicas(t)
		k := sent(t, a, keyed("first", "k")) // followed for longer than its claim counts
		time.Sleep(5 * time.Minute)
		is(t, b, keyed("repeat", "k"), Refuse)
		k.Answered(201, created("a"))
		b.memory = NewMemory(10, 1<<20) // what this replica has heard so far
		is(t, b, keyed("repeat", "k"), Replay)
	})
}

func TestKeyedWriteIsNotSentWithoutTheSharedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, a, _ := replicas(t)
		store.down = true
		is(t, a, keyed("first", "k"), Unavailable)
		store.down = false
		sent(t, a, keyed("first", "k")).Unknown(0)
	})
}

// The call was done, its reply was lost: nothing was sent, and nobody else may be
// told that it was.
func TestClaimWithoutAReplyIsTakenBackOrLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, a, b := replicas(t)
		store.forget = true
		is(t, a, keyed("first", "k"), Unavailable)
		store.forget = false
		sent(t, b, keyed("second", "k"))
	})
}

func TestGuardFallsBackToMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, a, b := replicas(t)
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
	synctest.Test(t, func(t *testing.T) {
		store, a, _ := replicas(t)
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

func TestOneAtATimeAcrossReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := replicas(t)
		var under, most atomic.Int64
		var all sync.WaitGroup
		for i := range 20 {
			j := []*Journal{a, b}[i%2]
			all.Go(func() {
				c := sent(t, j, payment(numbered(i)))
				most.Store(max(most.Load(), under.Add(1)))
				time.Sleep(time.Second)
				under.Add(-1)
				c.Answered(201, created("a"))
				c.Written(yes)
				c.Delivered(true)
			})
		}
		all.Wait()
		if most.Load() != 1 {
			t.Errorf("%d at once", most.Load())
		}
	})
}

func TestExchangesPerWrite(t *testing.T) {
	store, a, _ := replicas(t)
	c := sent(t, a, keyed("first", "k"))
	if store.calls != 1 {
		t.Errorf("%d exchanges before the write", store.calls)
	}
	c.Answered(201, created("a"))
	if store.calls != 2 {
		t.Errorf("%d exchanges until its response is kept", store.calls)
	}
	store.calls = 0
	c = sent(t, a, payment("first"))
	c.Answered(201, created("a"))
	c.Written(yes)
	c.Delivered(true)
	if store.calls != 2 {
		t.Errorf("%d exchanges for a write without a key", store.calls)
	}
}
