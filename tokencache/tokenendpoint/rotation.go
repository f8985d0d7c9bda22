package tokenendpoint

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Rotation hands out the pair of credentials that is live. When its source has
// another pair, that one takes its place only after a mint with it has succeeded: a
// pair that is half written, mistyped or not yet known to the endpoint does no harm.
// The first pair is live from the start.
//
// Fill the exported fields, call Pair once or run Run, and do not change them
// afterwards.
type Rotation struct {
	// Source is asked at every Check.
	Source Credentials
	// Prove makes one mint with a pair. Its errors are *tokencache.FetchError.
	Prove func(ctx context.Context, pair Credentials) error
	// Timeout bounds one proof. Default (0): 10 s.
	Timeout time.Duration
	// OnProof is told how each proof ended, after a swap if there was one. Calls
	// come one at a time, with no lock held. May be nil.
	OnProof func(Proof)

	wakeOnce sync.Once
	wake     chan struct{} // tells Run to look

	mu     sync.Mutex // guards what follows
	live   *pair
	since  time.Time // live is live
	next   *pair     // waits for its proof; nil: none
	state  ProofState
	last   *tokencache.FetchError // why the last proof of next failed
	tries  int                    // of next, failed in a row
	retry  time.Time              // the next try
	tried  time.Time              // the last one ended
	hasted bool                   // Hurry has shortened a pause of next
	cancel context.CancelFunc     // of the proof under way; nil: none
}

// ProofState says how far a new pair has come.
type ProofState string

// The states. They are shown in the status.
const (
	NoNewPair  ProofState = "none"     // the live pair is the one of the source
	Proving    ProofState = "proving"  // its first proof is due or under way
	Refused    ProofState = "refused"  // the endpoint refused it; it is tried again
	Unprovable ProofState = "unproven" // the endpoint did not respond; it is tried again
)

// Proof tells how one proof ended.
type Proof struct {
	// Err is nil if the new pair is live now.
	Err *tokencache.FetchError
	// RetryIn is the time until the next one after a failure.
	RetryIn time.Duration
	// NewClient: the id is another one, not only the secret.
	NewClient bool
	// Live and New are hashes of the client ids: of the pair that is live now, and
	// of the one that was tried.
	Live, New string
}

// RotationStatus describes the rotation, without secrets. Ids are hashed.
type RotationStatus struct {
	Live    string
	Since   time.Time // when the live pair became live; zero: at the start
	State   ProofState
	New     string // empty with NoNewPair
	Tries   int    // failed proofs of the new pair in a row
	Reason  tokencache.Reason
	RetryIn time.Duration
}

// pair is one id with its secret.
type pair struct{ id, secret secret.String }

func (p *pair) Pair() (id, clientSecret secret.String) { return p.id, p.secret }

func (p *pair) equal(other *pair) bool { return p.id.Equal(other.id) && p.secret.Equal(other.secret) }

func (r *Rotation) fromSource() *pair {
	id, clientSecret := r.Source.Pair()
	return &pair{id, clientSecret}
}

// Pair returns the live pair. It implements Credentials.
func (r *Rotation) Pair() (id, clientSecret secret.String) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin()
	return r.live.Pair()
}

// begin takes the first pair for live. mu is held.
func (r *Rotation) begin() {
	if r.live == nil {
		r.live, r.state = r.fromSource(), NoNewPair
	}
}

const (
	firstRetry   = 250 * time.Millisecond // after no response
	refusedRetry = 5 * time.Second        // after a refusal
	longestRetry = 30 * time.Second
	// hasteAfter is the least time between two proofs, however urgent.
	hasteAfter = time.Second
)

// Check looks whether the source has another pair. The proof of one that has
// been replaced meanwhile ends at once.
func (r *Rotation) Check() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin()
	found := r.fromSource()
	switch {
	case found.equal(r.live):
		r.forget()
	case r.next == nil || !found.equal(r.next):
		r.forget()
		r.next, r.state = found, Proving
	default:
		return
	}
	r.poke()
}

// forget drops the pair that waits. mu is held.
func (r *Rotation) forget() {
	r.next, r.state, r.last, r.tries, r.retry, r.hasted = nil, NoNewPair, nil, 0, time.Time{}, false
	if r.cancel != nil {
		r.cancel()
	}
}

// Hurry says that the live pair was refused: it may have been revoked, so a new
// one that waits is tried at once. It does so once for each new pair; after that
// the pauses between its proofs count from their beginning.
func (r *Rotation) Hurry() {
	r.Check()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil || r.hasted || r.cancel != nil || r.tries == 0 {
		return
	}
	r.hasted, r.tries = true, 1
	if soon := r.tried.Add(hasteAfter); soon.Before(r.retry) {
		r.retry = soon
	}
	r.poke()
}

func (r *Rotation) poke() {
	r.wakeOnce.Do(func() { r.wake = make(chan struct{}, 1) })
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run proves new pairs until ctx ends.
func (r *Rotation) Run(ctx context.Context) error {
	r.wakeOnce.Do(func() { r.wake = make(chan struct{}, 1) })
	r.Check()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		for r.prove(ctx) {
		}
		r.mu.Lock()
		if r.next == nil {
			timer.Stop()
		} else {
			timer.Reset(time.Until(r.retry))
		}
		r.mu.Unlock()
	}
}

// prove makes the proof that is due and reports whether to look again at once.
func (r *Rotation) prove(ctx context.Context) (again bool) {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	r.mu.Lock()
	candidate := r.next
	if candidate == nil || time.Now().Before(r.retry) || ctx.Err() != nil {
		r.mu.Unlock()
		return false
	}
	proofCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r.cancel = cancel
	r.mu.Unlock()

	err := r.Prove(proofCtx, candidate)
	r.mu.Lock()
	r.cancel = nil
	if r.next != candidate || ctx.Err() != nil {
		// Replaced or taken back meanwhile: whatever was proven is of no use.
		r.mu.Unlock()
		return ctx.Err() == nil
	}
	done := r.settle(candidate, err)
	r.mu.Unlock()
	if r.OnProof != nil {
		r.OnProof(done)
	}
	// Only now is the rotation over: an operator who then revokes the old pair must
	// not be faster than OnProof, which deals with refusals of mints under way.
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && r.next == candidate {
		r.forget()
	}
	return false
}

// settle makes candidate live or sets the next try. mu is held.
func (r *Rotation) settle(candidate *pair, err error) Proof {
	now := time.Now()
	done := Proof{New: candidate.id.Hash(), NewClient: !candidate.id.Equal(r.live.id)}
	if err == nil {
		r.live, r.since = candidate, now
		done.Live = done.New
		return done
	}
	failed, ok := errors.AsType[*tokencache.FetchError](err)
	if !ok {
		failed = &tokencache.FetchError{Reason: tokencache.Unavailable, Err: err}
	}
	r.tries++
	pause := firstRetry
	r.state = Unprovable
	if failed.Reason == tokencache.Rejected {
		pause, r.state = refusedRetry, Refused
	}
	for range min(r.tries-1, 10) {
		pause *= 2
	}
	pause = min(pause, longestRetry)
	pause = max(pause*3/4+time.Duration(rand.Float64()*float64(pause)/4), min(failed.RetryAfter, time.Minute))
	r.last, r.tried, r.retry = failed, now, now.Add(pause)
	done.Err, done.RetryIn, done.Live = failed, pause, r.live.id.Hash()
	return done
}

// Status tells which pair is live and what became of the new one.
func (r *Rotation) Status() RotationStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin()
	s := RotationStatus{Live: r.live.id.Hash(), Since: r.since, State: r.state, Tries: r.tries}
	if r.next != nil {
		s.New = r.next.id.Hash()
		s.RetryIn = max(time.Until(r.retry), 0)
	}
	if r.last != nil {
		s.Reason = r.last.Reason
	}
	return s
}
