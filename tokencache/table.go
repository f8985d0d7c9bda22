package tokencache

import (
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// entry holds what is known of one grant.
type entry struct {
	grant Grant
	key   string // of the flight
	warm  bool   // Run mints the first token without being asked
	born  int64  // monotonic

	current atomic.Pointer[minted]  // nil: none, or invalidated
	failure atomic.Pointer[failure] // nil: the last mint was a success, or there was none
	// lastUsed is monotonic, and up to usedGranularity behind.
	lastUsed atomic.Int64
	// again says that it was used again after its first second. A table that is full
	// parts with the others first.
	again atomic.Bool
	// usedStale is the token that Run was told of: stale, and in use. It names the
	// token so that a hit on the old one, when the new one is being stored, does
	// not count for the new one.
	usedStale atomic.Pointer[minted]
	// accepted is monotonic, and up to usedGranularity behind: upstream has taken a token in
	// a request that was sent then.
	accepted atomic.Int64
	// refused is a token that upstream refused in its first second.
	refused atomic.Pointer[minted]
	// lost is the token that upstream refused, until there is another.
	lost atomic.Pointer[minted]
	// lookAt is monotonic: a refresh that was left to another process is not tried
	// before it. postponed counts how often it was.
	lookAt    atomic.Int64
	postponed atomic.Int32
	// forced says that the next mint is wanted although the token is fresh.
	forced atomic.Bool
	// refreshing: Run is waiting for a mint of it.
	refreshing atomic.Bool
	// pins counts those who wait for a mint, and the mint. A pinned entry is not
	// evicted.
	pins atomic.Int32
	// waiting counts the callers who wait for the mint that is in line or under way.
	waiting atomic.Int32
	turn    *turn // of that mint; guarded by gate.mu

	mints, failures, adopted atomic.Int64
}

// served reports whether the grant has ever had a token.
func (e *entry) served() bool { return e.mints.Load() > 0 || e.adopted.Load() > 0 }

// lose takes m away because upstream refused it.
func (e *entry) lose(m *minted) {
	if e.current.CompareAndSwap(m, nil) {
		e.lost.Store(m)
	}
}

// lastResort is the token that upstream refused, if it is not too old, and if the
// token endpoint has not refused the grant as well. nil: there is none.
func (e *entry) lastResort(now instant) *minted {
	m := e.lost.Load()
	if m == nil || m.state(now) == expired {
		return nil
	}
	if f := e.failure.Load(); f != nil && f.err.Reason == Rejected {
		return nil
	}
	return m
}

// usedGranularity keeps the hot path from writing a shared cache line at every hit.
const usedGranularity = int64(50e6) // 50 ms

// never is a monotonic moment before all others.
const never = -1 << 62

// touch reports whether it noted a use.
func (e *entry) touch(now instant) (noted bool) {
	if noted = now.mono-e.lastUsed.Load() > usedGranularity; noted {
		e.lastUsed.Store(now.mono)
	}
	return noted
}

// hit is touch for a use that found a token. What a page loads within a second
// is one use.
func (e *entry) hit(now instant) {
	if e.touch(now) && now.mono-e.born >= int64(minInterval) {
		e.again.Store(true)
	}
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
		g.EntityUserID = strings.Clone(g.EntityUserID) // or it would keep the head of a request
		e = &entry{grant: g, born: now.mono, key: strconv.Quote(string(g.Type)) + strconv.Quote(g.EntityUserID)}
		e.lastUsed.Store(now.mono)
		e.accepted.Store(never)
		t.replace(g, e)
		t.size++
	}
	e.pins.Add(1)
	return e
}

// evictLook is the least number of entries that an eviction looks at: all of a small
// table, a random part of a large one.
const evictLook = 2048

// evict removes one entry, the least recently used of the first of these groups
// that is not empty:
//
//   - those that hold no token, so that made-up ids push out no real ones;
//   - those that were used once, so that a procession of a hundred thousand users
//     who come once passes by those who stay (a segmented LRU, whose segments are
//     told apart only here);
//   - those that were used again. When they are more than four fifths, their
//     coldest counts as used once: else yesterday's users would leave no room in
//     which today's could be seen a second time.
//
// mu is held.
func (t *table) evict() bool {
	const none, once, again = 0, 1, 2
	var coldest [3]*entry
	seen, used := 0, 0
	start := rand.IntN(shardCount)
	for i := range shardCount {
		m := t.shards[(start+i)%shardCount].Load()
		if m == nil {
			continue
		}
		for _, e := range *m {
			group := once
			switch {
			case e.current.Load() == nil:
				group = none
			case e.again.Load():
				group = again
				used++
			}
			seen++
			if e.pins.Load() == 0 && !e.warm && (coldest[group] == nil || e.lastUsed.Load() < coldest[group].lastUsed.Load()) {
				coldest[group] = e
			}
		}
		if seen >= evictLook && coldest != [3]*entry{} {
			break
		}
	}
	victim := coldest[none]
	if victim == nil {
		victim = coldest[once]
		if old := coldest[again]; old != nil && (victim == nil || used > seen*4/5 && old.lastUsed.Load() < victim.lastUsed.Load()) {
			victim = old
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
