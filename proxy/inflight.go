package proxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// places bound the requests that are at one point of the walk. With several listeners
// none of them may have them all. There are two points: those of MONITE_MAX_IN_FLIGHT
// are taken when the first byte is about to leave, so that an app which sends its body
// slowly holds none; those of the guard are for what has come in.
type places struct {
	most  int64
	taken atomic.Int64

	mu         sync.Mutex // guards byListener
	byListener map[string]int64
}

// share is the part of the places that one of several listeners may have.
func (p *places) share() int64 { return max(1, p.most-p.most/4) }

// take reports whether there is a place. listener is the key of the app's. alone
// is true if there is no other; then it may have all.
func (p *places) take(listener string, alone bool) bool {
	if p.taken.Add(1) > p.most {
		p.taken.Add(-1)
		return false
	}
	if alone {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byListener[listener] >= p.share() {
		p.taken.Add(-1)
		return false
	}
	if p.byListener == nil {
		p.byListener = map[string]int64{}
	}
	p.byListener[listener]++
	return true
}

// leave gives a place back. The arguments are those of take.
func (p *places) leave(listener string, alone bool) {
	p.taken.Add(-1)
	if alone {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byListener[listener]--; p.byListener[listener] <= 0 {
		delete(p.byListener, listener)
	}
}

// overloaded is the failure of a request for which there is no place.
func overloaded() *failed {
	return &failed{problem: &problemOverloaded, outcome: NotSent, retryAfter: time.Second}
}
