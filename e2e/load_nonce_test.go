package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// Many apps on keep-alive connections, a small pool of upstream connections
// that they share, and one request in a hundred hostile, from either side. Each
// answer is the one to its own request: upstream echoes the nonce in a field and
// in the body, and what the proxy says itself carries the request's id.
// Over TLS connections are made ahead too, and upstream closes some before their
// first request.
//
//	NONCE_REQUESTS=n  2,000 if not set
//	LEDGER_SEED=n     of a run to repeat; printed
func TestNonceAnswersAreNeverCrossed(t *testing.T) {
	t.Parallel()
	t.Run("plain", func(t *testing.T) {
		upstream := listenRaw(t, newBook(nonceWorkers))
		testNonces(t, upstream, defaultEnv(upstream.url()))
	})
	t.Run("over TLS", func(t *testing.T) {
		upstream, ca := listenRaw(t, newBook(nonceWorkers)), newCA(t)
		testNonces(t, upstream, defaultEnv(upstream.behindTLS(ca)).with("MONITE_CA_FILE", ca.file))
	})
}

const nonceWorkers = 48

func testNonces(t *testing.T, upstream *rawUpstream, env env) {
	t.Helper()
	run := &nonceRun{
		t: t, target: int64(wiretest.Number(t, "NONCE_REQUESTS", 2000)), seed: uint64(wiretest.Number(t, "LEDGER_SEED", int(time.Now().UnixNano()))),
		shapes: allShapes(), hostile: map[string]int{},
	}
	t.Logf("LEDGER_SEED=%d NONCE_REQUESTS=%d", run.seed, run.target)
	run.s = start(t, env).ready()
	began := time.Now()
	atOnce(nonceWorkers, func(id int) {
		w := &nonceWorker{
			nonceRun: run, id: id, upstream: upstream, app: dialApp(run.s),
			random: rand.New(rand.NewPCG(run.seed, uint64(id))),
		}
		defer w.app.hangUp()
		w.run()
	})
	took := time.Since(began)
	run.s.log.Shorten(2 << 10)
	run.print(upstream, took)
	if n, complaints := run.crossed.Load(), upstream.complained(); n > 0 || len(complaints) > 0 {
		t.Errorf("crossed answers = %d, want 0; upstream complains %v", n, complaints)
	}
	if good, bad := run.good.Load(), run.unlucky.Load(); bad > good/50 || good < run.target*9/10 {
		t.Errorf("good answers = %d, good requests that failed beside hostile ones = %d: too many", good, bad)
	}
}

type nonceRun struct {
	t      *testing.T
	s      *sidecar
	seed   uint64
	target int64
	shapes []shape

	started, good, unlucky, crossed, answers atomic.Int64

	mu      sync.Mutex // guards hostile
	hostile map[string]int
}

func (r *nonceRun) print(u *rawUpstream, took time.Duration) {
	var b strings.Builder
	row := func(name string, values ...any) { fmt.Fprintf(&b, "%-34s %s\n", name, fmt.Sprint(values...)) }
	hostile := 0
	for _, n := range r.hostile {
		hostile += n
	}
	row("seed", r.seed)
	row("requests", r.started.Load())
	row("answers checked", r.answers.Load())
	row("good, answered by upstream", r.good.Load())
	row("good, failed beside hostile ones", r.unlucky.Load())
	row("hostile", hostile, " ", r.hostile)
	row("upstream connections", u.opened.Load())
	row("crossed answers", r.crossed.Load())
	row("duration", took.Round(10*time.Millisecond), ", ", int64(float64(r.started.Load())/took.Seconds()), " requests/s")
	r.t.Logf("nonces:\n%s", b.String())
}

type nonceWorker struct {
	*nonceRun
	id       int
	upstream *rawUpstream
	app      *appConn
	random   *rand.Rand
	out      []byte
}

func (w *nonceWorker) run() {
	for n := w.started.Add(1); n <= w.target; n = w.started.Add(1) {
		if w.random.IntN(100) == 0 {
			w.attack()
		} else {
			w.ask(w.plan())
		}
		if n%512 == 0 {
			w.s.log.Shorten(256 << 10)
		}
	}
	w.started.Add(-1)
}

func (w *nonceWorker) plan() *plan {
	p := &plan{point: -1, framing: framing(w.random.IntN(int(byClose)))}
	if w.random.IntN(4) == 0 {
		p.split = 1 + w.random.IntN(150)
	}
	return p
}

// shape is any but the huge one, which would be all that the run does.
func (w *nonceWorker) shape() shape {
	for {
		if s := w.shapes[w.random.IntN(len(w.shapes))]; s.body != bodyHuge {
			return s
		}
	}
}

// ask sends a good request.
func (w *nonceWorker) ask(p *plan) {
	s := w.shape()
	p.safe = s.safe()
	w.upstream.book.open(w.id, p)
	w.out = s.append(w.out[:0], p.nonce)
	got := w.app.exchange(w.out, s.method == "HEAD")
	w.check(&got, p.nonce, s.method == "HEAD")
	faulty := p.cut != noCut || p.stray
	switch {
	case faulty:
	case got.tells() == toldAnswer:
		w.good.Add(1)
	default:
		w.unlucky.Add(1)
	}
}

// check compares what came with what was asked.
func (w *nonceWorker) check(got *appAnswer, nonce string, isHead bool) {
	if !got.started {
		return
	}
	w.answers.Add(1)
	want := answerBody(nonce)
	if isHead {
		want = ""
	}
	ours := got.byProxy || got.status == 0
	if got.id != "" && got.id != nonce || !ours &&
		(got.nonce != nonce || !strings.HasPrefix(want, string(got.body)) || got.whole && string(got.body) != want) {
		if w.crossed.Add(1) <= 5 {
			w.t.Errorf("crossed: asked with %s, got %+v, body %q", nonce, *got, got.body)
		}
	}
}

// attack does something hostile, mostly on a connection that has served before
// and next to requests of others.
func (w *nonceWorker) attack() {
	attacks := map[string]func(){
		"malformed head": w.malformedHead, "aborted body": w.abortedBody, "early close": w.earlyClose,
		"oversized": w.oversized, "pipelined garbage": w.pipelinedGarbage,
		"cut answer": w.cutAnswer, "cut request": w.cutRequest, "stray answer": w.strayAnswer,
	}
	name := slices.Sorted(maps.Keys(attacks))[w.random.IntN(len(attacks))]
	attacks[name]()
	w.mu.Lock()
	w.hostile[name]++
	w.mu.Unlock()
}

func (w *nonceWorker) cutAnswer() {
	p := w.plan()
	text, _, _ := answerTo(&plan{nonce: strayNonce, framing: p.framing}, false)
	p.cut, p.at, p.rst = cutAnswer, w.random.IntN(len(text)), w.random.IntN(2) == 0
	w.ask(p)
}

func (w *nonceWorker) cutRequest() {
	p := w.plan()
	p.cut, p.at, p.rst, p.again = cutRequest, w.random.IntN(250), w.random.IntN(2) == 0, againKind(w.random.IntN(3))
	w.ask(p)
}

func (w *nonceWorker) strayAnswer() {
	p := w.plan()
	p.stray = true
	w.ask(p)
}

func (w *nonceWorker) open() (nonce string) { return w.upstream.book.open(w.id, w.plan()).nonce }

// malformedHead: none of these may pass, or take the next request for its body.
func (w *nonceWorker) malformedHead() {
	heads := []string{
		"POST  %s HTTP/1.1\r\nHost: localhost\r\n",
		"POST %s HTTP/9.9\r\nHost: localhost\r\n",
		"P@ST %s HTTP/1.1\r\nHost: localhost\r\n",
		"POST %s HTTP/1.1\r\nHost: localhost\r\nHost: elsewhere\r\n",
		"POST %s HTTP/1.1\r\nHost : localhost\r\n",
		"POST %s HTTP/1.1\r\nHost: localhost\r\nA\x00b: c\r\n",
		"POST %s HTTP/1.1\r\nHost: localhost\r\n: c\r\n",
		"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n",
		"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\nContent-Length: 13\r\n",
		"POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n",
		"POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, chunked\r\n",
	}
	nonce := w.open()
	text := fmt.Sprintf(heads[w.random.IntN(len(heads))], ledgerPath+nonce) + "X-Request-Id: " + nonce + "\r\n\r\n"
	w.lastWords(text+string(w.shape().append(nil, w.open())), halfClose)
}

func (w *nonceWorker) abortedBody() {
	s := []shape{{"POST", bodySmall, keyNone}, {"PUT", bodyBig, keyNone}, {"PATCH", bodyChunked, keyNone}}[w.random.IntN(3)]
	nonce := w.open()
	text := string(s.append(nil, nonce))
	if whole, ok := strings.CutSuffix(text, "0\r\n\r\n"); ok && w.random.IntN(2) == 0 {
		text = whole + "zz\r\n" // a chunk without a size
	} else {
		_, body, _ := strings.Cut(text, "\r\n\r\n")
		text = text[:len(text)-1-w.random.IntN(len(body))]
	}
	w.lastWords(text, goodbye(w.random.IntN(2)), nonce)
}

func (w *nonceWorker) earlyClose() { w.lastWords(string(w.shape().append(nil, w.open())), leave) }

func (w *nonceWorker) oversized() {
	nonce := w.open()
	head := "POST " + ledgerPath + nonce + " HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: " + nonce + "\r\n"
	switch w.random.IntN(4) {
	case 0:
		head += "X-Long: " + strings.Repeat("x", 100<<10) + "\r\n"
	case 1:
		head += "X-Long: " + strings.Repeat("x", 300<<10) + "\r\n"
	case 2:
		head += "Content-Length: 99999999999\r\n"
	default:
		head = strings.Replace(head, " HTTP", "?"+strings.Repeat("x", 20<<10)+" HTTP", 1)
	}
	w.lastWords(head+"\r\n"+string(w.shape().append(nil, w.open())), halfClose)
}

// pipelinedGarbage follows one or two good requests in the same write.
func (w *nonceWorker) pipelinedGarbage() {
	var text []byte
	var nonces []string
	for range 1 + w.random.IntN(2) {
		nonces = append(nonces, w.open())
		text = shape{"POST", []bodySize{bodyNone, bodySmall, bodyBig, bodyChunked}[w.random.IntN(4)], keyNone}.append(text, nonces[len(nonces)-1])
	}
	garbage := []string{"\x16\x03\x01\x02\x00", "GET / HTTP/1.1\r\nHost", "0\r\n\r\n", "HTTP/1.1 200 OK\r\nX-Ledger-Nonce: " + strayNonce + "\r\n\r\n"}
	w.lastWords(string(text)+garbage[w.random.IntN(len(garbage))], listenFirst, nonces...)
}

// goodbye is what an app does after its last words.
type goodbye int

const (
	leave       goodbye = iota // without reading, by FIN or by RST
	halfClose                  // read to the end
	listenFirst                // the same, but half-close after the answers to nonces
)

// lastWords writes to the connection for the last time. It reads all answers:
// those that can be of upstream belong to the nonces, in their order.
func (w *nonceWorker) lastWords(text string, then goodbye, nonces ...string) {
	defer w.app.hangUp()
	_ = w.app.send([]byte(text))
	conn, ok := w.app.conn.(*net.TCPConn)
	if !ok {
		return
	}
	if then == leave {
		if w.random.IntN(2) == 0 {
			_ = conn.SetLinger(0)
		}
		return
	}
	for {
		if then == halfClose || len(nonces) == 0 {
			_ = conn.CloseWrite()
		}
		got := w.app.receive(false)
		switch {
		case len(nonces) > 0 && got.started:
			w.check(&got, nonces[0], false)
			nonces = nonces[1:]
		case got.nonce != "":
			w.crossed.Add(1)
			w.t.Errorf("an answer to nothing: %+v", got)
		}
		if !got.whole {
			return
		}
	}
}
