package monitetest

import (
	"slices"
	"time"
)

// maxWrites bounds the ledger: a simulator that runs for weeks must not grow
// for ever.
const maxWrites = 10_000

// Write is one intention to change something, and what became of it. Requests
// are the same intention if they have the same nonce, or else the same method,
// target, entity and body.
type Write struct {
	// Route is "METHOD template", Target the request target.
	Route  string `json:"route"`
	Target string `json:"target"`
	Nonce  string `json:"nonce,omitempty"`
	// EntityID is the entity header's.
	EntityID   string `json:"entity_id,omitempty"`
	BodySHA256 string `json:"body_sha256"`
	// First is the time at which it arrived first.
	First time.Time `json:"first"`
	// Arrived counts how often it arrived, with a response or without, Executed how
	// often it changed the state, and Statuses are those of the responses; 0 if there
	// was none.
	Arrived  int   `json:"arrived"`
	Executed int   `json:"executed"`
	Statuses []int `json:"statuses"`
}

// write returns the entry of a request. The caller holds l.mu.
func (l *ledger) write(r Request) *Write {
	entity := r.Header.Get(entityHeader)
	key := "nonce " + r.Nonce
	if r.Nonce == "" {
		key = r.Method + " " + r.Target + " " + entity + " " + r.BodySHA256
	}
	w := l.writes[key]
	if w == nil {
		if len(l.order) == maxWrites {
			delete(l.writes, l.order[0])
			l.order = slices.Delete(l.order, 0, 1)
		}
		w = &Write{Route: r.Route, Target: r.Target, Nonce: r.Nonce, EntityID: entity, BodySHA256: r.BodySHA256, First: r.Time, Statuses: []int{}}
		l.writes[key] = w
		l.order = append(l.order, key)
	}
	return w
}

// Ledger returns the writes since New, ResetStats or Reset, oldest first; of more
// than 10,000 the last ones. App teams look for writes that were executed twice.
func (s *Simulator) Ledger() []Write {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	out := make([]Write, 0, len(s.ledger.order))
	for _, key := range s.ledger.order {
		w := *s.ledger.writes[key]
		w.Statuses = slices.Clone(w.Statuses)
		out = append(out, w)
	}
	return out
}
