package writes

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// The model: apps that send, wait, leave and repeat; an upstream that executes
// or does not, and says so or does not; time; responses that arrive or are lost;
// and a memory that is too small. What must hold whatever happens is in check.
//
//	WRITES_SEED=n   of a run to repeat; printed
//	WRITES_RUNS=n   how many; 200 if not set, or 20,000 with LONG
func TestAnyHistory(t *testing.T) {
	first := uint64(wiretest.Number(t, "WRITES_SEED", int(time.Now().UnixNano()))) //nolint:gosec // any number will do
	runs := wiretest.Number(t, "WRITES_RUNS", wiretest.Sized(200, 20_000))
	t.Logf("WRITES_SEED=%d WRITES_RUNS=%d", first, runs)
	steps := 0
	for i := range runs {
		synctest.Test(t, func(t *testing.T) {
			h := &history{t: t, seed: first + uint64(i)} //nolint:gosec // small
			h.run()
			h.mu.Lock()
			defer h.mu.Unlock()
			steps += h.steps
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d steps", steps)
}

// thing is a write, and all requests that are equal to it. It is also the
// reference: what is known of it, in the fewest words.
type thing struct {
	name, key string
	tries     int // of all apps
	executed  int
	// onPurpose counts the tries that were sent although the last one was unknown.
	onPurpose int
	wanted    int // by how many apps

	state string // "", pending, delivered, undelivered, unknown
	id    string // of the request that the state is about
	at    time.Time
	dies  time.Time // pending: when the claim of a replica that died is unknown; zero: it lives
	lost  time.Time // when it was undelivered last
	freed time.Time // when somebody let go of it last
}

type history struct {
	t        *testing.T
	seed     uint64
	replicas []*Journal
	store    *shared
	small    bool // the memory

	mu      sync.Mutex // guards the rest, and things
	random  *rand.Rand
	things  []*thing
	wasDown bool // the store, at some time
	died    bool // a replica, at some time
	steps   int
	log     []string
}

func (h *history) draw(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.random.IntN(n)
}

func (h *history) say(format string, args ...any) {
	h.steps++
	h.log = append(h.log, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

func (h *history) fail(format string, args ...any) {
	h.t.Errorf("seed %d: "+format, append([]any{h.seed}, args...)...)
	for _, line := range h.log[max(0, len(h.log)-60):] {
		h.t.Log(line)
	}
}

func (h *history) run() {
	h.random = rand.New(rand.NewPCG(h.seed, 0)) //nolint:gosec // a seed is the point
	config := Config{Guard: 10 * time.Minute, KeyTTL: time.Hour, Patience: time.Minute}
	if h.small = h.random.IntN(4) == 0; h.small {
		config.MaxRecords, config.MaxBytes = 40, 30
	}
	replicas := 1
	if h.random.IntN(2) == 0 {
		h.store = newShared()
		config.Shared = h.store
		replicas += h.random.IntN(3)
	}
	for range replicas {
		h.replicas = append(h.replicas, New(config))
	}
	var apps sync.WaitGroup
	for i := range 2 + h.random.IntN(6) {
		apps.Go(func() {
			for k := range 3 {
				h.app(h.pick(fmt.Sprintf("%d.%d", i, k)))
				time.Sleep(time.Duration(h.draw(20_000)) * time.Millisecond)
			}
		})
	}
	apps.Wait()
	time.Sleep(5 * time.Minute) // whatever is followed has ended
	for _, it := range h.things {
		if !h.alone(it) && it.executed > it.wanted+it.onPurpose {
			h.fail("%s was executed %d times, wanted %d times, sent on purpose %d times", it.name, it.executed, it.wanted, it.onPurpose)
		}
	}
}

// pick returns a thing of the app's own, or one that others want as well.
func (h *history) pick(name string) *thing {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.things); n > 0 && h.random.IntN(3) == 0 {
		if it := h.things[h.random.IntN(n)]; it.key == "" {
			it.wanted++
			return it
		}
	}
	it := &thing{name: name, wanted: 1}
	if h.random.IntN(3) == 0 {
		it.key = "key of " + name
	}
	h.things = append(h.things, it)
	return it
}

// alone: without a key each replica goes by its own memory while the shared store
// is down, so an app that changes replicas is not protected. That is documented.
func (h *history) alone(it *thing) bool {
	return h.wasDown && it.key == "" && (len(h.replicas) > 1 || h.died)
}

// app wants one thing done, and tries up to five times.
func (h *history) app(it *thing) {
	repeatOf := ""
	for range 5 {
		h.mu.Lock()
		it.tries++
		w := &Write{
			Request:   Request{EntityID: "e", Method: "POST", Target: "/v1/payables", Length: int64(len(it.name)), Head: []byte(it.name)},
			Key:       it.key,
			RequestID: fmt.Sprintf("%s#%d", it.name, it.tries), RepeatOf: repeatOf,
		}
		h.mu.Unlock()
		repeatOf = ""
		ctx, cancel := context.WithTimeout(h.t.Context(), time.Duration(1+h.draw(90_000))*time.Millisecond)
		place := h.draw(len(h.replicas))
		h.mu.Lock()
		at := h.replicas[place]
		h.mu.Unlock()
		d := at.Begin(ctx, w)
		learned := false
		if h.judge(it, w, &d); d.Verdict == Send && h.store != nil && h.draw(12) == 0 {
			h.die(it, place)
		} else if d.Verdict == Send {
			learned = h.send(ctx, it, d.Claim)
		} else if d.Verdict == Replay {
			if string(d.Earlier.Response.Body) != it.name {
				h.fail("%s got the response of another write", w.RequestID)
			}
			learned = h.deliver(ctx, it, d.Claim)
		} else if d.Verdict == Refuse && h.draw(4) == 0 { // somebody has looked
			repeatOf = d.Earlier.RequestID
		} else if d.Verdict == Refuse && h.draw(6) == 0 {
			h.letGo(it, at, d.Earlier.RequestID)
		}
		cancel()
		if learned {
			return
		}
		time.Sleep(time.Duration(h.draw(3000)) * time.Millisecond)
		if h.store != nil && h.draw(10) == 0 {
			h.store.mu.Lock()
			h.store.down = !h.store.down
			h.store.mu.Unlock()
			h.mu.Lock()
			h.wasDown = true
			h.mu.Unlock()
		}
	}
}

// letGo has the replica that refused a repeat forget the earlier write: then each
// replica sends it.
func (h *history) letGo(it *thing, at *Journal, id string) {
	h.mu.Lock()
	if it.state == "unknown" && it.id == id || it.state != "pending" && h.wasDown { // of what the store has heard last
		h.say("%s is let go", id)
		it.state, it.at, it.freed = "free", time.Now(), time.Now()
	}
	h.mu.Unlock()
	at.Forget(id)
}

// judge holds a verdict to the reference.
func (h *history) judge(it *thing, w *Write, d *Decision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.say("%s: verdict %d, earlier %q %s; reference: %s of %q", w.RequestID, d.Verdict, d.Earlier.RequestID, d.Earlier.State, it.state, it.id)
	if h.alone(it) {
		return
	}
	if !it.dies.IsZero() && time.Now().After(it.dies) {
		it.state, it.at, it.dies = "unknown", it.dies, time.Time{}
	}
	age := time.Since(it.at)
	old := it.state != "pending" && age >= w.ttlFor()
	right := true
	switch d.Verdict {
	case Send:
		switch it.state {
		case "pending":
			right = false
		case "unknown":
			right = old || w.RepeatOf == it.id || h.wasDown && d.Overridden // of what the store has heard last
			if !old {
				it.onPurpose++
			}
		case "free":
			it.onPurpose++
		case "undelivered":
			right = old
		case "delivered":
			right = old || it.key == ""
		}
		if !right && h.wasDown && d.Overridden { // the store was not told how it ended
			right = true
			it.onPurpose++
		}
		it.state, it.id, it.dies = "pending", w.RequestID, time.Time{}
	case Replay:
		right = it.state == "undelivered" || it.key != "" && it.state == "delivered" || h.wasDown
		if it.key == "" {
			// Two apps may be given it at once, and one of them go on.
			right = right || it.state == "delivered" || it.lost.Equal(time.Now())
		}
	case Refuse:
		// What the store could not be told has lapsed, and is unknown to it.
		right = it.state == "unknown" || !it.dies.IsZero() && !time.Now().Before(it.dies) || it.freed.Equal(time.Now()) || h.wasDown // it was, when that was decided
	case InProgress:
		right = it.state == "pending" || it.at.Equal(time.Now()) || h.wasDown
	case Gone:
		right = h.small || h.wasDown
	case Reused:
		right = false
	case Unavailable:
		right = h.wasDown && it.key != ""
	case Left:
	}
	if !right {
		h.fail("%s: verdict %d is wrong", w.RequestID, d.Verdict)
	}
}

// die ends a replica between sending a write and its end; upstream has executed it or not.
// Another one with nothing in its memory takes its place.
func (h *history) die(it *thing, place int) {
	lapses := time.Now().Add(h.replicas[place].config.Patience + lapseMargin)
	time.Sleep(time.Duration(h.draw(1000)) * time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.say("%s: its replica dies", it.id)
	it.executed += h.random.IntN(2)
	it.dies = lapses
	h.replicas[place] = New(h.replicas[place].config)
	h.died = true
}

func (w *Write) ttlFor() time.Duration {
	if w.Key != "" {
		return time.Hour
	}
	return 10 * time.Minute
}

func (h *history) now(it *thing, state string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.say("%s is %s", it.id, state)
	it.state, it.at = state, time.Now()
	if state == "undelivered" {
		it.lost = it.at
	}
}

// send is upstream's part and the proxy's: what happens is drawn, and said.
// It reports whether the app has learned the outcome.
func (h *history) send(ctx context.Context, it *thing, c *Claim) bool {
	took := time.Duration(h.draw(70_000)) * time.Millisecond
	fate := h.draw(10)
	if fate > 1 {
		h.mu.Lock()
		it.executed++
		h.mu.Unlock()
	}
	switch {
	case fate == 0: // not executed, and known not to be
		time.Sleep(took / 10)
		if c.earlier != nil && c.earlier.State == Unknown && it.onPurpose > 0 && h.t != nil {
			h.mu.Lock()
			it.state, it.id, it.at = "unknown", c.earlier.RequestID, c.earlier.Ended
			h.mu.Unlock()
		} else {
			h.now(it, "")
		}
		c.Release()
		return false
	case fate <= 3: // executed or not, and unknown
		time.Sleep(took)
		h.now(it, "unknown")
		c.Unknown(0)
		return false
	}
	response := &Response{Status: 201, Body: []byte(it.name)}
	began := time.Now()
	select {
	case <-time.After(took):
		c.Answered(201, response)
		return h.deliver(ctx, it, c)
	case <-ctx.Done(): // the app has gone; the write is followed to its end
		time.AfterFunc(took-time.Since(began), func() {
			h.now(it, "undelivered") // before: from Answered on, a key's repeat may get the response
			c.Answered(201, response)
			c.Delivered(false)
		})
		return false
	}
}

func (h *history) deliver(ctx context.Context, it *thing, c *Claim) bool {
	if ctx.Err() != nil || h.draw(4) == 0 {
		h.undelivered(it, c)
		c.Delivered(false)
		return false
	}
	if h.draw(4) == 0 { // it has ended its connection unread, and the process hears that later
		h.undelivered(it, c)
		c.Written(func() bool { return false })
		time.Sleep(time.Duration(h.draw(50)) * time.Millisecond)
		c.Delivered(false)
		return false
	}
	if !h.goneOn(it, c) {
		h.now(it, "delivered")
	}
	c.Written(yes)
	if h.draw(2) == 0 {
		c.Delivered(true)
	}
	return true
}

// undelivered is of no meaning once the thing has gone on, as it may in this moment.
func (h *history) undelivered(it *thing, c *Claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if it.id == c.record.RequestID && it.state != "delivered" {
		h.say("%s is undelivered", it.id)
		it.state, it.at, it.lost = "undelivered", time.Now(), time.Now()
	}
}

// goneOn: a replay is told of when the thing has gone on already.
func (h *history) goneOn(it *thing, c *Claim) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return it.id != c.record.RequestID || it.state == "delivered"
}
