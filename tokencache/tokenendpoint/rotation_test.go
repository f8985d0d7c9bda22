package tokenendpoint

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// bench is a Rotation with files that a test writes and an endpoint that it
// instructs.
type bench struct {
	t *testing.T
	r *Rotation

	mu      sync.Mutex // guards what follows
	file    string     // "id secret"
	answers map[string]error
	takes   time.Duration // one proof
	asked   []string      // "id secret", in the order of the proofs
	at      []time.Time
	proofs  []Proof
}

func newBench(t *testing.T, file string) *bench {
	b := &bench{t: t, file: file, answers: map[string]error{}, takes: 100 * time.Millisecond}
	b.r = &Rotation{Source: b, Prove: b.prove, OnProof: func(p Proof) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.proofs = append(b.proofs, p)
	}}
	b.wantLive(file) // the first pair needs no proof
	ended := make(chan error, 1)
	go func() { ended <- b.r.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
	return b
}

func (b *bench) Pair() (id, clientSecret secret.String) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first, second, _ := strings.Cut(b.file, " ")
	return secret.New(first), secret.New(second)
}

func (b *bench) prove(ctx context.Context, candidate Credentials) error {
	id, clientSecret := candidate.Pair()
	text := id.Reveal() + " " + clientSecret.Reveal()
	b.mu.Lock()
	b.asked, b.at = append(b.asked, text), append(b.at, time.Now())
	takes := b.takes
	b.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return &tokencache.FetchError{Reason: tokencache.TimedOut, Err: ctx.Err()}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.answers[text]
}

// write changes the file, as the watcher reports it.
func (b *bench) write(file string) {
	b.mu.Lock()
	b.file = file
	b.mu.Unlock()
	b.r.Check()
}

func (b *bench) answer(file string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[file] = err
}

func (b *bench) times() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.at)
}

func (b *bench) questions() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

func (b *bench) told() []Proof {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.proofs)
}

func (b *bench) wantLive(file string) {
	b.t.Helper()
	id, clientSecret := b.r.Pair()
	if got := id.Reveal() + " " + clientSecret.Reveal(); got != file {
		b.t.Errorf("live is %q, want %q", got, file)
	}
}

func (b *bench) wantState(state ProofState, tries int) RotationStatus {
	b.t.Helper()
	s := b.r.Status()
	if s.State != state || s.Tries != tries {
		b.t.Errorf("status = %+v, want %s after %d tries", s, state, tries)
	}
	return s
}

var (
	errRefused = &tokencache.FetchError{Reason: tokencache.Rejected, Status: 401}
	errNoReply = &tokencache.FetchError{Reason: tokencache.Unavailable, Status: 503}
)

func TestNewPairIsLiveOnlyAfterItsProof(t *testing.T) {
	for _, file := range []string{"a 2", "b 1", "b 2"} { // the secret, the id, both
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "a 1")
			synctest.Wait()
			b.write(file)
			time.Sleep(99 * time.Millisecond)
			b.wantLive("a 1")
			b.wantState(Proving, 0)
			time.Sleep(2 * time.Millisecond)
			b.wantLive(file)
			if s := b.wantState(NoNewPair, 0); s.New != "" || s.Since.IsZero() || s.Live == "" || strings.Contains(s.Live, file[:1]+" ") {
				t.Errorf("status = %+v", s)
			}
			newClient := file[0] == 'b'
			if len(b.told()) != 1 || b.told()[0].Err != nil || b.told()[0].NewClient != newClient || b.told()[0].Live != b.r.Status().Live {
				t.Errorf("proofs = %+v, want one, with a new client %v", b.told(), newClient)
			}
		})
	}
}

func TestRefusedPairLeavesTheOldOneLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a 1")
		b.answer("a 2", errRefused)
		b.write("a 2")
		time.Sleep(10 * time.Minute)
		b.wantLive("a 1")
		for i := range len(b.times()) - 1 {
			if pause := b.times()[i+1].Sub(b.times()[i]); pause < 3*time.Second || pause > 31*time.Second {
				t.Errorf("proof %d after %v, want 5 s to 30 s", i+1, pause)
			}
		}
		if s := b.wantState(Refused, len(b.times())); s.Reason != tokencache.Rejected || s.New == "" || len(b.times()) < 15 {
			t.Errorf("%d proofs, status = %+v", len(b.times()), s)
		}
		// The endpoint knows it by now: the next try finds out, and no one has to
		// touch the file.
		b.answer("a 2", nil)
		time.Sleep(31 * time.Second)
		b.wantLive("a 2")
	})
}

func TestNextChangeOfTheFileIsProvenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a 1")
		b.answer("b 1", errRefused) // the id is written, the secret is not yet
		b.write("b 1")
		time.Sleep(time.Minute)
		b.wantLive("a 1")
		b.write("b 2")
		time.Sleep(101 * time.Millisecond)
		b.wantLive("b 2")
	})
}

func TestPairTakenBackIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a 1")
		b.write("b 2")
		time.Sleep(50 * time.Millisecond) // in the middle of its proof
		b.write("a 1")
		time.Sleep(time.Hour)
		b.wantLive("a 1")
		b.wantState(NoNewPair, 0)
		if len(b.questions()) != 1 || len(b.told()) != 0 {
			t.Errorf("asked %v, told of %+v, want one proof whose end nobody hears of", b.questions(), b.told())
		}
	})
}

// The proof of a pair that hangs does not hold up that of its successor.
func TestReplacedPairIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a 1")
		b.mu.Lock()
		b.takes = time.Hour
		b.mu.Unlock()
		b.write("a 2")
		time.Sleep(time.Second)
		b.mu.Lock()
		b.takes = 100 * time.Millisecond
		b.mu.Unlock()
		b.write("a 3")
		time.Sleep(101 * time.Millisecond)
		b.wantLive("a 3")
	})
}

func TestProofWithoutAnAnswerIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a 1")
		b.answer("a 2", errNoReply)
		b.write("a 2")
		time.Sleep(time.Second)
		b.wantLive("a 1")
		if s := b.r.Status(); s.State != Unprovable || s.Tries < 2 || s.Reason != tokencache.Unavailable {
			t.Errorf("status = %+v, want unproven after some tries", s)
		}
		b.answer("a 2", nil)
		time.Sleep(2 * time.Second)
		b.wantLive("a 2")
		if got := b.told()[0].Err; got != errNoReply || b.told()[0].RetryIn > 250*time.Millisecond {
			t.Errorf("first proof = %+v", b.told()[0])
		}
	})
}

func TestProofObeysRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a 1")
		b.answer("a 2", &tokencache.FetchError{Reason: tokencache.Throttled, Status: 429, RetryAfter: 20 * time.Second})
		b.write("a 2")
		time.Sleep(3 * time.Minute)
		for i := range len(b.times()) - 1 {
			if pause := b.times()[i+1].Sub(b.times()[i]); pause < 20*time.Second {
				t.Errorf("proof %d after %v, want 20 s at least", i+1, pause)
			}
		}
		if len(b.times()) < 5 {
			t.Errorf("%d proofs in 3 minutes", len(b.times()))
		}
	})
}

func TestProofThatHangsTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a 1")
		b.mu.Lock()
		b.takes = time.Hour
		b.mu.Unlock()
		b.write("a 2")
		time.Sleep(10*time.Second + time.Millisecond)
		b.wantLive("a 1")
		if s := b.wantState(Unprovable, 1); s.Reason != tokencache.TimedOut {
			t.Errorf("reason = %s, want timeout", s.Reason)
		}
	})
}

// The old pair was revoked while the new one waited for its next try.
func TestRefusalOfTheLivePairHurriesTheProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a 1")
		b.answer("a 2", errRefused)
		b.write("a 2")
		time.Sleep(2 * time.Minute) // the pauses are long by now
		b.answer("a 2", nil)
		b.r.Hurry()
		time.Sleep(1200 * time.Millisecond)
		b.wantLive("a 2")
	})
}

// A thousand users are refused again and again: that is no reason to ask
// without a pause.
func TestHurryDoesNotHammer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a 1")
		b.answer("a 2", errRefused)
		b.write("a 2")
		for range 6000 {
			b.r.Hurry()
			time.Sleep(10 * time.Millisecond)
		}
		if len(b.times()) < 4 || len(b.times()) > 7 {
			t.Errorf("%d proofs in a minute, want one at once, one in haste, and the usual ones", len(b.times()))
		}
		b.wantLive("a 1")
	})
}

// Hurry without a new pair looks at the source, and starts nothing.
func TestHurryWithoutANewPairProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a 1")
		b.r.Hurry()
		time.Sleep(time.Minute)
		if len(b.questions()) != 0 {
			t.Errorf("asked %v", b.questions())
		}
	})
}

// Whatever is written in whatever order, with refusals in between: a pair is
// live only if it was proven, it was never a mixture, and in the end it is the
// last good one.
func TestAnyOrderOfChangesEndsWithTheLastGoodPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "id-0 secret-0")
		good := []string{"id-0 secret-0"}
		for n := 1; n <= 1000; n++ {
			file := fmt.Sprintf("id-%d secret-%d", n/3, n)
			switch n % 5 {
			case 1:
				b.answer(file, errRefused)
			case 2:
				b.answer(file, errNoReply)
			default:
				good = append(good, file)
			}
			b.write(file)
			time.Sleep(time.Duration(n*37%250) * time.Millisecond)
			id, clientSecret := b.r.Pair()
			if live := id.Reveal() + " " + clientSecret.Reveal(); !slices.Contains(good, live) {
				t.Fatalf("live is %q, which was never proven", live)
			}
		}
		time.Sleep(time.Second)
		b.wantLive(good[len(good)-1])
	})
}
