package writes

import (
	"slices"
	"time"
)

// held is one record of a Memory.
type held struct {
	name   Name
	record Record
}

// adopt puts found, a record of another process, in the place of the claim mine,
// so that it is listed here, and refuses repeats while the shared store is away.
func (m *Memory) adopt(name Name, mine ID, found Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.find(name, mine); e != nil {
		e.record, e.at, e.refused = found, time.Now(), time.Now()
		m.list(e)
		m.wake(e)
	}
}

// about says which reads tell of the record of claim.
func (m *Memory) about(name Name, claim ID, request *Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.find(name, claim); e != nil {
		e.about = request
	}
}

// refuse notes that a repeat of the record of claim was refused.
func (m *Memory) refuse(name Name, claim ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.find(name, claim); e != nil {
		e.refused = time.Now()
	}
}

// told returns the unknown records that a read of resource, which began at begun,
// has told the app about. See Journal.Read.
func (m *Memory) told(resource Name, begun time.Time) (told []held) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	for _, e := range m.reads[resource] {
		if begun.Sub(e.at) >= readAfter && e.refused.Before(begun) {
			told = append(told, held{e.name, e.record})
		}
	}
	return told
}

// Stats sums up a Memory.
type Stats struct {
	Records, Unknown, Bytes int
	Pushed                  Pushed
}

// Stats returns it.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	return Stats{Records: len(m.records), Unknown: int(m.unknown.Load()), Bytes: m.bytes, Pushed: m.pushed}
}

// Unknown returns the latest records of unknown outcome, newest first.
func (m *Memory) Unknown(limit int) []Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	var all []Record
	for _, class := range [...]int{unknownOnes, unknownKeys} {
		for back, n := m.ended[class].Back(), 0; back != nil && n < limit; back, n = back.Prev(), n+1 {
			all = append(all, back.Value.(*entry).record)
		}
	}
	slices.SortStableFunc(all, func(a, b Record) int { return b.Ended.Compare(a.Ended) })
	return all[:min(limit, len(all))]
}

// of returns the records that have ended and were made by the request with this id.
func (m *Memory) of(requestID string) (found []held) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.records {
		if e.record.RequestID == requestID && e.place != nil {
			found = append(found, held{e.name, e.record})
		}
	}
	return found
}
