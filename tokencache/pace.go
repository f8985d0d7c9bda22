package tokencache

import (
	"math"
	"slices"
	"sync"
	"time"
)

// lane is for whom a mint is made. Each lane is served in order of arrival, and no
// lane starves.
type lane uint8

const (
	warm     lane = iota // the warm grants: before all others, in slots of their own
	known                // a caller waits, and the grant has had a token before
	stranger             // a caller waits for the first token of a grant
	ahead                // a refresh that no caller waits for
	suspect              // the last mint failed while others did not
	lanes
)

// rota is the order in which lanes are served when demand exceeds the budget. An
// empty lane passes its turn on, to known first. So a refresh gets at least two mints
// in eight even when strangers queue up: without them, tokens in use would end, and
// those who use them would have to join the queue.
var rota = [...]lane{known, stranger, ahead, known, stranger, known, ahead, suspect}

// share counts the turns of a lane in rota.
var share = [lanes]int{known: 3, stranger: 2, ahead: 2, suspect: 1}

// reserve is the part of the budget that is kept for warm grants, which are few.
const reserve = 2

// turn is one place in the line to the token endpoint.
type turn struct {
	entry *entry
	lane  lane
	// ready is called with true when the mint may start, with false if it is no
	// longer wanted.
	ready   chan bool
	waiting bool // guarded by gate.mu
}

// gate lets mints start: no more at once than there are slots, and no more in a
// second than the budget has. Monite counts the requests of a client id, mints
// included, and responds with 429 to all of them when there are too many.
//
// The slots of 16 are cut so that no kind of grant can take all of them by being
// slow: suspects have 4 of them, suspects, strangers and refreshes together 12. A
// grant that has had a token before always finds one that is not hanging.
type gate struct {
	now   func() int64 // monotonic
	slots [lanes]int   // known: all but the warm
	rate  float64      // per second; +Inf: no budget
	burst float64

	mu      sync.Mutex // guards what follows, and entry.turn
	running [lanes]int
	line    [lanes][]*turn
	budget  float64
	filled  int64 // when budget was true
	next    int   // in rota
	timer   *time.Timer
}

// newGate makes one for so many mints at once and so many in a second (below 0:
// no limit). At 20 a second it lets 8 go at once, so that no second sees more
// than 28.
func newGate(now func() int64, slots, warmSlots, perSecond int) *gate {
	g := &gate{now: now, rate: float64(perSecond), burst: max(reserve+2, float64(perSecond)*2/5)}
	if perSecond < 0 {
		g.rate, g.burst = math.Inf(1), math.Inf(1)
	}
	g.budget = g.burst
	g.slots = [lanes]int{warm: max(1, warmSlots), known: slots, stranger: max(1, slots*3/4), suspect: max(1, slots/4)}
	return g
}

// laneOf returns the lane of a mint. The warm grant keeps its own, whatever happens.
// waited reports whether a caller waits.
func laneOf(e *entry, waited bool) lane {
	f := e.failure.Load()
	switch {
	case e.warm:
		return warm
	case f != nil && f.alone:
		return suspect
	case !waited:
		return ahead
	case !e.served():
		return stranger
	default:
		return known
	}
}

// enter joins the line. A mint that gets true from ready calls leave at the end.
func (g *gate) enter(e *entry) *turn {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := &turn{entry: e, lane: laneOf(e, e.waiting.Load() > 0), ready: make(chan bool, 1), waiting: true}
	e.turn = t
	g.line[t.lane] = append(g.line[t.lane], t)
	g.dispatch()
	return t
}

// leave ends a turn that was not abandoned, in the line or after it. used: the
// endpoint was asked.
func (g *gate) leave(t *turn, used bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.entry.turn == t { // else that of a mint that began while this one went on
		t.entry.turn = nil
	}
	if t.waiting {
		g.remove(t)
	} else {
		g.running[t.lane]--
		if !used {
			g.budget++
		}
	}
	g.dispatch()
}

// hurry moves a refresh to the mints that callers wait for.
func (g *gate) hurry(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := e.turn; t != nil && t.waiting && t.lane == ahead {
		g.remove(t)
		t.lane, t.waiting = known, true
		g.line[known] = append(g.line[known], t)
		g.dispatch()
	}
}

// abandon drops a queued mint once its last waiter has left. In a rush the queue
// would otherwise fill with turns that no caller wants, and live callers would time
// out behind them.
func (g *gate) abandon(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := e.turn
	if t == nil || !t.waiting || t.lane == warm || e.waiting.Load() > 0 || e.refreshing.Load() {
		return
	}
	g.remove(t)
	e.turn = nil
	t.ready <- false
	g.dispatch()
}

// remove takes t out of its line. mu is held.
func (g *gate) remove(t *turn) {
	t.waiting = false
	line := g.line[t.lane]
	if i := slices.Index(line, t); i >= 0 {
		g.line[t.lane] = slices.Delete(line, i, i+1)
	}
}

// dispatch lets go who may, and sets the timer for the next. mu is held.
func (g *gate) dispatch() {
	g.refill()
	for {
		l, ok := g.pick()
		if !ok {
			break
		}
		t := g.line[l][0]
		g.remove(t)
		g.running[l]++
		g.budget--
		t.ready <- true
	}
	least := 1.0
	if len(g.line[warm]) == 0 {
		least += reserve
	}
	if g.inLine() == 0 || g.budget >= least {
		return // no mint waits, or only for a slot: leave comes here again
	}
	pause := time.Duration((least-g.budget)/g.rate*float64(time.Second)) + time.Microsecond
	if g.timer == nil {
		g.timer = time.AfterFunc(pause, g.tick)
	} else {
		g.timer.Reset(pause)
	}
}

func (g *gate) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dispatch()
}

// stop ends the timer. The line is empty.
func (g *gate) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timer != nil {
		g.timer.Stop()
	}
}

func (g *gate) inLine() (n int) {
	for _, line := range g.line {
		n += len(line)
	}
	return n
}

func (g *gate) refill() {
	now := g.now()
	if g.budget < g.burst { // Inf - Inf and 0 * Inf are not numbers
		g.budget = min(g.burst, g.budget+g.rate*float64(now-g.filled)/1e9)
	}
	g.filled = now
}

// pick returns the lane whose first may go now.
func (g *gate) pick() (lane, bool) {
	if len(g.line[warm]) > 0 && g.running[warm] < g.slots[warm] && g.budget >= 1 {
		return warm, true
	}
	if g.budget < 1+reserve {
		return 0, false
	}
	for _, l := range [...]lane{rota[g.next], known, stranger, ahead, suspect} {
		if len(g.line[l]) > 0 && g.hasSlot(l) {
			g.next = (g.next + 1) % len(rota)
			return l, true
		}
	}
	return 0, false
}

func (g *gate) hasSlot(l lane) bool {
	others := g.running[stranger] + g.running[ahead] + g.running[suspect]
	switch {
	case g.running[known]+others >= g.slots[known]:
		return false
	case l == suspect && g.running[suspect] >= g.slots[suspect]:
		return false
	default:
		return l == known || others < g.slots[stranger]
	}
}

// delay estimates how long the budget would have a caller of e wait. 0 if a mint
// of e is in line or under way already.
func (g *gate) delay(e *entry) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := laneOf(e, true)
	if e.turn != nil || l == warm || math.IsInf(g.rate, 1) {
		return 0
	}
	g.refill()
	before := float64(len(g.line[l]) + 1)
	for other := known; other < lanes; other++ {
		if other != l {
			before += min(float64(len(g.line[other])), float64(len(g.line[l])+1)*float64(share[other])/float64(share[l]))
		}
	}
	before -= max(g.budget-reserve, 0)
	return max(time.Duration(before/g.rate*float64(time.Second)), 0)
}
