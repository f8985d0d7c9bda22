package writes

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Memory is the Store of one process. Use NewMemory.
//
// It is bounded. What is pushed out first costs least: the responses, oldest first;
// then records of writes whose response the app has; then other settled ones; then
// unknown ones, which leave a tenth of the room to the others. A pending one is never
// pushed out.
type Memory struct {
	maxRecords, maxBytes int

	unknown atomic.Int64 // how many records are Unknown

	mu      sync.Mutex // guards all below
	records map[Name]*entry
	ended   [classes]list.List // of *entry, in the order in which they ended
	kept    list.List          // of *entry with a Response, likewise
	bytes   int                // of the responses
	reads   map[Name][]*entry  // unknown ones, by the resource that tells of them
	pushed  Pushed
}

// Pushed counts what had to be forgotten before its time.
type Pushed struct{ Records, Responses int64 }

// The classes in which records end, in the order in which they are pushed out.
// Those of keys live longer than those of the guard, so each kind has lists of
// its own, whose oldest record is also the first to expire.
const (
	deliveredOnes = iota
	deliveredKeys
	undeliveredOnes
	undeliveredKeys
	unknownOnes
	unknownKeys
	classes
)

// entry is one record. It is in no list while pending.
type entry struct {
	name      Name
	record    Record
	at        time.Time // when it ended
	class     int
	place     *list.Element // in ended; nil while pending
	keptPlace *list.Element // in kept; nil without a Response
	about     *Request      // without a body: which reads tell of it; nil once it has ended
	resources []Name        // those reads; of an unknown one
	refused   time.Time     // when a repeat was refused last
	changed   chan struct{} // closed when more is known; nil until a repeat waits
}

// NewMemory returns a Memory for maxRecords records, and maxBytes of responses.
func NewMemory(maxRecords, maxBytes int) *Memory {
	return &Memory{maxRecords: maxRecords, maxBytes: maxBytes, records: map[Name]*entry{}, reads: map[Name][]*entry{}}
}

// Claim implements Store.
func (m *Memory) Claim(_ context.Context, name Name, mine Record, over ID) (Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	if found := m.records[name]; found != nil {
		if there := &found.record; there.Claim != over || there.State != Pending && there.Version >= mine.Version {
			return *there, nil // more is known of over than when it was looked at
		}
		m.remove(found)
	}
	m.records[name] = &entry{name: name, record: mine}
	m.makeRoom()
	return mine, nil
}

// Settle implements Store.
func (m *Memory) Settle(_ context.Context, name Name, record Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.find(name, record.Claim); e != nil {
		if e.place == nil { // what is only corrected keeps its age
			e.at = time.Now()
		}
		m.unlist(e)
		e.record = record
		m.list(e)
		m.wake(e)
		m.makeRoom()
	}
	return nil
}

// Release implements Store.
func (m *Memory) Release(_ context.Context, name Name, claim ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.find(name, claim); e != nil {
		m.remove(e)
	}
	return nil
}

// Look implements Store.
func (m *Memory) Look(_ context.Context, name Name) (Record, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	if e := m.records[name]; e != nil {
		return e.record, true, nil
	}
	return Record{}, false, nil
}

// change returns a channel that is closed when more is known of a record than found
// says, or nil if that is so already.
func (m *Memory) change(name Name, found *Record) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.find(name, found.Claim)
	if e == nil || e.record.State != found.State || e.record.Version != found.Version {
		return nil
	}
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}

func (m *Memory) find(name Name, claim ID) *entry {
	if e := m.records[name]; e != nil && e.record.Claim == claim {
		return e
	}
	return nil
}

// remove takes e out; its name is free.
func (m *Memory) remove(e *entry) {
	m.unlist(e)
	delete(m.records, e.name)
	m.wake(e)
}

func (m *Memory) wake(e *entry) {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// list puts a record that has ended where it is found by age.
func (m *Memory) list(e *entry) {
	r := &e.record
	switch {
	case r.State == Unknown:
		e.class = unknownOnes
		m.unknown.Add(1)
		if e.about != nil && !r.Keyed { // an app that has looked sends another key
			e.resources = e.about.resources()
		}
		for _, resource := range e.resources {
			m.reads[resource] = append(m.reads[resource], e)
		}
	case r.Delivered, r.State == LetGo:
		e.class = deliveredOnes
	default:
		e.class = undeliveredOnes
	}
	e.about = nil // its target may be long, and the record lives for a day
	if r.Keyed {
		e.class++
	}
	e.place = inOrder(&m.ended[e.class], e)
	if r.Response != nil {
		e.keptPlace = inOrder(&m.kept, e)
		m.bytes += r.Response.Size()
	}
}

// inOrder adds e to a list that is sorted by age: nearly always at its end.
func inOrder(l *list.List, e *entry) *list.Element {
	mark := l.Back()
	for mark != nil && mark.Value.(*entry).at.After(e.at) {
		mark = mark.Prev()
	}
	if mark == nil {
		return l.PushFront(e)
	}
	return l.InsertAfter(e, mark)
}

func (m *Memory) unlist(e *entry) {
	if e.place == nil {
		return
	}
	m.ended[e.class].Remove(e.place)
	e.place = nil
	m.drop(e)
	if e.record.State != Unknown {
		return
	}
	m.unknown.Add(-1)
	for _, resource := range e.resources {
		left := slices.DeleteFunc(m.reads[resource], func(other *entry) bool { return other == e })
		if len(left) == 0 {
			delete(m.reads, resource)
		} else {
			m.reads[resource] = left
		}
	}
}

// drop forgets the response of e.
func (m *Memory) drop(e *entry) {
	if e.keptPlace != nil {
		m.kept.Remove(e.keptPlace)
		m.bytes -= e.record.Response.Size()
		e.keptPlace, e.record.Response = nil, nil
	}
}

// expire removes what is older than its TTL.
func (m *Memory) expire() {
	now := time.Now()
	for class := range m.ended {
		for front := m.ended[class].Front(); front != nil; front = m.ended[class].Front() {
			e := front.Value.(*entry)
			if now.Sub(e.at) < e.record.TTL {
				break
			}
			m.remove(e)
		}
	}
}

// makeRoom pushes out what is above the bounds.
func (m *Memory) makeRoom() {
	for m.bytes > m.maxBytes {
		m.drop(m.kept.Front().Value.(*entry))
		m.pushed.Responses++
	}
	for len(m.records) > m.maxRecords {
		oldest := m.oldest()
		if oldest == nil {
			return // all are pending, and bounded by what is in flight
		}
		m.remove(oldest)
		m.pushed.Records++
	}
}

// oldest returns the record that is to be forgotten first, of the guard or of a key.
func (m *Memory) oldest() *entry {
	class := 0
	if m.unknown.Load() > int64(m.maxRecords-m.maxRecords/10) {
		// Each other record would be forgotten as it ends, moments before its repeat comes.
		class = unknownOnes
	}
	for ; class < classes; class += 2 {
		one, key := m.ended[class].Front(), m.ended[class+1].Front()
		switch {
		case one == nil && key == nil:
		case one == nil, key != nil && key.Value.(*entry).at.Before(one.Value.(*entry).at):
			return key.Value.(*entry)
		default:
			return one.Value.(*entry)
		}
	}
	return nil
}
