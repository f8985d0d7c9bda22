package writes

import (
	"context"
	"sync"
	"time"
)

// Claim is the right to send one write, and the duty to say what became of it. It
// ends by the first of Release, Unknown and Answered; later calls do nothing. After
// Answered, Delivered follows. All methods may be called on nil. One goroutine uses a
// Claim at a time.
type Claim struct {
	journal *Journal
	name    Name
	request *Request    // without its body
	hungUp  func() bool // Write.HungUp
	earlier *Record     // what it has taken the place of; nil: nothing
	shared  bool        // it is in the shared store too

	mu       sync.Mutex // guards the rest
	record   Record
	ended    bool
	answered bool
	final    bool // the delivery is known for good
}

// Release ends the claim of a write that upstream has certainly not executed:
// nothing of it left, or upstream refused it before acting. What was known
// before it is known again.
func (c *Claim) Release() {
	if !c.end() {
		return
	}
	ctx := context.Background() // that the app has gone changes nothing
	if c.shared {
		c.takeBack(ctx, c.journal.config.Shared, c.earlier)
	}
	c.takeBack(ctx, c.journal.memory, c.earlier)
}

// takeBack removes the claim from store, and puts earlier in its place, such as what it
// has taken the place of; nil: nothing. If that fails half-way, earlier lapses, and is
// unknown.
func (c *Claim) takeBack(ctx context.Context, store Store, earlier *Record) {
	if earlier == nil {
		_ = store.Release(ctx, c.name, c.record.Claim)
		return
	}
	pending := *earlier
	pending.State = Pending
	_, _ = store.Claim(ctx, c.name, pending, c.record.Claim)
	c.journal.memory.about(c.name, pending.Claim, c.request)
	_ = store.Settle(ctx, c.name, *earlier)
}

// takeBackIfThere is takeBack for a claim of which the shared store has said nothing. If
// it is there, and cannot be taken back now, it lapses.
func (c *Claim) takeBackIfThere(ctx context.Context, earlier *Record) {
	store := c.journal.config.Shared
	if earlier != nil { // which must not be put back where it still is: it may know more by now
		if there, _, _ := store.Look(ctx, c.name); there.Claim != c.record.Claim {
			return
		}
	}
	c.takeBack(ctx, store, earlier)
}

// Unknown ends the claim of a write that upstream may have executed. status is
// upstream's, 0 if it did not respond.
func (c *Claim) Unknown(status int) {
	if c.end() {
		c.mu.Lock()
		c.record.State, c.record.Status, c.record.Ended = Unknown, status, time.Now()
		c.record.Version++
		c.mu.Unlock()
		c.share()
		c.settle()
	}
}

// share takes c's name in the shared store too, if that was away when the write was sent:
// others shall hear that it must not be repeated.
func (c *Claim) share() {
	store := c.journal.config.Shared
	if c.shared || store == nil {
		return
	}
	pending := c.record
	pending.State, pending.Response = Pending, nil
	found, err := store.Claim(context.Background(), c.name, pending, ID{})
	c.shared = err == nil && found.Claim == pending.Claim
	c.record.shared = c.shared
}

// Answered ends the claim of a write to which upstream has responded. response is nil
// if it is not kept. Until Written or Delivered is called, repeats of a write without
// a key go on waiting; a key's get the response at once.
func (c *Claim) Answered(status int, response *Response) {
	if !c.end() {
		return
	}
	c.mu.Lock()
	c.answered = true
	c.record.State, c.record.Status, c.record.Ended, c.record.Response = Answered, status, time.Now(), response
	c.record.Version++
	c.mu.Unlock()
	if c.record.Keyed {
		c.settle()
	}
}

// end reports whether the claim has not ended before.
func (c *Claim) end() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.ended
	c.ended = true
	return !was
}

// Written says that the response was written to the app: the app counts as having
// it, for as long as taken says so. Delivered follows when more is known.
func (c *Claim) Written(taken func() bool) { c.deliver(true, taken) }

// Delivered says whether the app has the response, for good: it has sent its next
// request or has closed its connection in order; or it went away before.
func (c *Claim) Delivered(ok bool) { c.deliver(ok, nil) }

func (c *Claim) deliver(ok bool, taken func() bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	if !c.answered || c.final {
		c.mu.Unlock()
		return
	}
	c.final = taken == nil
	known := c.record.Keyed || c.record.Delivered && ok // to the shared store, or of no use there
	c.record.Delivered, c.record.taken, c.record.written = ok, taken, time.Now()
	c.record.Version++
	c.mu.Unlock()
	if !ok {
		c.share()
	}
	ctx := context.Background() // that the app has gone changes nothing
	if c.shared && !(known && c.record.told) {
		c.settleShared(ctx)
	}
	if c.final && ok && !c.record.Keyed {
		// Without a key, whatever comes now is meant. The shared record stays, for
		// replicas that still remember the response as undelivered.
		if c.record.Holder != (ID{}) {
			_ = c.journal.memory.Release(ctx, c.name, c.record.Claim)
			return
		}
		// It was a repeat's. A try between the two may be looked at only now, and its app
		// has given it up: it finds a record. Other repeats cannot change that one.
		last := c.record
		last.Claim, last.Response, last.Version = NewID(), nil, last.Version+1
		c.takeBack(ctx, c.journal.memory, &last)
		return
	}
	_ = c.journal.memory.Settle(ctx, c.name, c.record)
}

// settle tells the memory last: a write that waits there goes on to the shared
// store, and must find the same.
func (c *Claim) settle() {
	ctx := context.Background() // that the app has gone changes nothing
	if c.shared {
		c.settleShared(ctx)
	}
	_ = c.journal.memory.Settle(ctx, c.name, c.record)
}

func (c *Claim) settleShared(ctx context.Context) {
	record := c.record
	if record.Delivered && !record.Keyed {
		record.Response = nil // of no use unless the delivery is taken back
	}
	c.record.told = c.journal.config.Shared.Settle(ctx, c.name, record) == nil
}
