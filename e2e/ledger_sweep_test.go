package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// The cut-point sweep: upstream cuts its connection at every byte of the request
// and of the answer, by FIN and by RST, on fresh and on used connections, while
// other requests do the same. No write is ever executed twice, and what the app
// is told is true.
//
// One thing cannot be seen on plaintext: an answer that ends with the connection
// and is cut by FIN looks like its end. There only RST counts.
//
//	LEDGER_WRITES=n             faulted writes; 1,000 if not set
//	LEDGER_SEED=n               of a run to repeat; printed
//	LEDGER_EXPECT_VIOLATIONS=1  for a proxy that is broken on purpose: pass only
//	                            if a write was executed twice
func TestLedgerNoWriteIsExecutedTwice(t *testing.T) {
	t.Parallel()
	sweep := newLedgerSweep(t, 48)
	s := start(t, defaultEnv(sweep.upstream.url()).with("MONITE_REPLAY_BODY_BYTES", strconv.Itoa(replayLimit))).ready()
	began := time.Now()
	sweep.measure(s)
	sweep.run(s)
	s.signal(syscall.SIGTERM)
	s.exitCode(40 * time.Second)
	s.log.Shorten(2 << 10) // what is printed if the test fails
	sweep.settle(contradiction)
	sweep.print(time.Since(began))
	sweep.verdict()
}

type ledgerSweep struct {
	t        *testing.T
	seed     uint64
	target   int64 // faulted writes
	workers  int
	upstream *rawUpstream

	shapes []shape
	points []cutPoint
	first  int             // so many of them are first
	hit    []atomic.Uint32 // bit 0: fresh, bit 1: used

	requests, writes, faultedWrites atomic.Int64
	told                            [2][tolds]atomic.Int64 // writes, safe ones

	mu         sync.Mutex // guards the following
	violations map[string]int
	samples    []string
	settled    settled
}

// settled is the ledger at the end.
type settled struct{ never, once, more, safeNever, safeOnce, safeTwice int }

func newLedgerSweep(t *testing.T, workers int) *ledgerSweep {
	sw := &ledgerSweep{
		t: t, workers: workers, shapes: allShapes(), violations: map[string]int{},
		seed: uint64(wiretest.Number(t, "LEDGER_SEED", int(time.Now().UnixNano()))), target: int64(wiretest.Number(t, "LEDGER_WRITES", 1000)),
	}
	t.Logf("LEDGER_SEED=%d LEDGER_WRITES=%d", sw.seed, sw.target)
	sw.upstream = listenRaw(t, newBook(workers))
	sw.upstream.onCut = func(p *plan, reused bool) {
		bit := uint32(1)
		if reused {
			bit = 2
		}
		sw.hit[p.point].Or(bit)
	}
	return sw
}

// measure sends one good request of each shape, to learn how long they are on
// the wire, and makes the list of points.
func (sw *ledgerSweep) measure(s *sidecar) {
	sizes := make([]int, len(sw.shapes))
	w := &ledgerWorker{ledgerSweep: sw, app: dialApp(s)}
	defer w.app.hangUp()
	for i, shape := range sw.shapes {
		p := w.send(shape, &plan{point: -1})
		if sizes[i] = int(p.size.Load()); sizes[i] == 0 {
			sw.t.Fatalf("a good request was not executed: %+v", shape)
		}
	}
	first, rest := allPoints(sw.shapes, sizes, rand.New(rand.NewPCG(sw.seed, 0)))
	sw.first = len(first)
	sw.points = append(first, rest...)
	sw.hit = make([]atomic.Uint32, len(sw.points))
}

// step is the nth thing to do. The points come in blocks, each on used
// connections, then on fresh ones: the pool holds what the last requests left in it.
func (sw *ledgerSweep) step(n int64) (point int, used bool) {
	n %= 2 * int64(len(sw.points))
	if first := int64(sw.first); n < 2*first {
		return int(n % first), n < first
	}
	const block = 1000
	n -= 2 * int64(sw.first)
	start := n / (2 * block) * block
	size := min(block, int64(len(sw.points)-sw.first)-start)
	n -= 2 * start
	return sw.first + int(start+n%size), n < size
}

func (sw *ledgerSweep) run(s *sidecar) {
	var next atomic.Int64
	bound := 4*sw.target + 10_000 // if hardly any fault reaches a write, something is broken
	atOnce(sw.workers, func(id int) {
		w := &ledgerWorker{ledgerSweep: sw, id: id, app: dialApp(s), random: rand.New(rand.NewPCG(sw.seed, uint64(id)+1))}
		defer w.app.hangUp()
		for sw.faultedWrites.Load() < sw.target {
			n := next.Add(1) - 1
			if n > bound {
				return
			}
			point, used := sw.step(n)
			if used {
				w.send(sw.shapes[w.random.IntN(len(sw.shapes))], w.good())
			}
			w.strike(point)
			if n%512 == 0 {
				s.log.Shorten(256 << 10)
			}
		}
	})
}

func (sw *ledgerSweep) violation(kind, format string, args ...any) {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	sw.violations[kind]++
	if sw.violations[kind] <= 5 {
		sw.samples = append(sw.samples, kind+": "+fmt.Sprintf(format, args...))
	}
}

// settle looks at the ledger once more, when nothing can come any more: the app
// may have been answered before the second execution. wrong names a violation.
func (sw *ledgerSweep) settle(wrong func(*entry) string) {
	sw.upstream.book.each(func(nonce string, e *entry) {
		n := e.executed.Load()
		at := &sw.settled
		switch {
		case e.safe && n == 0:
			at.safeNever++
		case e.safe && n == 1:
			at.safeOnce++
		case e.safe:
			at.safeTwice++
		case n == 0:
			at.never++
		case n == 1:
			at.once++
		default:
			at.more++
		}
		if kind := wrong(e); kind != "" && !e.reported {
			sw.violation(kind+" after the app was told", "%s: told %q, attempts %d, executed %d", nonce, e.told, e.attempts.Load(), n)
		}
	})
	for _, text := range sw.upstream.complained() {
		sw.violation("upstream complains", "%s", text)
	}
}

// contradiction holds the ledger against what the app was told.
func contradiction(e *entry) string {
	attempts, executed := e.attempts.Load(), e.executed.Load()
	switch {
	case !e.safe && executed > 1:
		return "executed twice"
	case !e.safe && attempts > 1:
		return "sent twice"
	case attempts > 2:
		return "sent a third time"
	case executed > 0 && (e.told == toldNotSent || e.told == toldRejected):
		return "executed, and denied"
	case attempts > 0 && e.told == toldNotSent:
		return "sent, and denied"
	case executed == 0 && e.told == toldAnswer:
		return "answered, and never executed"
	}
	return ""
}

func (sw *ledgerSweep) verdict() {
	for _, text := range sw.samples {
		sw.t.Log(text)
	}
	twice := sw.violations["executed twice"]
	switch expected := os.Getenv("LEDGER_EXPECT_VIOLATIONS") != ""; {
	case expected && twice == 0:
		sw.t.Error("this proxy is meant to be broken, and the sweep has not found it")
	case !expected && len(sw.violations) > 0:
		sw.t.Errorf("violations: %v", sw.violations)
	}
	if sw.faultedWrites.Load() < sw.target {
		sw.t.Errorf("faulted writes = %d, want %d: the test has lost its point", sw.faultedWrites.Load(), sw.target)
	}
}

func (sw *ledgerSweep) print(took time.Duration) {
	fresh, used := 0, 0
	for i := range sw.hit {
		fresh += int(sw.hit[i].Load() & 1)
		used += int(sw.hit[i].Load() >> 1)
	}
	total := 0
	for _, n := range sw.violations {
		total += n
	}
	var b strings.Builder
	row := func(name string, values ...any) { fmt.Fprintf(&b, "%-32s %s\n", name, fmt.Sprint(values...)) }
	row("seed", sw.seed)
	row("points there are", 2*len(sw.points))
	row("points cut", fresh+used, " (fresh connection ", fresh, ", used ", used, ")")
	row("requests", sw.requests.Load())
	row("writes", sw.writes.Load(), ", faulted ", sw.faultedWrites.Load())
	row("writes executed", "never ", sw.settled.never, ", once ", sw.settled.once, ", more ", sw.settled.more)
	row("GET and HEAD executed", "never ", sw.settled.safeNever, ", once ", sw.settled.safeOnce, ", twice ", sw.settled.safeTwice)
	for kind := range tolds {
		row("told "+kind.String(), sw.told[0][kind].Load(), " writes, ", sw.told[1][kind].Load(), " GET and HEAD")
	}
	row("visible aborts", sw.told[0][toldCutHead].Load()+sw.told[0][toldCutBody].Load()+sw.told[1][toldCutHead].Load()+sw.told[1][toldCutBody].Load())
	row("connections reset at once", sw.upstream.shut.Load(), " of ", sw.upstream.opened.Load())
	row("violations", total)
	for _, kind := range slices.Sorted(maps.Keys(sw.violations)) {
		row("  "+kind, sw.violations[kind])
	}
	row("duration", took.Round(10*time.Millisecond))
	sw.t.Logf("the ledger:\n%s", b.String())
}
