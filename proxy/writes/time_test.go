package writes

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRepeatWaitsForTheFirstOne(t *testing.T) {
	for _, e := range endings {
		bubble(t, func(t *testing.T, j *Journal) {
			c, k := sent(t, j, payment("first")), sent(t, j, keyed("first", "k"))
			began := time.Now()
			time.AfterFunc(10*time.Second, func() { e.end(c) })
			d := is(t, j, payment("repeat"), e.guard)
			want := 10 * time.Second
			if e.name == "written, the app is there" {
				want += untilHeard // the end of its connection may come late
			}
			if waited := time.Since(began); waited != want || !d.Waited {
				t.Errorf("%s: waited for %v, %v", e.name, waited, d.Waited)
			}
			time.AfterFunc(10*time.Second, func() { e.end(k) })
			is(t, j, keyed("repeat", "k"), e.keys)
		})
	}
}

func TestRepeatWaitsForTheVerdictOnTheDelivery(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		c := sent(t, j, payment("first"))
		c.Answered(201, created("a"))
		time.AfterFunc(time.Second, func() { c.Written(yes) })
		began := time.Now()
		sent(t, j, payment("repeat"))
		if time.Since(began) != time.Second+untilHeard {
			t.Error("sent before it was known whether the app has the first response")
		}
	})
}

func TestPatienceEnds(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		sent(t, j, payment("first"))
		sent(t, j, keyed("first", "k"))
		for _, w := range []*Write{payment("repeat"), keyed("repeat", "k")} {
			began := time.Now()
			is(t, j, w, InProgress)
			if waited := time.Since(began); waited != time.Minute {
				t.Errorf("waited for %v", waited)
			}
		}
	})
}

func TestPendingWriteIsNeverFree(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		c := sent(t, j, payment("first"))
		time.Sleep(48 * time.Hour)
		is(t, j, payment("repeat"), InProgress)
		c.Unknown(0)
		is(t, j, payment("repeat"), Refuse)
	})
}

func TestAppThatWaitsMayLeave(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		c := sent(t, j, payment("first"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if d := j.Begin(ctx, payment("repeat")); d.Verdict != Left {
			t.Fatalf("verdict %d", d.Verdict)
		}
		c.Release()
		sent(t, j, payment("third"))
	})
}

// While the first one is pending, the others wait, and then go one at a time.
func TestEqualWritesGoOneAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		var under, most, done atomic.Int64
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				c := sent(t, j, payment(numbered(i)))
				most.Store(max(most.Load(), under.Add(1)))
				time.Sleep(time.Second)
				under.Add(-1)
				done.Add(1)
				c.Answered(201, created("a"))
				c.Written(yes)
			})
		}
		all.Wait()
		if most.Load() != 1 || done.Load() != 50 {
			t.Errorf("%d at once, %d done", most.Load(), done.Load())
		}
	})
}

func TestNoneOfManyIsSentAfterAnUnknownOne(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		c := sent(t, j, payment("first"))
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() { is(t, j, payment(numbered(i)), Refuse) })
		}
		time.Sleep(time.Second)
		c.Unknown(0)
		all.Wait()
		for i := range 50 {
			all.Go(func() { is(t, j, payment(numbered(i)), Refuse) })
		}
		all.Wait()
	})
}

func TestRecordsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		sent(t, j, payment("first")).Unknown(0)
		sent(t, j, keyed("first", "k")).Unknown(0)
		time.Sleep(10*time.Minute - 1)
		is(t, j, payment("repeat"), Refuse)
		time.Sleep(time.Nanosecond)
		sent(t, j, payment("repeat")).Release()
		time.Sleep(24*time.Hour - 10*time.Minute - 1)
		is(t, j, keyed("repeat", "k"), Refuse)
		time.Sleep(time.Nanosecond)
		sent(t, j, keyed("repeat", "k")).Release()
		if s := j.Stats(); s != (Stats{}) {
			t.Errorf("left is %+v", s)
		}
	})
}

// The record is as old as the write, however often its response is sent again.
func TestReplayDoesNotMakeTheRecordYounger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(t)
		c := sent(t, j, payment("first"))
		answered(c, false)
		time.Sleep(9 * time.Minute)
		is(t, j, payment("repeat"), Replay).Claim.Delivered(false)
		time.Sleep(time.Minute)
		sent(t, j, payment("meant"))
	})
}

func TestReadLetsGoOfAnUnknownWrite(t *testing.T) {
	get := func(target string) *Request {
		return &Request{GrantType: "entity_user", EntityUserID: "u", EntityID: "e", Method: "GET", Target: target}
	}
	const hex = "/v1/payables/09afAF00-0a9f-AF09-09af-09afAF09afAF"
	somebodyElse := get(resource)
	somebodyElse.EntityUserID = "v"
	for _, tt := range []struct {
		name  string
		write string
		read  *Request
		begun time.Duration // after the unknown response
		want  Verdict
	}{
		{"the resource", approve, get(resource), 30 * time.Second, Send},
		{"with a query", approve, get(resource + "?fields=status"), 30 * time.Second, Send},
		{"with a slash", approve, get(resource + "/"), 30 * time.Second, Send},
		{"the collection of a create", "/v1/payables", get("/v1/payables?limit=10"), time.Minute, Send},
		{"what is created under another", resource + "/line_items", get(resource + "/line_items"), time.Minute, Send},
		{"a change", resource, get(resource), time.Minute, Send},
		{"an upload", "/v1/payables/upload_from_file", get("/v1/payables"), time.Minute, Send},
		{"an id with letters", hex + "/approve", get(hex), time.Minute, Send},
		{"a segment that is not an id", hex + "g/approve", get(hex + "g"), time.Minute, Refuse},
		{"a letter beyond f", "/v1/payables/g" + hex[14:] + "/approve", get("/v1/payables/g" + hex[14:]), time.Minute, Refuse},
		{"too soon", approve, get(resource), 30*time.Second - 1, Refuse},
		{"somebody else", approve, somebodyElse, time.Minute, Refuse},
		{"another resource", approve, get("/v1/payables/11111111-2222-3333-4444-555555555556"), time.Minute, Refuse},
		{"the collection of a change", resource, get("/v1/payables"), time.Minute, Refuse},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, j *Journal) {
				w := payment("first")
				w.Target = tt.write
				sent(t, j, w).Unknown(0)
				time.Sleep(tt.begun)
				j.Read(tt.read, time.Now())
				w.RequestID = "repeat"
				is(t, j, w, tt.want)
			})
		})
	}
}

func TestReadLetsGoOfWhatIsLeftOfAResource(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		change := payment("change")
		change.Method, change.Target = "PATCH", resource
		sent(t, j, payment("first")).Unknown(0)
		sent(t, j, change).Unknown(0)
		if !j.Forget("first") || !j.Watching() {
			t.Error("nothing was forgotten, or all")
		}
		time.Sleep(time.Minute)
		j.Read(&Request{GrantType: "entity_user", EntityUserID: "u", EntityID: "e", Method: "GET", Target: resource}, time.Now())
		sent(t, j, change)
		if j.Watching() {
			t.Error("nothing is unknown, and reads are watched")
		}
	})
}

// Of a response that was sent again here, this process knows by itself whether it was taken.
func TestWriteAfterAReplayDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(t)
		c := sent(t, j, payment("first"))
		answered(c, false)
		is(t, j, payment("repeat"), Replay).Claim.Written(yes)
		time.Sleep(untilHeard)
		began := time.Now()
		sent(t, j, payment("another"))
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited for %v", waited)
		}
	})
}

// A key is one intention: the app that has looked, and means it again, sends another key.
func TestReadDoesNotFreeAKey(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		w := payment("first")
		w.Key = "k"
		sent(t, j, w).Unknown(0)
		time.Sleep(time.Minute)
		j.Read(&Request{GrantType: "entity_user", EntityUserID: "u", EntityID: "e", Method: "GET", Target: resource}, time.Now())
		w.RequestID = "repeat"
		is(t, j, w, Refuse)
		w.Key = "another"
		sent(t, j, w)
	})
}

// A client that repeats while a read is under way has not looked at it.
func TestReadThatARefusedRepeatFollowsLetsNothingGo(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		read := &Request{GrantType: "entity_user", EntityUserID: "u", EntityID: "e", Method: "GET", Target: resource}
		sent(t, j, payment("first")).Unknown(0)
		time.Sleep(time.Minute)
		begun := time.Now()
		time.Sleep(time.Second)
		is(t, j, payment("repeat"), Refuse)
		j.Read(read, begun)
		is(t, j, payment("repeat"), Refuse)
		time.Sleep(time.Second)
		j.Read(read, time.Now())
		sent(t, j, payment("looked"))
	})
}

// The end of a connection may become known after the repeat on another one has come.
func TestRepeatRightAfterAResponseWaitsForTheEndOfItsConnection(t *testing.T) {
	for _, row := range []struct {
		name    string
		gone    time.Duration // after the response was written; 0: the app stays
		repeats time.Duration // likewise
		waits   time.Duration
		want    Verdict
	}{
		{"the app had gone, and that shows late", 50 * time.Millisecond, 0, 50 * time.Millisecond, Replay},
		{"the app stays, and wants two equal things", 0, 0, 100 * time.Millisecond, Send},
		{"the app stays, and wants another one soon", 0, 60 * time.Millisecond, 40 * time.Millisecond, Send},
		{"the app stays, and wants another one later", 0, 100 * time.Millisecond, 0, Send},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := New(Config{Guard: time.Minute, Patience: time.Minute})
				first := is(t, j, payment("first"), Send).Claim
				first.Answered(201, created("a"))
				written := time.Now()
				first.Written(func() bool { return row.gone == 0 || time.Since(written) < row.gone })
				time.Sleep(row.repeats)
				asked := time.Now()
				is(t, j, payment("again"), row.want)
				if waited := time.Since(asked); waited != row.waits {
					t.Errorf("it waited %v, want %v", waited, row.waits)
				}
			})
		})
	}
}

func TestRepeatWhoseAppLeavesWhileItWaitsIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		c := sent(t, j, payment("first"))
		c.Answered(201, created("a"))
		c.Written(yes)
		var gone atomic.Bool
		time.AfterFunc(20*time.Millisecond, func() { gone.Store(true) })
		time.AfterFunc(30*time.Millisecond, func() { c.Delivered(true) })
		w := payment("repeat")
		w.HungUp = gone.Load
		is(t, j, w, Left)
	})
}

// Of two replays of one response each has a connection of its own.
func TestEndOfEachReplaysConnectionIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(t)
		answered(sent(t, j, payment("first")), false)
		one, two := is(t, j, payment("one"), Replay).Claim, is(t, j, payment("two"), Replay).Claim
		one.Written(yes)
		var gone atomic.Bool
		time.AfterFunc(90*time.Millisecond, func() { two.Written(func() bool { return !gone.Load() }) })
		time.AfterFunc(120*time.Millisecond, func() { gone.Store(true); two.Delivered(false) })
		is(t, j, payment("three"), Replay)
	})
}
