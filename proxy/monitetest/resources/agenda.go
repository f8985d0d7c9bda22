package resources

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// agenda holds what happens later, by the API's own clock. Nothing waits: what is due
// is done when the next request comes, or when the clock is moved.
type agenda struct {
	next atomic.Int64 // Unix nanoseconds of the earliest job; 0 means none
	day  atomic.Int64 // the last day that was begun, in days since 1970

	mu   sync.Mutex // guards jobs; running holds it for one job at a time
	jobs []job
}

type job struct {
	due time.Time
	do  func()
}

func (g *agenda) clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jobs = nil
	g.next.Store(0)
	g.day.Store(0)
}

func (g *agenda) add(due time.Time, do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jobs = append(g.jobs, job{due, do})
	slices.SortStableFunc(g.jobs, func(a, b job) int { return a.due.Compare(b.due) })
	g.next.Store(g.jobs[0].due.UnixNano())
}

// take returns the earliest job that is due.
func (g *agenda) take(now time.Time) (job, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.jobs) == 0 || g.jobs[0].due.After(now) {
		return job{}, false
	}
	first := g.jobs[0]
	g.jobs = slices.Delete(g.jobs, 0, 1)
	g.next.Store(0)
	if len(g.jobs) > 0 {
		g.next.Store(g.jobs[0].due.UnixNano())
	}
	return first, true
}

// run does what is due, and begins the days that have come.
func (g *agenda) run(a *API) {
	now := a.now()
	if next := g.next.Load(); next != 0 && next <= now.UnixNano() {
		for {
			first, ok := g.take(now)
			if !ok {
				break
			}
			first.do()
		}
	}
	today := now.Unix() / 86400
	last := g.day.Load()
	if last == today || !g.day.CompareAndSwap(last, today) {
		return
	}
	if last == 0 || last < today-1000 {
		last = today - 1
	}
	for day := last + 1; day <= today; day++ {
		a.beginDay(time.Unix(day*86400, 0).UTC())
	}
}

// Catch does everything that is due by now. The clock was moved.
func (a *API) Catch() {
	a.whole.RLock()
	defer a.whole.RUnlock()
	a.agenda.run(a)
}

// Next returns the next time at which something happens by itself: a job is due, or
// a day begins.
func (a *API) Next() time.Time {
	now := a.now().UTC()
	next := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, time.UTC)
	if due := a.agenda.next.Load(); due != 0 && due < next.UnixNano() {
		next = time.Unix(0, due)
	}
	return next
}

// beginDay lets invoices fall due, quotes run out, reminders go out and
// recurrences issue.
func (a *API) beginDay(day time.Time) {
	for _, entity := range a.Store().At("", "entities").All() {
		id := text(entity["id"])
		if !a.Store().Has(id, "receivables") {
			continue
		}
		a.fallDue(id, day)
		a.remind(id, day)
		a.recur(id, day)
	}
}

// Snapshot is a copy of everything that the API knows.
type Snapshot struct {
	data    *state.Store
	jobs    []job
	day     int64
	letters []*letter
	ids     map[string]int
}

// Snapshot copies the state, with what is to happen later and the webhooks that
// are still to be sent.
func (a *API) Snapshot() *Snapshot {
	a.whole.Lock()
	defer a.whole.Unlock()
	a.outbox.mu.Lock()
	defer a.outbox.mu.Unlock()
	return &Snapshot{a.Store().Clone(), slices.Clone(a.agenda.jobs), a.agenda.day.Load(), copied(a.outbox.letters), maps.Clone(a.ids)}
}

// Restore goes back to a snapshot, which can be used again.
func (a *API) Restore(s *Snapshot) {
	a.whole.Lock()
	defer a.whole.Unlock()
	a.outbox.mu.Lock()
	a.outbox.letters = copied(s.letters)
	a.outbox.mu.Unlock()
	a.data.Store(s.data.Clone())
	a.ids = maps.Clone(s.ids)
	a.agenda.jobs = slices.Clone(s.jobs)
	a.agenda.day.Store(s.day)
	a.agenda.next.Store(0)
	if len(a.agenda.jobs) > 0 {
		a.agenda.next.Store(a.agenda.jobs[0].due.UnixNano())
	}
}
