package writes

import (
	"runtime"
	"testing"
	"time"
)

// numberedWrite is one of many different writes.
func numberedWrite(i int) *Write {
	w := payment(numbered(i))
	w.Target = resource + "/" + numbered(i)
	return w
}

func small(records, bytes int) func(*Config) {
	return func(c *Config) { c.MaxRecords, c.MaxBytes = records, bytes }
}

func TestUnknownRecordsAreForgottenLast(t *testing.T) {
	j := newJournal(t, small(3, 1<<20))
	sent(t, j, numberedWrite(0)).Unknown(0)
	lost := sent(t, j, numberedWrite(1))
	answered(lost, false)
	sent(t, j, keyed("fine", "k")).Answered(201, created("a"))
	sent(t, j, numberedWrite(2)).Unknown(0) // pushes the key's record out: its app may have it
	sent(t, j, numberedWrite(3)).Unknown(0) // pushes out the undelivered one
	is(t, j, numberedWrite(0), Refuse)
	is(t, j, numberedWrite(2), Refuse)
	is(t, j, numberedWrite(3), Refuse)
	sent(t, j, numberedWrite(1)).Release()
	if s := j.Stats(); s.Pushed.Records != 3 {
		// The last one sent has pushed out the oldest unknown one.
		t.Errorf("stats are %+v", s)
	}
}

// A response that did not arrive is asked for again within seconds. However many
// writes are unknown, it must still be there.
func TestFloodOfUnknownWritesLeavesRoomForOthers(t *testing.T) {
	j := newJournal(t, small(40, 1<<20))
	for i := range 36 {
		sent(t, j, numberedWrite(1000+i)).Unknown(0)
	}
	for i := range 10 {
		answered(sent(t, j, numberedWrite(2000+i)), false)
	}
	is(t, j, numberedWrite(1000), Refuse)
	for i := range 100 {
		sent(t, j, numberedWrite(i)).Unknown(0)
	}
	for i := 100; i < 200; i++ {
		lost := sent(t, j, numberedWrite(i))
		answered(lost, false)
		sent(t, j, numberedWrite(i+100)).Unknown(0)
		is(t, j, numberedWrite(i), Replay)
		is(t, j, numberedWrite(i+100), Refuse)
	}
}

func TestResponsesAreForgottenFirstAndTheOldestBeforeOthers(t *testing.T) {
	j := newJournal(t, small(100, 200))
	body := func() *Response { return &Response{Status: 201, Body: make([]byte, 100)} }
	for _, key := range []string{"a", "b", "c"} {
		sent(t, j, keyed(key, key)).Answered(201, body())
	}
	is(t, j, keyed("again", "a"), Gone)
	is(t, j, keyed("again", "b"), Replay)
	is(t, j, keyed("again", "c"), Replay)
	if s := j.Stats(); s.Bytes != 200 || s.Pushed.Responses != 1 || s.Records != 3 {
		t.Errorf("stats are %+v", s)
	}
}

func TestSizeOfAResponseIsThatOfAllItHolds(t *testing.T) {
	r := &Response{Fields: map[string][]string{"Content-Type": {"a", "bc"}, "Etag": {"d"}}, Body: []byte("xyz")}
	if got, want := r.Size(), len("Content-Type"+"a"+"bc"+"Etag"+"d"+"xyz"); got != want {
		t.Errorf("Size() = %d, want %d", got, want)
	}
}

func TestPendingRecordsAreNotPushedOut(t *testing.T) {
	j := newJournal(t, small(2, 1<<20), func(c *Config) { c.Patience = time.Millisecond })
	for i := range 4 {
		sent(t, j, numberedWrite(i))
	}
	for i := range 4 {
		is(t, j, numberedWrite(i), InProgress)
	}
}

// Its delivery is taken back between the look at it and the claim of a repeat.
func TestRecordOfWhichMoreIsKnownIsNotReplaced(t *testing.T) {
	m, name := NewMemory(10, 1<<20), Name{1}
	first := Record{Claim: NewID(), State: Pending, TTL: time.Minute}
	_, _ = m.Claim(t.Context(), name, first, ID{})
	first.State, first.Delivered, first.Version = Answered, true, 1
	_ = m.Settle(t.Context(), name, first)
	repeat := Record{Claim: NewID(), State: Pending, Version: first.Version + 1}
	first.Delivered, first.Version = false, first.Version+1
	_ = m.Settle(t.Context(), name, first)
	if found, _ := m.Claim(t.Context(), name, repeat, first.Claim); found.Claim != first.Claim || found.Delivered {
		t.Errorf("the repeat has taken the place of %+v", found)
	}
	for given, want := range map[Name]bool{name: true, {2}: false} {
		if found, ok, _ := m.Look(t.Context(), given); ok != want || ok && found.Claim != first.Claim {
			t.Errorf("there is %+v, %v", found, ok)
		}
	}
}

func TestResponseThatTheAppHasIsForgottenFirst(t *testing.T) {
	j := newJournal(t, small(2, 1<<20))
	answered(sent(t, j, payment("first")), false)
	answered(sent(t, j, keyed("second", "k")), true)
	sent(t, j, numberedWrite(3))
	is(t, j, payment("repeat"), Replay)
}

func TestManyUnknownWritesDoNotRefuseAGoodOne(t *testing.T) {
	j := newJournal(t)
	for i := range 10_000 {
		sent(t, j, numberedWrite(i)).Unknown(0)
	}
	c := sent(t, j, numberedWrite(10_000))
	answered(c, true)
	if s := j.Stats(); s.Records != 9_999 || s.Unknown != 9_999 {
		t.Errorf("stats are %+v", s)
	}
	is(t, j, numberedWrite(9_999), Refuse)
}

func TestMemoryAtTheBounds(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 32 MiB")
	}
	before := heap()
	j := newJournal(t)
	for i := range 12_000 {
		w := numberedWrite(i)
		w.Key = numbered(i)
		sent(t, j, w).Answered(201, &Response{Status: 201, Body: make([]byte, 40<<10)})
		sent(t, j, numberedWrite(i)).Unknown(0)
	}
	used := heap() - before
	s := j.Stats()
	for range 2 { // a good one is taken as ever, and so is the next
		good := sent(t, j, payment("good"))
		answered(good, true)
	}
	t.Logf("%d records, %d bytes of responses, %d unknown: %.1f MiB", s.Records, s.Bytes, s.Unknown, float64(used)/(1<<20))
	if s.Records > defaultRecords || s.Bytes > defaultBytes {
		t.Errorf("stats are %+v", s)
	}
	if used > defaultBytes+16<<20 {
		t.Errorf("%d bytes are held", used)
	}
	runtime.KeepAlive(j)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}
