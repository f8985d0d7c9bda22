package tokencache

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
)

// entry is what is known of one grant.
type entry struct {
	grant Grant
	key   string // of the flight
	warm  bool   // Run mints the first token without being asked

	current atomic.Pointer[minted]  // nil: none, or invalidated
	failure atomic.Pointer[failure] // nil: the last mint was a success, or there was none
	// lastUsed is monotonic, and up to usedGranularity behind.
	lastUsed atomic.Int64
	// usedStale is the token that Run was told of: stale, and in use. It names the
	// token so that a hit on the old one, when the new one is being stored, does
	// not count for the new one.
	usedStale atomic.Pointer[minted]
	// refused is a token that upstream refused in its first second.
	refused atomic.Pointer[minted]
	// forced: the next mint is wanted although the token is fresh.
	forced atomic.Bool
	// refreshing: Run is waiting for a mint of it.
	refreshing atomic.Bool
	// pins counts those who wait for a mint, and the mint. A pinned entry is not
	// evicted.
	pins atomic.Int32

	mints, failures atomic.Int64
}

// usedGranularity keeps the hot path from writing a shared cache line at every hit.
const usedGranularity = int64(50e6) // 50 ms

func (e *entry) touch(now instant) {
	if now.mono-e.lastUsed.Load() > usedGranularity {
		e.lastUsed.Store(now.mono)
	}
}

// colder reports whether e should be evicted before other.
func (e *entry) colder(other *entry) bool {
	if mine, its := e.current.Load() != nil, other.current.Load() != nil; mine != its {
		return its
	}
	return e.lastUsed.Load() < other.lastUsed.Load()
}

// table maps grants to entries. Reading takes no lock: a shard is an immutable
// map that a writer replaces. Shards keep that copying small.
type table struct {
	shards [shardCount]atomic.Pointer[map[Grant]*entry]

	mu   sync.Mutex // guards size and every replacement of a shard
	size int
}

const shardCount = 64

// shard spreads by the end of the user id, which is random in a UUID. Bad luck,
// or malice, costs a longer copy at a mint, and nothing at a hit.
func (t *table) shard(g Grant) *atomic.Pointer[map[Grant]*entry] {
	id, hash := g.EntityUserID, uint(0)
	for i := max(0, len(id)-4); i < len(id); i++ {
		hash = hash*31 + uint(id[i])
	}
	return &t.shards[hash%shardCount]
}

func (t *table) get(g Grant) *entry {
	if m := t.shard(g).Load(); m != nil {
		return (*m)[g]
	}
	return nil
}

// pin returns the entry of g, made if there is none, pinned: the caller takes
// the pin away. It returns nil if the table holds limit entries and all are
// pinned.
func (t *table) pin(g Grant, limit int, now instant) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.get(g)
	if e == nil {
		if t.size >= limit && !t.evict() {
			return nil
		}
		e = &entry{grant: g, key: strconv.Quote(string(g.Type)) + strconv.Quote(g.EntityUserID)}
		e.lastUsed.Store(now.mono)
		t.replace(g, e)
		t.size++
	}
	e.pins.Add(1)
	return e
}

// evict removes one entry: of those that hold no token the one least recently
// used, so that made-up ids do not push out real ones; else of all. mu is held.
func (t *table) evict() bool {
	var victim *entry
	for e := range t.all {
		if e.pins.Load() == 0 && !e.warm && (victim == nil || e.colder(victim)) {
			victim = e
		}
	}
	if victim == nil {
		return false
	}
	t.replace(victim.grant, nil)
	t.size--
	return true
}

// replace stores e under g, or removes g if e is nil. mu is held.
func (t *table) replace(g Grant, e *entry) {
	shard := t.shard(g)
	next := map[Grant]*entry{}
	if old := shard.Load(); old != nil {
		next = maps.Clone(*old)
	}
	if e == nil {
		delete(next, g)
	} else {
		next[g] = e
	}
	shard.Store(&next)
}

// all yields every entry, without a lock.
func (t *table) all(yield func(*entry) bool) {
	for i := range t.shards {
		m := t.shards[i].Load()
		if m == nil {
			continue
		}
		for _, e := range *m {
			if !yield(e) {
				return
			}
		}
	}
}
