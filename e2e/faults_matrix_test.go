package e2e

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faultRows is the fault matrix: each row is one kind of trouble, each cell one
// case of it, met by one shape of request.
var faultRows = []faultRow{
	{"F01", "token endpoint down, token cached", faultsTokenDownCached},
	{"F02", "token endpoint down, nothing cached", faultsTokenDownCold},
	{"F03", "crowd at cold start and at expiry", faultsCrowd},
	{"F04", "many identities expire together", faultsManyIdentities},
	{"F05", "token 5xx and 429 with Retry-After", faultsTokenRetryAfter},
	{"F06", "token 400, 401, 403, 422", faultsTokenRefused},
	{"F07", "token slow, hangs, breaks", faultsTokenConnection},
	{"F08", "token answer is garbage", faultsTokenGarbage},
	{"F09", "odd lifetimes", faultsTokenLifetime},
	{"F10", "upstream refuses the token once", faultsRejectedOnce},
	{"F11", "401 for ever", faultsRejectedForever},
	{"F12", "token revoked in mid-life", faultsRevoked},
	{"F13", "upstream refuses, DNS and TLS fail", faultsUnreachable},
	{"F14", "upstream accepts, then hangs", faultsHang},
	{"F15", "RST and FIN in every phase", faultsBroken},
	{"F16", "HTTP/2 where HTTP/1.1 is spoken", faultsHTTP2},
	{"F17", "429 and 503 of upstream", faultsPassed},
	{"F18", "odd answers", faultsOddAnswers},
	{"F19", "cut, packed, slow and large answers", faultsBodies},
	{"F20", "cut points: the ledger sweep (TestLedger)", nil},
	{"F21", "app goes away", faultsAppGone},
	{"F22", "slow and odd apps", faultsSlowApps},
	{"F23", "idle connections, few descriptors", faultsConnections},
	{"F24", "clock and suspend", faultsSuspend},
	{"F25", "configuration", faultsConfiguration},
	{"F26", "SIGTERM in every phase", faultsSIGTERM},
	{"F27", "SIGKILL, SIGSTOP, SIGPIPE, SIGHUP", faultsSignals},
	{"F28", "secret files", faultsSecretFiles},
	{"F29", "partitions and bad links", faultsNetwork},
	{"F30", "shared cache: not built", nil},
	{"F31", "nobody reads the log", faultsLog},
	{"F32", "little CPU, little memory", faultsSmall},
	{"F33", "upstream moves", faultsMove},
	{"F34", "two sidecars, one secret", faultsTwoSidecars},
	{"F35", "faults at random: the soak (TestSoak)", nil},
}

// The settings: FAULTS=1 runs all cells but those that wait for a minute or move
// gigabytes, FAULTS_FULL=1 all, neither a selection that takes seconds.
var (
	faultsFull = os.Getenv("FAULTS_FULL") != ""
	faultsAll  = faultsFull || os.Getenv("FAULTS") != ""
)

// faultWhen is the least setting in which a cell runs.
type faultWhen int

const (
	inShort faultWhen = iota
	inUsual
	inFull
)

func (w faultWhen) runs() bool { return w == inShort || w == inUsual && faultsAll || faultsFull }

type faultRow struct {
	id, title string
	cells     func(r *faultRun)
}

// faultTally counts the cells of one row.
type faultTally struct {
	mu                               sync.Mutex // guards all below
	cells, passed, skipped, leftOut  int
	seconds                          float64 // of all cells, which run side by side
	figures                          []string
	checked, notSent, unknown, wrote int // requests whose outcome was checked
}

// faultRun adds the cells of one row.
type faultRun struct {
	t     *testing.T
	tally *faultTally
}

func TestFaults(t *testing.T) {
	tallies := map[string]*faultTally{}
	began := time.Now()
	t.Cleanup(func() { printFaults(tallies, time.Since(began)) })
	for _, row := range faultRows {
		tallies[row.id] = &faultTally{}
		if row.cells == nil {
			continue
		}
		t.Run(row.id, func(t *testing.T) {
			t.Parallel() // the cells of all rows share what -parallel allows
			row.cells(&faultRun{t, tallies[row.id]})
		})
	}
}

func printFaults(tallies map[string]*faultTally, took time.Duration) {
	var total faultTally
	fmt.Printf("%-4s %-44s %6s %7s %7s %8s %9s\n", "row", "fault", "cells", "passed", "skipped", "requests", "seconds")
	for _, row := range faultRows {
		n := tallies[row.id]
		if n == nil {
			continue // left out by -run
		}
		fmt.Printf("%-4s %-44s %6d %7d %7d %8d %9.1f\n", row.id, row.title, n.cells, n.passed, n.skipped, n.checked, n.seconds)
		total.cells += n.cells
		total.passed += n.passed
		total.skipped += n.skipped
		total.leftOut += n.leftOut
		total.checked += n.checked
		total.notSent += n.notSent
		total.unknown += n.unknown
		total.wrote += n.wrote
		total.seconds += n.seconds
	}
	fmt.Printf("%-4s %-44s %6d %7d %7d %8d %9.1f\n", "", "total", total.cells, total.passed, total.skipped, total.checked, total.seconds)
	fmt.Printf("%d cells failed, %d are left out of this setting; outcomes checked against the ledger: %d not_sent or rejected, %d unknown, %d written and passed; %.0f s in all\n",
		total.cells-total.passed-total.skipped, total.leftOut, total.notSent, total.unknown, total.wrote, took.Seconds())
	for _, row := range faultRows {
		if n := tallies[row.id]; n != nil {
			slices.Sort(n.figures)
			for _, figure := range n.figures {
				fmt.Println(figure)
			}
		}
	}
}

// cell adds one.
func (r *faultRun) cell(when faultWhen, name string, do func(c *faultCell)) {
	if !when.runs() {
		r.tally.mu.Lock()
		r.tally.leftOut++
		r.tally.mu.Unlock()
		return
	}
	r.t.Run(name, func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		c := &faultCell{T: t, tally: r.tally}
		t.Cleanup(func() {
			n := r.tally
			n.mu.Lock()
			defer n.mu.Unlock()
			n.cells++
			n.seconds += time.Since(began).Seconds()
			n.checked += len(c.sent)
			switch {
			case t.Skipped():
				n.skipped++
			case !t.Failed():
				n.passed++
			}
			for _, one := range c.sent {
				switch {
				case one.outcome() == "not_sent", one.outcome() == "rejected":
					n.notSent++
				case one.outcome() == "unknown":
					n.unknown++
				case one.status/100 == 2 && one.shape.method != http.MethodGet:
					n.wrote++
				}
			}
		})
		do(c)
		c.checkLedger()
	})
}

// faultPath is listed by GET, and its POST takes any body or none, as often as
// it comes.
const faultPath = "/v1/ai/conversations"

// faultShape is a shape of request.
type faultShape struct{ name, method, body string }

// The shapes: what may be repeated, what must not be although the standard
// transport would, what can be replayed, and what cannot.
var (
	shapeGET     = faultShape{"GET", http.MethodGet, ""}
	shapePOST    = faultShape{"POST", http.MethodPost, ""}
	shapeBody    = faultShape{"POST_body", http.MethodPost, `{"name":"tag"}`}
	shapeStream  = faultShape{"POST_stream", http.MethodPost, `{"name":"` + strings.Repeat("x", 70_000) + `"}`}
	shapesShort  = []faultShape{shapeGET, shapePOST, shapeBody}
	shapesOfAll  = append(slices.Clone(shapesShort), shapeStream)
	faultCounter atomic.Int64
)

// each adds a cell per shape. In the short setting one shape is enough.
func (r *faultRun) each(when faultWhen, name string, shapes []faultShape, do func(c *faultCell, shape faultShape)) {
	for _, shape := range shapes {
		at := when
		if shape.name != shapePOST.name {
			at = max(at, inUsual)
		}
		r.cell(at, name+"/"+shape.name, func(c *faultCell) { do(c, shape) })
	}
}
