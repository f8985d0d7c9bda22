package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
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
	t.Parallel()
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
	fmt.Printf("%d cells failed, %d are left out of this setting; "+
		"outcomes checked against the ledger: %d not_sent or rejected, %d unknown, %d written and passed; %.0f s in all\n",
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

// path gives each write a target of its own: two equal ones are one and its repeat,
// which the sidecar does not send after a fault.
func (shape faultShape) path(nonce string) string {
	if shape.method == http.MethodGet {
		return faultPath
	}
	return faultPath + "?nonce=" + nonce
}

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

// unfollowed turns off what follows a write that was sent whole to its end, after its
// app has gone or has had its 504: such a cell counts connections.
var unfollowed = []string{"MONITE_REPEAT_GUARD", "0s", "MONITE_IDEMPOTENCY_TTL", "0s"}

// followed wants so many writes to be read although their app does not wait any more.
func (c *faultCell) followed(n int) {
	c.Helper()
	c.s.waitMetric("monite_proxy_followed_writes", float64(n))
}

// faultCell is one case: a sidecar, an upstream that misbehaves, and what was
// sent.
type faultCell struct {
	*testing.T
	tally  *faultTally
	s      *sidecar
	ledger faultLedger
	base   faultUsage

	mu   sync.Mutex // guards sent
	sent []faultResult
}

// figure is something measured, to be printed below the table.
func (c *faultCell) figure(format string, values ...any) {
	c.tally.mu.Lock()
	defer c.tally.mu.Unlock()
	c.tally.figures = append(c.tally.figures, strings.TrimPrefix(c.Name(), "TestFaults/")+": "+fmt.Sprintf(format, values...))
}

// faultLedger says how often a request arrived at upstream, and was executed.
type faultLedger interface {
	count(nonce string) (arrived, executed int)
	countsReads() bool
}

// simLedger is that of the simulator, which counts changes of state only.
type simLedger struct{ *monitetest.Simulator }

func (l simLedger) count(nonce string) (arrived, executed int) {
	stats := l.Stats()
	return stats.Arrived[nonce], stats.Executed[nonce]
}
func (simLedger) countsReads() bool { return false }

// simulate starts a simulator as upstream.
func (c *faultCell) simulate(config monitetest.Config) (*monitetest.Simulator, string) {
	sim, url := simulate(c.T, config)
	c.ledger = simLedger{sim}
	return sim, url
}

// start starts the sidecar, with a token.
func (c *faultCell) start(e env) *sidecar {
	c.Helper()
	c.s = start(c.T, e).ready()
	return c.s
}

func newNonce() string { return fmt.Sprint("fault-", faultCounter.Add(1)) }

// faultResult is what the app saw of one request.
type faultResult struct {
	shape  faultShape
	nonce  string
	status int // 0: no answer
	header http.Header
	body   string
	err    error // the answer broke off, or there was none
	took   time.Duration
}

func (r faultResult) byProxy() bool {
	return r.err == nil && strings.HasPrefix(r.header.Get("Proxy-Status"), "monite-proxy")
}

// outcome is what the app knows: what the proxy says of it, unknown if nothing
// whole came, nothing if upstream answered.
func (r faultResult) outcome() string {
	switch {
	case r.err != nil:
		return "unknown"
	case r.byProxy():
		return r.header.Get("X-Monite-Proxy-Outcome")
	}
	return ""
}

// String is the result in the words of the tables: "200", "abort", or
// "502 proxy_upstream_broken unknown".
func (r faultResult) String() string {
	switch {
	case r.err != nil:
		return "abort"
	case !r.byProxy():
		return strconv.Itoa(r.status)
	}
	var envelope struct {
		Error struct {
			Type string `json:"type"`
		} `json:"error"`
	}
	_ = json.Unmarshal([]byte(r.body), &envelope)
	return fmt.Sprintf("%d %s %s", r.status, strings.TrimPrefix(envelope.Error.Type, "proxy_"), r.outcome())
}

// do sends one request, on a connection of its own.
func (c *faultCell) do(shape faultShape, pairs ...string) faultResult {
	c.Helper()
	return c.doTo(c.s, shape, pairs...)
}

func (c *faultCell) doTo(s *sidecar, shape faultShape, pairs ...string) faultResult {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r := faultResult{shape: shape, nonce: newNonce()}
	pairs = append(pairs, "X-Sim-Nonce", r.nonce, "X-Monite-Entity-Id", monitetest.DemoEntityID)
	switch {
	case shape.body != "":
		pairs = append(pairs, "Content-Type", "application/json")
	case shape.method == http.MethodPost:
		// It makes the standard transport repeat a request without a body.
		pairs = append(pairs, "Idempotency-Key", r.nonce)
	}
	began := time.Now()
	a, err := request(ctx, shape.method, s.Data+shape.path(r.nonce), shape.body, pairs...)
	r.took, r.status, r.header, r.body, r.err = time.Since(began), a.Status, a.Header, a.Body, err
	c.remember(r)
	return r
}

func (c *faultCell) remember(r faultResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, r)
}

// want compares a result with the words of a table, alternatives with " | "
// between them, and what reached upstream of it.
func (c *faultCell) want(r faultResult, said string, maxAttempts, minExecuted, maxExecuted int) {
	c.Helper()
	if !slices.Contains(strings.Split(said, " | "), r.String()) {
		c.Errorf("%s = %s (after %v, %v, %.200q), want %s", r.shape.name, r, r.took.Round(time.Millisecond), r.err, r.body, said)
	}
	arrived, executed := c.ledger.count(r.nonce)
	if arrived > maxAttempts {
		c.Errorf("%s arrived %d times, want at most %d", r.shape.name, arrived, maxAttempts)
	}
	if r.shape.method == http.MethodGet && !c.ledger.countsReads() {
		return
	}
	if executed < minExecuted || executed > maxExecuted {
		c.Errorf("%s (%s) was executed %d times, want %d to %d", r.shape.name, r, executed, minExecuted, maxExecuted)
	}
}

// served wants a good answer, carried out once. What the simulator answers to a
// POST is 201.
func (c *faultCell) served(r faultResult) {
	c.Helper()
	c.want(r, "200 | 201", 2, 1, 1)
}

// recovers wants the next requests to be served again, the first at latest
// after the limit.
func (c *faultCell) recovers(limit time.Duration, shapes ...faultShape) time.Duration {
	c.Helper()
	began := time.Now()
	for {
		r := c.do(shapes[0])
		if r.status/100 == 2 && r.err == nil {
			break
		}
		if time.Since(began) > limit {
			c.Errorf("not served %v after the end of the fault: %s %.200q", time.Since(began).Round(time.Millisecond), r, r.body)
			return time.Since(began)
		}
		time.Sleep(10 * time.Millisecond)
	}
	took := time.Since(began)
	if took > limit {
		c.Errorf("served again %v after the end of the fault, want at most %v", took.Round(time.Millisecond), limit)
	}
	for _, shape := range shapes[1:] {
		c.served(c.do(shape))
	}
	return took
}

// checkLedger compares every outcome with what upstream did: the rules of money.
func (c *faultCell) checkLedger() {
	c.Helper()
	if c.ledger == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.sent {
		arrived, executed := c.ledger.count(r.nonce)
		read := r.shape.method == http.MethodGet
		if executed > 1 && !read {
			c.Errorf("I1: %s (%s) was executed %d times", r.shape.name, r, executed)
		}
		if read && !c.ledger.countsReads() {
			continue
		}
		switch outcome := r.outcome(); outcome {
		case "not_sent", "rejected":
			if executed > 0 {
				c.Errorf("I1: %s says %s and was executed %d times (arrived %d times)", r.shape.name, r, executed, arrived)
			}
		case "unknown":
		case "":
			if r.status/100 == 2 && executed != 1 && !read {
				c.Errorf("I1: %s was answered %s and was executed %d times", r.shape.name, r, executed)
			}
		default:
			c.Errorf("%s has the outcome %q: %s", r.shape.name, outcome, r)
		}
	}
}

// faultUsage is what a process holds.
type faultUsage struct {
	fds, threads, goroutines int
	rss                      int64
}

func (s *sidecar) usage() (u faultUsage) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	u.fds = len(entries)
	if err != nil { // the sidecar lets nobody but root look
		u.fds = int(s.metricValue("process_open_fds"))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Skip("no /proc: what the process holds cannot be seen")
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		number, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "Threads":
			u.threads = int(number)
		case "VmRSS":
			u.rss = number << 10
		}
	}
	return u
}

// goroutines as the metrics say.
func (s *sidecar) goroutines() int { return int(s.metricValue("go_goroutines")) }

// takeBaseline notes what the sidecar holds now, after a first exchange.
func (c *faultCell) takeBaseline() {
	c.Helper()
	c.s.metricValue("go_goroutines")
	c.base = c.s.usage()
	c.base.goroutines = c.s.goroutines()
}

// backToBaseline wants descriptors and goroutines to be given back in time.
// Threads are never given back by the Go runtime: they must not grow much.
func (c *faultCell) backToBaseline(limit time.Duration) {
	c.Helper()
	began := time.Now()
	for {
		now := c.s.usage()
		now.goroutines = c.s.goroutines()
		if now.fds <= c.base.fds+3 && now.goroutines <= c.base.goroutines+6 {
			if now.threads > c.base.threads+16 {
				c.Errorf("%d threads, %d before", now.threads, c.base.threads)
			}
			return
		}
		if time.Since(began) > limit {
			c.Errorf("%v later: %d descriptors and %d goroutines, before the fault %d and %d", limit, now.fds, now.goroutines, c.base.fds, c.base.goroutines)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// flat wants the resident memory to have grown by no more than the limit.
func (c *faultCell) flat(limit int64) {
	c.Helper()
	if grown := c.s.usage().rss - c.base.rss; grown > limit {
		c.Errorf("resident memory grew by %.1f MiB, want at most %.1f", mib(grown), mib(limit))
	}
}

// names of a table in order, so that cells run in the same order each time.
func sortedNames[V any](table map[string]V) []string {
	return slices.Sorted(maps.Keys(table))
}

// startUnder starts the sidecar by another command, which becomes it by exec,
// and waits for its listeners.
func startUnder(t *testing.T, e env, wrapper ...string) *sidecar {
	t.Helper()
	s := launch(t, e, exec.Command(wrapper[0], append(wrapper[1:], filepath.Join(binaries, "monite-proxy"))...), nil)
	s.waitFor("both listeners", s.addresses)
	return s
}

// ownPort returns an address that nobody listens on. Its host is one that no
// other test uses, and no outgoing connection: a free port of 127.0.0.1 may be
// taken a moment later.
func ownPort(t *testing.T) string {
	t.Helper()
	n := faultCounter.Add(1)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.77.%d.%d:0", n/200%200+1, n%200+1))
	if err != nil {
		t.Skip("this system has no loopback addresses beside 127.0.0.1: ", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
