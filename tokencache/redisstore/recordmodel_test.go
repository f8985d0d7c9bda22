package redisstore

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// Write records under all interleavings of replicas that send the same write: of N
// that want to, one does, whoever dies, whatever arrives late.

// writer is one process with the write.
type writer struct {
	dead bool
	// claim that it has sent last; 0: none. inFlight: the server has not seen it yet.
	claim    int
	inFlight bool
	gaveUp   bool // it no longer waits for the answer, and will not send
	holds    bool // the claim is its own: it may send
	sent     bool
	over     int // the claim that it may replace
	refused  bool
	settle   string // on its way: "", "answered", "unknown", "release"
	about    int    // whose claim that is
}

type writerWorld struct {
	data                     map[string]held
	writers                  []writer
	claims, executions, late int
	crashes, lapses, flushes int
}

func (w *writerWorld) clone() *writerWorld {
	c := *w
	c.data, c.writers = maps.Clone(w.data), slices.Clone(w.writers)
	return &c
}

func (w *writerWorld) key() string {
	states := make([]string, 0, len(w.writers))
	for _, one := range w.writers {
		states = append(states, fmt.Sprint(one))
	}
	slices.Sort(states)
	return fmt.Sprint(w.data, states, w.claims, w.executions, w.late, w.crashes, w.lapses, w.flushes)
}

func claimID(n int) string { return fmt.Sprintf("%032d", n) }

func (w *writerWorld) run(s *script, args ...any) any {
	return (&memory{data: w.data}).at(modelNow, s, []string{"i"}, words(args))
}

// arrive has the server see a claim.
func (w *writerWorld) arrive(i int) {
	one := &w.writers[i]
	one.inFlight = false
	reply := w.run(claimScript, claimID(one.claim), claimID(one.over), "sealed", 60000, 3_600_000, "0").([]any)
	if one.gaveUp {
		return
	}
	word, _ := text(reply[0])
	value, _ := text(reply[2])
	if word == "mine" {
		one.holds = true
		return
	}
	// What writes.Journal makes of it: it waits for a pending one, replays an answered
	// one, and refuses after an unknown one.
	one.claim, one.over = 0, 0
	lapsed := value[33:headLen] == strings.Repeat("0", bornDigits)
	one.refused = value[0] != letterPending || lapsed
}

func (w *writerWorld) steps(writers, crashes, lapses, flushes int) (next []*writerWorld) {
	add := func(change func(w *writerWorld)) {
		c := w.clone()
		change(c)
		next = append(next, c)
	}
	for i, one := range w.writers {
		if one.inFlight { // also of the dead
			add(func(w *writerWorld) { w.arrive(i) })
		}
		if one.settle != "" {
			add(func(w *writerWorld) {
				one := &w.writers[i]
				value := map[string]string{"answered": "a", "unknown": "u"}[one.settle]
				if value != "" {
					value += claimID(one.about) + strings.Repeat("0", bornDigits) + "sealed"
				}
				w.run(settleScript, claimID(one.about), value, 3_600_000)
				one.settle = ""
			})
		}
		if one.dead {
			continue
		}
		if w.crashes < crashes {
			add(func(w *writerWorld) {
				w.crashes++
				one := &w.writers[i]
				one.dead, one.gaveUp, one.holds = true, true, false
			})
		}
		switch {
		case one.refused, one.sent:
		case one.claim == 0 && w.claims < 4:
			add(func(w *writerWorld) {
				w.claims++
				w.writers[i].claim, w.writers[i].inFlight = w.claims, true
			})
		case one.inFlight && !one.gaveUp && w.late < 1:
			add(func(w *writerWorld) { // timed out: 503, not sent; and it says so to the server
				w.late++
				one := &w.writers[i]
				one.gaveUp, one.refused, one.settle, one.about = true, true, "release", one.claim
			})
		case one.holds && !one.sent:
			add(func(w *writerWorld) {
				w.executions++
				w.writers[i].sent = true
				w.writers[i].settle, w.writers[i].about = "answered", one.claim
			})
			add(func(w *writerWorld) { // the connection breaks after the write was executed
				w.executions++
				w.writers[i].sent = true
				w.writers[i].settle, w.writers[i].about = "unknown", one.claim
			})
			add(func(w *writerWorld) { // it could not be sent
				one := &w.writers[i]
				one.holds, one.refused, one.settle, one.about = false, true, "release", one.claim
			})
		}
	}
	if h, ok := w.data["i"]; ok && h.value[0] == letterPending && w.lapses < lapses {
		add(func(w *writerWorld) {
			w.lapses++
			h := w.data["i"]
			h.value = h.value[:33] + strings.Repeat("0", bornDigits) + h.value[headLen:]
			w.data["i"] = h
		})
	}
	if w.flushes < flushes {
		add(func(w *writerWorld) { w.flushes++; clear(w.data) })
	}
	return next
}

func TestModelOfWriteRecords(t *testing.T) {
	for _, most := range []struct{ writers, crashes, lapses, flushes int }{
		{3, 1, 1, 0}, {2, 2, 1, 0}, {2, 1, 1, 1}, {3, 2, 2, 1},
	} {
		if (most.writers*most.crashes > 3 || underRace && most.writers > 2) && os.Getenv("MODEL") == "" {
			continue
		}
		start := &writerWorld{data: map[string]held{}, writers: make([]writer, most.writers)}
		seen, executed, twice := map[string]bool{start.key(): true}, false, false
		for queue := []*writerWorld{start}; len(queue) > 0; {
			w := queue[0]
			queue = queue[1:]
			executed = executed || w.executions > 0
			twice = twice || w.executions > 1
			if w.executions > 1+w.flushes {
				t.Fatalf("executed %d times: %+v", w.executions, w)
			}
			for _, next := range w.steps(most.writers, most.crashes, most.lapses, most.flushes) {
				if key := next.key(); !seen[key] {
					seen[key] = true
					queue = append(queue, next)
				}
			}
		}
		// After a FLUSHALL a key is free: docs/fleet.md says so, and the model must see it.
		if !executed || twice != (most.flushes > 0) {
			t.Errorf("%+v: executed at all %t, twice %t", most, executed, twice)
		}
		t.Logf("%+v: %d states", most, len(seen))
	}
}
