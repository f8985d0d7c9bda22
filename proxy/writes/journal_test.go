package writes

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// How a first write ended, and what its repeat gets: without a key, and with the same key.
var endings = []struct {
	name        string
	end         func(c *Claim)
	guard, keys Verdict
}{
	{"not executed", func(c *Claim) { c.Release() }, Send, Send},
	{"unknown", func(c *Claim) { c.Unknown(0) }, Refuse, Refuse},
	{"upstream's 500", func(c *Claim) { c.Unknown(500) }, Refuse, Refuse},
	{"delivered", func(c *Claim) { answered(c, true) }, Send, Replay},
	{"written, the app is there", func(c *Claim) { c.Answered(201, created("a")); c.Written(yes) }, Send, Replay},
	{"written, the app was reset", func(c *Claim) { c.Answered(201, created("a")); c.Written(no) }, Replay, Replay},
	{"written, then lost", func(c *Claim) { written(c, false) }, Replay, Replay},
	{"undelivered", func(c *Claim) { answered(c, false) }, Replay, Replay},
	{"undelivered, a 422", func(c *Claim) { c.Answered(422, &Response{Status: 422}); c.Delivered(false) }, Replay, Replay},
	{"undelivered, too large", func(c *Claim) { c.Answered(201, nil); c.Delivered(false) }, Gone, Gone},
	{"delivered, too large", func(c *Claim) { c.Answered(201, nil); c.Delivered(true) }, Send, Gone},
	{"unknown, then more is said", func(c *Claim) { c.Unknown(0); c.Release(); c.Answered(201, created("a")); c.Delivered(true) }, Refuse, Refuse},
	{"not executed, then more is said", func(c *Claim) { c.Release(); c.Unknown(0) }, Send, Send},
}

func yes() bool { return true }
func no() bool  { return false }

func TestRepeatGetsWhatTheFirstOneLeft(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, j *Journal) {
				e.end(sent(t, j, payment("first")))
				e.end(sent(t, j, keyed("first", "k")))
				d := is(t, j, payment("repeat"), e.guard)
				if d.Verdict != Send && d.Earlier.RequestID != "first" {
					t.Errorf("the earlier one is %q", d.Earlier.RequestID)
				}
				is(t, j, keyed("repeat", "k"), e.keys)
			})
		})
	}
}

func TestKeyOfAnotherRequestIsReused(t *testing.T) {
	for _, e := range endings {
		want := Reused
		if e.keys == Send {
			want = Send
		}
		bubble(t, func(t *testing.T, j *Journal) {
			e.end(sent(t, j, keyed("first", "k")))
			other := keyed("other", "k")
			other.Target = resource
			is(t, j, other, want)
		})
	}
}

func TestKeyOfAnotherPendingRequestIsReusedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		sent(t, j, keyed("first", "k"))
		other := keyed("other", "k")
		other.Method = "PATCH"
		is(t, j, other, Reused)
	})
}

func TestKeysOfTwoIdentitiesAreTwoKeys(t *testing.T) {
	for _, change := range []func(*Write){
		func(w *Write) { w.GrantType = "client_credentials" },
		func(w *Write) { w.EntityUserID = "other" },
		func(w *Write) { w.EntityID = "other" },
	} {
		bubble(t, func(t *testing.T, j *Journal) {
			sent(t, j, keyed("first", "k")).Unknown(0)
			w := keyed("other", "k")
			change(w)
			sent(t, j, w)
		})
	}
}

func TestGuardDoesNotActOnWritesWithAKey(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		sent(t, j, payment("first")).Unknown(0)
		sent(t, j, keyed("second", "a new one")).Unknown(0)
		sent(t, j, keyed("third", "a newer one"))
	})
}

// The connection of the first one ends between the look at its record and the
// question: it says what it knows, and once it is closed it knows nothing.
func TestConnectionThatEndsWhileItIsAskedIsBelieved(t *testing.T) {
	for _, tt := range []struct {
		delivered bool
		want      Verdict
	}{{false, Replay}, {true, Send}} {
		bubble(t, func(t *testing.T, j *Journal) {
			first := sent(t, j, payment("first"))
			first.Answered(201, created("a"))
			first.Written(func() bool {
				first.Delivered(tt.delivered)
				return true
			})
			time.Sleep(untilHeard) // until then it would be asked again
			is(t, j, payment("second"), tt.want)
		})
	}
}

// An app tries three times, and goes after the second; the third try gets the response.
// The second one has waited for its turn, and must not go out now.
func TestTryThatWasGivenUpIsNotSentAfterALaterOne(t *testing.T) {
	for name, giveUp := range map[string]func(hungUp *atomic.Bool, cancel func()){
		"its context ends":        func(_ *atomic.Bool, cancel func()) { cancel() },
		"its connection hangs up": func(hungUp *atomic.Bool, _ func()) { hungUp.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, j *Journal) {
				first := sent(t, j, payment("first"))
				second := payment("second")
				var hungUp atomic.Bool
				second.HungUp = hungUp.Load
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var verdict Verdict
				done := make(chan struct{})
				go func() {
					defer close(done)
					verdict = j.Begin(ctx, second).Verdict
				}()
				synctest.Wait()
				giveUp(&hungUp, cancel)
				answered(first, true)
				if <-done; verdict != Left {
					t.Errorf("verdict %d, want %d", verdict, Left)
				}
			})
		})
	}
}

// A response that is kept is given to it all the same: it may still read.
func TestTryThatWasGivenUpGetsAResponseThatIsKept(t *testing.T) {
	for name, keyed := range map[string]func(string) *Write{
		"without a key": payment,
		"with a key":    func(id string) *Write { return keyed(id, "k") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, j *Journal) {
				first := sent(t, j, keyed("first"))
				time.AfterFunc(time.Second, func() {
					answered(first, false)
				})
				second := keyed("second")
				second.HungUp = func() bool { return true }
				is(t, j, second, Replay)
			})
		})
	}
}

// A try that is looked at late: the first one has its response.
func TestLateTryOfAnAppThatHasGoneIsNotSent(t *testing.T) {
	j := newJournal(t)
	first := sent(t, j, payment("first"))
	first.Answered(201, created("a"))
	first.Written(yes)
	late := payment("late")
	late.HungUp = func() bool { return true }
	is(t, j, late, Left)
	is(t, j, payment("meant"), Send)
	late.Target = resource // nothing is in the way of it
	is(t, j, late, Send)
}

// An app tries three times, and the second try is looked at last: the third one has the
// response of the first by then.
func TestTryThatWasGivenUpIsNotSentAfterAReplay(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		answered(sent(t, j, payment("first")), false)
		third := is(t, j, payment("third"), Replay).Claim
		third.Written(yes)
		third.Delivered(true)
		second := payment("second")
		second.HungUp = func() bool { return true }
		is(t, j, second, Left)
		if j.Stats().Bytes > 0 {
			t.Error("a response is kept that its app has")
		}
		is(t, j, payment("meant"), Send)
	})
}

func TestDeliveredReplayEndsTheMatter(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		c := sent(t, j, payment("first"))
		answered(c, false)

		lost := is(t, j, payment("repeat"), Replay)
		if string(lost.Earlier.Response.Body) != "a" {
			t.Errorf("the response is %q", lost.Earlier.Response.Body)
		}
		lost.Claim.Written(yes)
		lost.Claim.Delivered(false)

		got := is(t, j, payment("repeat again"), Replay)
		got.Claim.Written(yes)
		got.Claim.Delivered(true)
		sent(t, j, payment("meant"))
	})
}

func TestUnknownWriteIsSentOnPurpose(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		sent(t, j, payment("first")).Unknown(0)
		is(t, j, onPurpose("x", "another id"), Refuse)
		d := is(t, j, onPurpose("second", "first"), Send)
		if !d.Overridden || d.Earlier.RequestID != "first" {
			t.Errorf("overridden: %v, of %q", d.Overridden, d.Earlier.RequestID)
		}
		d.Claim.Unknown(0)
		is(t, j, onPurpose("third", "first"), Refuse) // a client that repeats the repeat
		is(t, j, onPurpose("third", "second"), Send)
	})
}

func TestRepeatOnPurposeWithTheSameRequestIDIsSentOnce(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		sent(t, j, payment("job-1")).Unknown(0)
		sent(t, j, onPurpose("job-1", "job-1")).Unknown(0)
		is(t, j, onPurpose("job-1", "job-1"), Refuse)
	})
}

func TestRepeatOnPurposeThatWasNotSentChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		sent(t, j, payment("first")).Unknown(0)
		sent(t, j, onPurpose("second", "first")).Release()
		if d := is(t, j, payment("third"), Refuse); d.Earlier.RequestID != "first" {
			t.Errorf("refused because of %q", d.Earlier.RequestID)
		}
		sent(t, j, onPurpose("fourth", "first")).Release()
		time.Sleep(time.Minute)
		r := payment("read").Request
		r.Target = resource
		j.Read(&r, time.Now())
		sent(t, j, payment("looked"))
	})
}

func TestForgottenWriteIsSent(t *testing.T) {
	bubble(t, func(t *testing.T, j *Journal) {
		c := sent(t, j, payment("first"))
		if j.Forget("first") {
			t.Error("a write that is under way was forgotten")
		}
		c.Unknown(0)
		if j.Forget("another") || !j.Forget("first") || j.Forget("first") {
			t.Error("Forget is wrong about what it knows")
		}
		sent(t, j, payment("second"))
	})
}

func TestUnknownWritesAreListed(t *testing.T) {
	synctest.Test(t, testUnknownWritesAreListed)
}

func testUnknownWritesAreListed(t *testing.T) {
	j := newJournal(t)
	for _, id := range []string{"a", "b", "c"} {
		sent(t, j, keyed(id, id)).Unknown(502)
		time.Sleep(time.Millisecond)
	}
	sent(t, j, payment("d")).Unknown(0)
	c := sent(t, j, keyed("fine", "fine"))
	c.Answered(201, nil)
	c.Delivered(true)

	got := j.Unknown(3)
	if len(got) != 3 || got[0].RequestID != "d" || got[1].RequestID != "c" || got[2].RequestID != "b" {
		t.Fatalf("listed are %+v", got)
	}
	if got[1].Status != 502 || got[1].Route == "" || got[1].Method != "POST" || got[1].Begun.IsZero() || got[1].Ended.IsZero() {
		t.Errorf("too little is told: %+v", got[1])
	}
	if s := j.Stats(); s.Unknown != 4 || s.Records != 5 {
		t.Errorf("stats are %+v", s)
	}
}

func TestConfigOfAJournal(t *testing.T) {
	for given, want := range map[int]int{0: 256 << 10, 5: 5} {
		if got := New(Config{Patience: 1, MaxResponse: given}).MaxResponse(); got != want {
			t.Errorf("MaxResponse %d became %d, want %d", given, got, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a Journal without Patience was made")
		}
	}()
	New(Config{})
}

func TestOffRemembersNothing(t *testing.T) {
	j := newJournal(t, func(c *Config) { c.Guard, c.KeyTTL = 0, 0 })
	for range 2 {
		for _, w := range []*Write{payment("a"), keyed("b", "k")} {
			d := is(t, j, w, Send)
			if d.Claim != nil {
				t.Error("something is remembered")
			}
			d.Claim.Answered(201, nil)
			d.Claim.Delivered(true)
			d.Claim.Written(yes)
			d.Claim.Unknown(0)
			d.Claim.Release()
		}
	}
}

func TestEqualWritesWithoutFaultsAreAllSent(t *testing.T) {
	n := wiretest.Sized(10_000, 100_000)
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(t)
		w := payment("x")
		for i := range n {
			d := j.Begin(t.Context(), w)
			if d.Verdict != Send {
				t.Fatalf("write %d: verdict %d", i, d.Verdict)
			}
			d.Claim.Answered(201, created("a"))
			d.Claim.Written(yes)
			if i%3 > 0 { // else the next one comes before more is known
				d.Claim.Delivered(true)
			}
		}
		if s := j.Stats(); s.Records > 1 {
			t.Errorf("left is %+v", s)
		}
	})
}
