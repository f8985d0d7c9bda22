package writes

import (
	"context"
	"strings"
	"time"
)

// Config configures a Journal.
type Config struct {
	// Guard is the time for which a write is remembered so that it is not repeated by
	// accident. 0: writes without a key are not checked.
	Guard time.Duration
	// KeyTTL is the time for which an idempotency key is known. 0: keys mean nothing.
	KeyTTL time.Duration
	// Patience limits a repeat's wait for the end of the write that it repeats, anew
	// for each holder. Required.
	Patience time.Duration
	// Shared keeps the records of several processes. nil: each knows its own.
	Shared Store
	// MaxRecords and MaxBytes (of responses) bound the memory; MaxResponse bounds one
	// response. 0: 10,000 records, 32 MiB, 256 KiB.
	MaxRecords, MaxBytes, MaxResponse int
}

const (
	defaultRecords  = 10_000
	defaultBytes    = 32 << 20
	defaultResponse = 256 << 10
)

// lapseMargin is the time beyond Patience for which a claim in the shared store
// counts as under way: for the token, the connection and the body.
const lapseMargin = 30 * time.Second

// readAfter is the time after the response from which a read counts as made by the
// app's logic: clients repeat within seconds.
const readAfter = 30 * time.Second

// Journal decides what becomes of each write. Use New.
type Journal struct {
	config Config
	memory *Memory
	me     ID
}

// New makes a Journal. It panics without Patience.
func New(config Config) *Journal {
	if config.Patience <= 0 {
		panic("writes: Config needs Patience")
	}
	if config.MaxRecords <= 0 {
		config.MaxRecords = defaultRecords
	}
	if config.MaxBytes <= 0 {
		config.MaxBytes = defaultBytes
	}
	if config.MaxResponse <= 0 {
		config.MaxResponse = defaultResponse
	}
	return &Journal{config: config, memory: NewMemory(config.MaxRecords, config.MaxBytes), me: NewID()}
}

// Write is one that is about to be sent.
type Write struct {
	Request
	// Key is the idempotency key; empty: none, and the repeat guard acts.
	Key string
	// RequestID and Route are for the record. See Record.
	RequestID, Route string
	// RepeatOf is the request id of an unknown write that the app wants to send again.
	RepeatOf string
	// HungUp, if set, reports whether the app has ended its side of the connection. A
	// write that would go out after an equal one is not sent for an app that has.
	HungUp func() bool
}

// Verdict says what is to be done with a write.
type Verdict int

// The verdicts.
const (
	// Send: nothing is in the way. The Claim, if there is one, must end.
	Send Verdict = iota
	// Replay: it was executed, and the app gets Earlier.Response. The Claim is told
	// whether that was delivered.
	Replay
	// Refuse: Earlier may have been executed.
	Refuse
	// InProgress: Earlier is under way, and has not ended in time.
	InProgress
	// Reused: the key was of another request.
	Reused
	// Gone: Earlier was executed, and its response is not kept.
	Gone
	// Unavailable: the key could not be claimed.
	Unavailable
	// Left: an equal write was in the way, and the app has gone meanwhile.
	Left
)

// Decision is the verdict on one write, and its reasons.
type Decision struct {
	Verdict Verdict
	// Claim is nil where nothing is remembered.
	Claim *Claim
	// Earlier is the record that was in the way. For Send it is the one that was
	// repeated on purpose, if one was.
	Earlier Record
	// Waited: another one was pending.
	Waited bool
	// Overridden: an unknown write is repeated on purpose.
	Overridden bool

	replaced *Record // what the Claim has taken the place of
}

// Remembers reports whether Begin would remember a write, with or without a key.
func (j *Journal) Remembers(keyed bool) bool { return j.ttl(keyed) > 0 }

// MaxResponse is the size of a body from which it is not kept.
func (j *Journal) MaxResponse() int { return j.config.MaxResponse }

func (j *Journal) ttl(keyed bool) time.Duration {
	if keyed {
		return j.config.KeyTTL
	}
	return j.config.Guard
}

// Begin decides what becomes of w, before a byte of it is sent. If an equal one
// is under way, it waits for its end.
func (j *Journal) Begin(ctx context.Context, w *Write) Decision {
	keyed := w.Key != ""
	if !j.Remembers(keyed) {
		return Decision{Verdict: Send}
	}
	fingerprint := w.Fingerprint()
	c := &Claim{journal: j, name: fingerprint, hungUp: w.HungUp, record: Record{
		Claim: NewID(), Holder: j.me, State: Pending, Keyed: keyed, Fingerprint: fingerprint,
		RequestID: strings.Clone(w.RequestID), Method: strings.Clone(w.Method), Route: w.Route, RepeatOf: strings.Clone(w.RepeatOf), // not the heads that they are cut out of
		Lapse: j.config.Patience + lapseMargin, TTL: j.ttl(keyed), Begun: time.Now(),
	}}
	if keyed {
		c.name = w.keyName(w.Key)
	}
	d := j.claim(ctx, j.memory, c)
	outdated, beaten := j.outdated(ctx, c, &d)
	for beaten {
		waited := d.Waited
		d = j.claim(ctx, j.memory, c)
		d.Waited = d.Waited || waited
		outdated, beaten = j.outdated(ctx, c, &d)
	}
	if outdated {
		earlier := d.Earlier
		d = Decision{Verdict: Send, Claim: c, Waited: d.Waited, replaced: &earlier}
	}
	if d.Verdict != Send {
		return j.refused(d, c)
	}
	c.request = &Request{GrantType: w.GrantType, EntityUserID: w.EntityUserID, EntityID: w.EntityID, Target: w.Target}
	j.memory.about(c.name, c.record.Claim, c.request)
	c.earlier = d.replaced
	if j.config.Shared == nil {
		return d
	}
	return j.claimShared(ctx, d, c, outdated)
}

// outdated reports whether the shared store knows more than the memory of the
// write that is in the way: another replica has followed it to its end, has sent
// its response again, has sent it again on purpose, or was told to let go of it. c
// then has the memory's record, for the shared store to decide. beaten: another write
// has it by now.
func (j *Journal) outdated(ctx context.Context, c *Claim, d *Decision) (yes, beaten bool) {
	mine := &d.Earlier
	if !mine.shared || d.Verdict == InProgress || d.Verdict == Left || d.Verdict == Send {
		return false, false
	}
	found, ok, err := j.config.Shared.Look(ctx, c.name)
	// A store that has lost what it was told last, or was away then, has an older record.
	// Only letting go is final, whoever has said what since.
	later := found.Version > mine.Version || found.State == LetGo && found.Claim == mine.Claim
	if err != nil || !ok || !later {
		return false, false
	}
	c.follows(&found)
	c.follows(mine)
	taken, _ := j.memory.Claim(ctx, c.name, c.record, mine.Claim)
	yes = taken.Claim == c.record.Claim
	return yes, !yes
}

// claimShared takes c's name, which it has in memory by local, in the shared
// store as well. outdated: it has it only so that the shared store can decide.
func (j *Journal) claimShared(ctx context.Context, local Decision, c *Claim, outdated bool) Decision {
	d := j.claim(ctx, j.config.Shared, c)
	d.Waited = d.Waited || local.Waited
	if d.Verdict == Unavailable || d.Verdict == Left {
		c.takeBackIfThere(context.WithoutCancel(ctx), d.replaced)
	}
	if d.Verdict == Unavailable && !c.record.Keyed && d.Earlier.State == Pending {
		// An equal write is under way elsewhere, and nobody says any more how it ends.
		d.Verdict, d.Earlier.State = Refuse, Unknown
	}
	switch {
	case d.Verdict == Send:
		c.shared, c.record.shared = true, true
		if d.replaced != nil {
			c.earlier = d.replaced
		}
		if local.Overridden && !d.Overridden {
			d.Overridden, d.Earlier = true, local.Earlier
		}
		return d
	case d.Verdict == Unavailable && !c.record.Keyed && outdated:
		d.Verdict, d.Earlier = c.judge(c.earlier), *c.earlier // the memory's last word
		c.takeBack(ctx, j.memory, c.earlier)
	case d.Verdict == Unavailable && !c.record.Keyed:
		return local // the memory alone holds it
	case d.Verdict == Refuse:
		d.Earlier.shared = true
		j.memory.adopt(c.name, c.record.Claim, d.Earlier)
	default:
		d.Earlier.told = true
		c.takeBack(ctx, j.memory, c.earlier)
	}
	return j.refused(d, c)
}

// refused completes a decision other than Send.
func (j *Journal) refused(d Decision, c *Claim) Decision {
	switch d.Verdict {
	case Refuse:
		j.memory.refuse(c.name, d.Earlier.Claim)
	case Replay:
		// The one that is to be told of the delivery is the earlier one.
		d.Claim = &Claim{journal: j, name: c.name, record: d.Earlier, shared: j.config.Shared != nil, ended: true, answered: true}
		d.Claim.record.Holder = ID{}
	}
	return d
}

// Read notes a read to which upstream has responded with the resource. It forgets the
// unknown writes without a key whose outcome the read has shown to the app: those whose
// response is 30 s older than the read, none of whose repeats was refused since. A client
// that repeats does so within seconds and does not read; people, and apps that look
// before they repeat, do.
func (j *Journal) Read(r *Request, begun time.Time) {
	if j.memory.unknown.Load() == 0 {
		return
	}
	j.forget(j.memory.told(r.resource(readPath(r.Target)), begun))
}

// Watching reports whether there is a write that a read could tell of.
func (j *Journal) Watching() bool { return j.memory.unknown.Load() > 0 }

// Forget drops the record of the request with this id, unless it is still under way.
// It reports whether there was one.
func (j *Journal) Forget(requestID string) bool {
	found := j.memory.of(requestID)
	j.forget(found)
	return len(found) > 0
}

func (j *Journal) forget(all []held) {
	ctx := context.Background() // forget even if the app has gone
	for _, one := range all {
		if j.config.Shared != nil {
			free := one.record
			free.State, free.Response, free.Version = LetGo, nil, free.Version+1
			_ = j.config.Shared.Settle(ctx, one.name, free)
		}
		_ = j.memory.Release(ctx, one.name, one.record.Claim)
	}
}

// Unknown lists writes of unknown outcome, the latest first, at most limit.
func (j *Journal) Unknown(limit int) []Record { return j.memory.Unknown(limit) }

// Stats sums up what is in memory now.
func (j *Journal) Stats() Stats { return j.memory.Stats() }
