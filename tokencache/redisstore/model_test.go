package redisstore

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// The scripts under all interleavings of a few replicas and faults, one step at a
// time: an explicit-state model whose server is the memory that
// TestMemoryDoesWhatRedisDoes holds to Redis. Time stands still; a lapse is a step.

// limits bound what may happen in one history.
type limits struct {
	replicas, crashes, lapses, flushes, failovers, revocations, mints int
}

// world is one state. It is copied at every step.
type world struct {
	data     map[string]held
	snapshot map[string]held // what a replica of the server still has
	replicas []replicaState
	mints    int // tokens so far
	revoked  int // tokens up to this one are refused
	claims   int // moments at which claims were made
	used     limits
}

// replicaState is one process.
type replicaState struct {
	dead    bool
	minting int    // the moment of its claim, and the lease's id; 0: it mints nothing
	untold  []told // tokens that were minted here and not told yet
	token   int    // that it holds; 0: none
	mark    string // of that
	lost    string // mark of the token that upstream refused
}

// told is a token on its way to the server.
type told struct {
	value string
	lease int
}

func (w *world) clone() *world {
	c := *w
	c.data, c.snapshot, c.replicas = maps.Clone(w.data), maps.Clone(w.snapshot), slices.Clone(w.replicas)
	return &c
}

func (w *world) key() string {
	var b strings.Builder
	for _, data := range []map[string]held{w.data, w.snapshot} {
		for _, key := range slices.Sorted(maps.Keys(data)) {
			fmt.Fprintf(&b, "%s=%s,", key, data[key].value)
		}
		b.WriteByte('|')
	}
	// Replicas are alike: which of them is in a state does not matter.
	states := make([]string, 0, len(w.replicas))
	for _, r := range w.replicas {
		states = append(states, fmt.Sprint(r))
	}
	slices.Sort(states)
	fmt.Fprint(&b, states, w.mints, w.revoked, w.claims, w.used)
	return b.String()
}

const modelNow = int64(1_790_000_000_000_000) // us

// modelMark is the mark of a token whose claim was the n-th.
func modelMark(n int) string { return fmt.Sprintf("%013d%012d", modelNow/1000-1000+int64(n), n) }

func (w *world) run(s *script, args ...any) any {
	m := &memory{data: w.data}
	keys := []string{"t", "l", "v", "c", "g", "w"}
	switch s {
	case tellScript:
		keys = keys[:3]
	case failedScript:
		keys = keys[1:3]
	}
	reply := m.at(modelNow, s, keys, words(args))
	delete(w.data, "w") // how many ask changes nothing but pauses
	delete(w.data, "v")
	return reply
}

// ask is what a replica that wants a token does: the loop of tokencache's ask.
func (w *world) ask(t *testing.T, i int) {
	r := &w.replicas[i]
	have, refused := r.lost, r.lost != ""
	for range 4 {
		flag := digit(refused)
		reply := w.run(askScript, have, flag, fmt.Sprintf("lease-%d", w.claims+1), 1000, 0, 0, 0, "", "", "0", "0").([]any)
		switch kind, _ := text(reply[0]); kind {
		case "token":
			value, _ := text(reply[2])
			mark := value[:markLen]
			if r.lost != "" && mark <= r.lost {
				have, refused = mark, false
				continue
			}
			if mark < r.lost {
				t.Errorf("%s is taken after %s was refused", mark, r.lost)
			}
			_, _ = fmt.Sscan(value[markLen:], &r.token)
			r.mark, r.lost = mark, ""
		case "claimed":
			w.claims++
			r.minting = w.claims
		}
		return
	}
}

// steps returns every state that may follow.
func (w *world) steps(t *testing.T, most limits) (next []*world) {
	add := func(change func(w *world) bool) {
		if c := w.clone(); change(c) {
			next = append(next, c)
		}
	}
	for i, r := range w.replicas {
		if r.dead {
			continue
		}
		switch {
		case r.minting > 0 && w.mints < most.mints:
			add(func(w *world) bool {
				r := &w.replicas[i]
				w.mints++
				r.token, r.mark, r.lost = w.mints, modelMark(r.minting), ""
				r.minting, r.untold = 0, append(slices.Clone(r.untold), told{fmt.Sprint(r.mark, w.mints), r.minting})
				return true
			})
		case r.token == 0 && r.minting == 0:
			add(func(w *world) bool { w.ask(t, i); return true })
		case r.token > 0 && r.token <= w.revoked:
			add(func(w *world) bool { // upstream refuses it
				r := &w.replicas[i]
				r.lost, r.token, r.mark = r.mark, 0, ""
				return true
			})
		}
		for n, late := range r.untold {
			add(func(w *world) bool {
				r := &w.replicas[i]
				before := w.data["t"].value
				w.run(tellScript, fmt.Sprintf("lease-%d", late.lease), late.value, modelNow/1000+1_800_000, 1000)
				if after := w.data["t"].value; before != "" && after != before && after[:bornDigits] < before[:bornDigits] {
					t.Errorf("%s replaces %s", after, before)
				}
				r.untold = slices.Delete(slices.Clone(r.untold), n, n+1)
				return true
			})
		}
		if w.used.crashes < most.crashes {
			add(func(w *world) bool { w.used.crashes++; w.replicas[i] = replicaState{dead: true}; return true })
		}
	}
	if w.used.lapses < most.lapses && w.data["l"].value != "" {
		add(func(w *world) bool {
			if w.data["l"].value != "done" {
				w.used.lapses++
			}
			delete(w.data, "l")
			return true
		})
	}
	if w.used.flushes < most.flushes {
		add(func(w *world) bool { w.used.flushes++; clear(w.data); return true })
	}
	if w.used.failovers < most.failovers {
		add(func(w *world) bool { w.used.failovers++; w.data = maps.Clone(w.snapshot); return true })
		add(func(w *world) bool { // replication has come so far
			if maps.Equal(w.snapshot, w.data) {
				return false
			}
			w.snapshot = maps.Clone(w.data)
			return true
		})
	}
	if w.used.revocations < most.revocations && w.mints > w.revoked {
		add(func(w *world) bool { w.used.revocations++; w.revoked = w.mints; return true })
	}
	return next
}

// heals reports whether everybody who lives gets a good token from here, without
// further faults.
func (w *world) heals(t *testing.T) bool {
	w = w.clone()
	for range 12 {
		good := true
		for i, r := range w.replicas {
			if !r.dead && (r.token == 0 || r.token <= w.revoked) {
				good = false
			}
			for range 4 {
				next := w.clone().only(t, i)
				if next == nil {
					break
				}
				w = next
			}
		}
		if good {
			return true
		}
		delete(w.data, "l") // a second passes
	}
	return false
}

// only takes the step of one replica.
func (w *world) only(t *testing.T, i int) *world {
	for j := range w.replicas {
		if j != i {
			w.replicas[j].dead = true // for the moment
		}
	}
	alone := w.clone()
	next := alone.steps(t, limits{mints: 1 << 30})
	if len(next) == 0 {
		return nil
	}
	return next[len(next)-1]
}

func TestModelOfTheLease(t *testing.T) {
	cases := []limits{
		{replicas: 3, crashes: 1, lapses: 1, mints: 4},
		{replicas: 2, crashes: 1, lapses: 1, revocations: 1, mints: 4},
		{replicas: 2, flushes: 1, failovers: 1, mints: 4},
	}
	if os.Getenv("MODEL") != "" {
		cases = append(cases,
			limits{replicas: 2, crashes: 1, lapses: 1, flushes: 1, failovers: 1, revocations: 1, mints: 6},
			limits{replicas: 3, crashes: 1, lapses: 1, flushes: 1, revocations: 1, mints: 6},
			limits{replicas: 3, lapses: 1, failovers: 1, revocations: 1, mints: 6},
			limits{replicas: 3, crashes: 2, lapses: 2, revocations: 2, mints: 7})
	}
	for _, most := range cases {
		start := &world{data: map[string]held{}, snapshot: map[string]held{}, replicas: make([]replicaState, most.replicas)}
		seen := map[string]bool{start.key(): true}
		for queue := []*world{start}; len(queue) > 0 && !t.Failed(); {
			w := queue[0]
			queue = queue[1:]
			if may := 1 + w.used.revocations + w.used.lapses + w.used.flushes + w.used.failovers; w.mints > may {
				t.Errorf("%d mints, %d are allowed: %+v", w.mints, may, w)
			}
			if !w.heals(t) {
				t.Errorf("somebody gets no token: %+v", w)
			}
			for _, next := range w.steps(t, most) {
				if key := next.key(); !seen[key] {
					seen[key] = true
					queue = append(queue, next)
				}
			}
		}
		t.Logf("%+v: %d states", most, len(seen))
	}
}
