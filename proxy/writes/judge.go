package writes

import (
	"context"
	"math/rand/v2"
	"time"
)

// untilHeard is more than a process needs to hear that a connection has broken, and to
// tell the others.
//
// A kernel under load may deliver the end of a connection after what the app has sent on
// the next one, if they were handled by different processors.
const untilHeard = 100 * time.Millisecond

// claim takes c's name in one store, or says why not.
func (j *Journal) claim(ctx context.Context, store Store, c *Claim) Decision {
	var d Decision
	var over, holder ID
	var until time.Time
	heard := 0 // the Version that was given time; 0: none
	begun := c.record.Version
	for {
		found, err := store.Claim(ctx, c.name, c.record, over)
		switch {
		case err != nil:
			d.Verdict = Unavailable
			return d
		case found.Claim != c.record.Claim: // another one is in the way
		case over == (ID{}) && (d.Waited || heard > 0) && c.left(ctx):
			_ = store.Release(context.WithoutCancel(ctx), c.name, c.record.Claim)
			d.Verdict = Left
			return d
		default:
			d.Verdict, d.Claim = Send, c
			return d
		}
		over = ID{} // it was judged as it was; should it come back, it may know more
		d.Overridden, d.replaced, d.Earlier = false, nil, found
		if found.State == Pending && (!found.Keyed || found.Fingerprint == c.record.Fingerprint) {
			if found.Claim != holder {
				holder, until = found.Claim, time.Now().Add(j.config.Patience)
			}
			d.Waited = true
			if !j.wait(ctx, store, c.name, &found, until) {
				d.Verdict = InProgress
				if ctx.Err() != nil {
					d.Verdict = Left
				}
				return d
			}
			continue
		}
		d.Verdict = c.judge(&found)
		if d.Verdict == Send && c.left(ctx) {
			d.Verdict = Left
		}
		if d.Verdict != Send {
			return d
		}
		if j.mayHearMore(ctx, store, c.name, &found, &heard) {
			continue
		}
		replaced := found // a copy, so that found itself needs no place on the heap
		over, d.Overridden, d.replaced = found.Claim, found.State == Unknown, &replaced
		c.record.Version = begun
		c.follows(&replaced)
	}
}

// mayHearMore reports whether found, which may be replaced, has to be looked at once
// more: its process may not have heard yet that the app had gone. heard is the Version
// that was given the time for that. What is heard later than this is seen by Claim.
func (j *Journal) mayHearMore(ctx context.Context, store Store, name Name, found *Record, heard *int) bool {
	switch {
	case found.taken != nil && time.Since(found.written) < untilHeard:
		*heard = found.Version
		j.hear(ctx, name, found)
		return true
	case found.Version == *heard:
	case store != Store(j.memory) && j.mayBeTakenBack(found):
		*heard = found.Version
		pause(ctx, untilHeard)
		return true
	}
	return false
}

// hear waits until more is known of a response that was written just now, or nothing is
// to be expected any more.
func (j *Journal) hear(ctx context.Context, name Name, found *Record) {
	over := time.NewTimer(untilHeard - time.Since(found.written))
	defer over.Stop()
	look := time.NewTicker(untilHeard / 20) // the kernel may know before the connection's goroutine
	defer look.Stop()
	for change := j.memory.change(name, found); change != nil && found.taken(); {
		select {
		case <-look.C:
			continue
		case <-change:
		case <-over.C:
		case <-ctx.Done():
		}
		return
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// mayBeTakenBack reports whether another process has said of found that the app has the
// response, and may find out that the app had gone: one that stands still while the
// response comes gives it up unread, and repeats at once.
func (j *Journal) mayBeTakenBack(found *Record) bool {
	return found.State == Answered && !found.Keyed && found.Holder != j.me && time.Since(found.Ended) < time.Minute
}

// follows makes c's record later than found, which it takes the place of.
func (c *Claim) follows(found *Record) { c.record.Version = max(c.record.Version, found.Version+1) }

// left reports whether the app has given this try up. It may have had the response of
// a later one by now, so that nothing is remembered, and this one would be executed
// once more.
func (c *Claim) left(ctx context.Context) bool {
	return ctx.Err() != nil || c.hungUp != nil && c.hungUp()
}

// judge says what found, which is under c's name and not pending, means for c.
// Send: it may be replaced.
func (c *Claim) judge(found *Record) Verdict {
	mine := &c.record
	switch {
	case found.State == LetGo:
		return Send
	case found.Keyed && found.Fingerprint != mine.Fingerprint:
		return Reused
	case found.State == Unknown:
		// A repeat of the repeat on purpose names the same id again, and may itself be
		// a client's retry.
		if mine.RepeatOf != "" && mine.RepeatOf == found.RequestID && mine.RepeatOf != found.RepeatOf {
			return Send
		}
		return Refuse
	case !found.Keyed && found.delivered():
		return Send // people may want two equal things
	case found.Response == nil:
		return Gone
	}
	return Replay
}

// How long to wait between two looks at a record of another process.
const (
	minLook = 20 * time.Millisecond
	maxLook = 250 * time.Millisecond
)

// wait waits until the pending record found has ended, or until. It reports whether it is
// worth looking again.
func (j *Journal) wait(ctx context.Context, store Store, name Name, found *Record, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	if store == Store(j.memory) {
		end := j.memory.change(name, found)
		if end == nil {
			return true
		}
		select {
		case <-end:
			return true
		case <-timer.C:
		case <-ctx.Done():
		}
		return false
	}
	for pause := minLook; ; pause = min(2*pause, maxLook) {
		look := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // so that not all look at once
		last := false
		select {
		case <-look.C:
		case <-timer.C:
			last = true
		case <-ctx.Done():
			last = true
		}
		look.Stop()
		now, ok, err := store.Look(ctx, name)
		if err != nil || !ok || now.Claim != found.Claim || now.State != Pending {
			return ctx.Err() == nil // an error is Claim's to report
		}
		if last {
			return false
		}
	}
}
