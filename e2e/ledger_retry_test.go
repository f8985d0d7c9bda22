package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// The second half of the ledger: apps that repeat. Upstream does the same as in
// the first half, and responds late, or with the statuses of trouble; apps try
// three times on a 5xx, on 408, 429 and on a lost connection, as Monite's own client
// does, with a key and without, and give up on their own before upstream responds
// or before the proxy does. Each intended write is executed at most once, and a
// response that exists reaches the app.
//
//	LEDGER_RETRIES=n  intended writes; 800 if not set
//	LEDGER_SEED=n     of a run to repeat; printed
func TestLedgerNoRepeatedWriteIsExecutedTwice(t *testing.T) {
	t.Parallel()
	r := newRetrySweep(t, int64(wiretest.Number(t, "LEDGER_RETRIES", 800)))
	r.sweep("MONITE_REPEAT_GUARD", "", "MONITE_IDEMPOTENCY_TTL", "")
	if len(r.violations) > 0 {
		t.Errorf("violations: %v", r.violations)
	}
}

// Without the guard the same apps do execute twice: the sweep can see it.
func TestLedgerWithoutTheGuardExecutesTwice(t *testing.T) {
	t.Parallel()
	r := newRetrySweep(t, min(20_000, int64(wiretest.Number(t, "LEDGER_RETRIES", 300))))
	r.sweep("MONITE_REPEAT_GUARD", "0s", "MONITE_IDEMPOTENCY_TTL", "0s")
	if r.violations["executed twice"] == 0 {
		t.Error("nothing was executed twice: the sweep has lost its point")
	}
}

// trouble is what one intended write meets.
type trouble uint8

const (
	troubleCut      trouble = iota // a cut point of the first half
	troubleStatus                  // an honest status
	troubleLateApp                 // the app gives up before upstream responds
	troubleLateUs                  // the proxy does
	troubleHalfRead                // the app goes with the response unread
	troubleNone
	troubles
)

func (k trouble) String() string {
	return [...]string{"connection cut", "upstream's status", "app gives up first", "proxy gives up first",
		"app goes with the response unread", "none"}[k]
}

const (
	// upstreamTimeout is MONITE_UPSTREAM_TIMEOUT; the deadline is up to a sixteenth late.
	upstreamTimeout = time.Second
	lateForUs       = 1250 * time.Millisecond
	lateForApp      = 500 * time.Millisecond
	appGivesUp      = 300 * time.Millisecond
	mostTries       = 3
)

type retrySweep struct {
	*ledgerSweep
	intents  int64
	address  string
	met      [troubles]atomic.Int64
	tries    atomic.Int64
	learned  atomic.Int64 // intents whose app has upstream's response in the end
	refused  atomic.Int64 // that ended with a refusal of unknown outcome
	repeated atomic.Int64 // that took more than one try
}

func newRetrySweep(t *testing.T, intents int64) *retrySweep {
	sw := newLedgerSweep(t, 48)
	sw.shapes = slices.DeleteFunc(sw.shapes, func(s shape) bool { return s.safe() || s.body == bodyHuge })
	t.Logf("LEDGER_SEED=%d LEDGER_RETRIES=%d", sw.seed, intents)
	return &retrySweep{ledgerSweep: sw, intents: intents}
}

func (sw *retrySweep) sweep(pairs ...string) {
	e := defaultEnv(sw.upstream.url()).with("MONITE_REPLAY_BODY_BYTES", fmt.Sprint(replayLimit), "MONITE_UPSTREAM_TIMEOUT", upstreamTimeout.String())
	s := start(sw.t, e.with(pairs...)).ready()
	began := time.Now()
	sw.address = strings.TrimPrefix(s.Data, "http://")
	sw.measure(s)
	var next atomic.Int64
	atOnce(sw.workers, func(id int) {
		w := &retryApp{retrySweep: sw, id: id, random: rand.New(rand.NewPCG(sw.seed, uint64(id)+1000))}
		for n := next.Add(1) - 1; n < sw.intents; n = next.Add(1) - 1 {
			w.intend(int(n))
			if n%512 == 0 {
				s.log.Shorten(256 << 10)
			}
		}
	})
	s.signal(syscall.SIGTERM)
	s.ends(0, 40*time.Second)
	s.log.Shorten(2 << 10)
	sw.settle(func(e *entry) string {
		if e.executed.Load() > 1 {
			return "executed twice"
		}
		return ""
	})
	sw.report(time.Since(began))
}

// retryApp is one app; it intends one write at a time.
type retryApp struct {
	*retrySweep
	id     int
	random *rand.Rand
	out    []byte
}

// intend has one write meet its trouble, and checks what came of it.
func (w *retryApp) intend(n int) {
	kind := w.trouble(n)
	s := w.shapes[w.random.IntN(len(w.shapes))]
	p := &plan{point: -1, framing: framing(w.random.IntN(int(framings)))}
	app := &appConn{address: w.address, buf: make([]byte, 4<<10)}
	defer app.hangUp()
	where := kind.String()
	switch kind {
	case troubleCut:
		at := w.points[(n*7919)%len(w.points)]
		s = w.shapes[at.shape]
		p.cut, p.framing, p.at, p.rst, p.close = at.cut, at.framing, int(at.at), at.rst, w.random.IntN(2) == 0
		where = at.describe(w.shapes)
	case troubleStatus:
		p.status = []int{500, 502, 503, 504, 429, 520, 524, 422}[w.random.IntN(8)]
		where += fmt.Sprint(" ", p.status)
	case troubleLateApp:
		p.delay, app.patience = lateForApp, appGivesUp
	case troubleLateUs:
		p.delay = lateForUs
	}
	w.upstream.book.open(w.id, p)
	w.met[kind].Add(1)
	w.out = s.append(w.out[:0], p.nonce)
	got, tries := w.try(app, kind)
	w.tries.Add(int64(tries))
	if tries > 1 {
		w.repeated.Add(1)
	}
	told := got.tells()
	p.entry.told = told
	switch told {
	case toldAnswer:
		w.learned.Add(1)
	case toldUnknown:
		w.refused.Add(1)
	}
	if wrong := w.wrong(p, &got, told, kind); wrong != "" {
		p.entry.reported = true
		w.violation(wrong, "%s %s body=%s key=%s: %s; %d tries, attempts %d, executed %d; told %q, status %d, body %q, %v", s.method, p.nonce,
			s.body, s.key, where, tries,
			p.entry.attempts.Load(), p.entry.executed.Load(), told, got.status, got.body, got.err)
	}
}

// trouble is drawn so that the slow ones are few.
func (w *retryApp) trouble(n int) trouble {
	switch n % 100 {
	case 0:
		return troubleLateApp
	case 1:
		return troubleLateUs
	case 2, 3, 4, 5, 6, 7, 8, 9:
		return troubleStatus
	case 10, 11, 12, 13, 14:
		return troubleHalfRead
	case 15, 16, 17, 18, 19:
		return troubleNone
	}
	return troubleCut
}

// try sends the write until it is answered, three times at most.
func (w *retryApp) try(app *appConn, kind trouble) (got appAnswer, tries int) {
	for tries = 1; ; tries++ {
		if kind == troubleLateApp && tries == mostTries {
			app.patience = 0 // in the end somebody waits, or a slow machine would decide who learns of it
		}
		if kind == troubleHalfRead && tries == 1 {
			got = app.goUnread(w.out)
		} else {
			got = app.exchange(w.out, false)
		}
		again := !got.whole || got.status >= 500 || got.status == 408 || got.status == 429
		if !again || tries == mostTries {
			return got, tries
		}
		time.Sleep(time.Duration(w.random.IntN(5)) * time.Millisecond)
	}
}

// goUnread sends, and leaves as the response begins to arrive.
func (a *appConn) goUnread(request []byte) (got appAnswer) {
	if err := a.send(request); a.conn == nil {
		return appAnswer{err: err}
	}
	_, got.err = a.conn.Read(make([]byte, 1))
	a.hangUp()
	if got.err == nil {
		got.err = os.ErrClosed
	}
	return got
}

// wrong returns the kind of a violation.
func (w *retryApp) wrong(p *plan, got *appAnswer, told told, kind trouble) string {
	executed := p.entry.executed.Load()
	cutShort := p.framing == byClose && p.cut == cutAnswer && !p.rst // which nobody can see
	switch {
	case executed > 1:
		return "executed twice"
	case executed > 0 && (told == toldNotSent || told == toldRejected):
		return "executed, and denied"
	case executed == 0 && told == toldAnswer && got.status < 300:
		return "answered, and never executed"
	case told == toldAnswer && got.status < 300 && string(got.body) != answerBody(p.nonce) &&
		!(cutShort && strings.HasPrefix(answerBody(p.nonce), string(got.body))):
		return "the body is another's"
	case told != toldAnswer && (kind == troubleLateApp || kind == troubleLateUs || kind == troubleHalfRead || kind == troubleNone):
		return "a response existed, and reached nobody"
	case told == toldNoOutcome:
		return "no outcome"
	}
	return ""
}

func (sw *retrySweep) report(took time.Duration) {
	var b strings.Builder
	row := func(name string, values ...any) { fmt.Fprintf(&b, "%-40s %s\n", name, fmt.Sprint(values...)) }
	row("seed", sw.seed)
	row("intended writes", sw.intents, ", tries ", sw.tries.Load(), ", repeated ", sw.repeated.Load())
	for kind := range troubles {
		row("met: "+kind.String(), sw.met[kind].Load())
	}
	row("executed", "never ", sw.settled.never, ", once ", sw.settled.once, ", more ", sw.settled.more)
	row("the app has upstream's response", sw.learned.Load())
	row("the app is told: unknown", sw.refused.Load())
	for _, kind := range slices.Sorted(maps.Keys(sw.violations)) {
		row("violation: "+kind, sw.violations[kind])
	}
	row("duration", took.Round(10*time.Millisecond))
	sw.t.Logf("apps that repeat:\n%s", b.String())
	for _, text := range sw.samples {
		sw.t.Log(text)
	}
}

// repeater is a client that repeats: a real one, or the pattern of one.
type repeater struct {
	name string
	// off is how often it has one POST executed without the guard, when the connection
	// breaks and when upstream responds with 502; 0: whatever it is.
	off [2]int
	run func(t *testing.T, url string)
}

// habit repeats as the client of this name does, faster.
type habit struct {
	tries int
	// again says after which status it repeats; 0 is a lost connection.
	again func(status int) bool
	// limit is that of one attempt.
	limit time.Duration
}

func statuses(all ...int) func(int) bool {
	return func(status int) bool { return slices.Contains(all, status) }
}

func fives(also ...int) func(int) bool {
	return func(status int) bool { return status >= 500 || slices.Contains(also, status) }
}

// repeaters are the patterns of clients, as their sources and documentation have
// them: any method, on these statuses (0: a lost connection), so many tries.
var repeaters = []repeater{
	{"Monite node client", [2]int{3, 3}, habit{3, fives(408, 429), 0}.run},
	{"Fern Python", [2]int{3, 3}, habit{3, fives(408, 409, 429), 0}.run},
	{".NET standard resilience handler", [2]int{4, 4}, habit{4, fives(0, 408, 429), 400 * time.Millisecond}.run},
	{"Spring Retry, any exception", [2]int{3, 3}, habit{3, func(status int) bool { return status >= 400 || status == 0 }, 0}.run},
	{"Apache HttpClient 5, 429 and 503", [2]int{1, 1}, habit{2, statuses(429, 503), 0}.run},
	{"Apache HttpClient 5, any failure", [2]int{4, 4}, habit{4, fives(0), 0}.run},
	{"a queue that delivers again", [2]int{5, 5}, habit{5, func(status int) bool { return status >= 300 || status == 0 }, 0}.run},
}

// run sends one POST until the habit is content.
func (p habit) run(t *testing.T, url string) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: p.limit}
	for try := 1; ; try++ {
		status := 0
		in, _ := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader("{}"))
		if response, err := client.Do(in); err == nil {
			status = response.StatusCode
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		if try == p.tries || !p.again(status) {
			return
		}
		time.Sleep(time.Duration(try) * 10 * time.Millisecond)
	}
}

// program runs another program, with the URL behind its arguments.
func program(dir string, args ...string) func(*testing.T, string) {
	return func(t *testing.T, url string) { run(t, dir, append(slices.Clone(args), url)...) }
}

func run(t *testing.T, dir string, args ...string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput() // that it gives up is what is tested
	t.Logf("%s: %s", strings.Join(args, " "), strings.TrimSpace(string(out)))
}

// realRepeaters are the clients themselves, where they can be had.
func realRepeaters(t *testing.T) (all []repeater) {
	if curl, err := exec.LookPath("curl"); err == nil {
		all = append(all, repeater{"curl --retry 2 --retry-all-errors", [2]int{3, 3},
			program(".", curl, "-sS", "--retry", "2", "--retry-all-errors", "--retry-delay", "1", "-X", "POST", "-d", "{}")})
	}
	if os.Getenv("E2E_RETRYING") == "" {
		t.Log("set E2E_RETRYING=1 for the clients of other languages, and those that must be fetched")
		return all
	}
	all = slices.Concat(all, pythonRepeaters(t), javaRepeaters(t))
	binary := filepath.Join(t.TempDir(), "retrying")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "retrying"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all = append(all,
		repeater{"hashicorp/go-retryablehttp", [2]int{5, 5}, program(".", binary, "retryablehttp")},
		repeater{"resty", [2]int{4, 4}, program(".", binary, "resty")})
	node, err := exec.LookPath("node")
	if err != nil {
		return all
	}
	if _, err := os.Stat("retrying/node_modules/openai"); err != nil {
		npm := exec.Command("npm", "ci", "--no-audit", "--no-fund")
		npm.Dir = "retrying"
		if out, err := npm.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	return append(all,
		repeater{"axios-retry, as told by its condition", [2]int{0, 0}, program("retrying", node, "clients.mjs", "axios-retry-5xx")},
		repeater{"axios-retry, retryable errors", [2]int{0, 0}, program("retrying", node, "clients.mjs", "axios-retry")},
		repeater{"Stainless (openai)", [2]int{1, 3}, // it is told not to, where the response is ours
			program("retrying", node, "clients.mjs", "stainless")})
}

// pythonRepeaters are told to repeat any method, as many applications do.
func pythonRepeaters(t *testing.T) (all []repeater) {
	for _, library := range []string{"urllib3", "requests"} {
		if out, err := exec.Command("/usr/bin/python3", "-c", "import "+library).CombinedOutput(); err != nil {
			t.Logf("left out: Python %s: %v %s", library, err, out)
			continue
		}
		all = append(all, repeater{"Python " + library + ", Retry(allowed_methods=None)", [2]int{4, 4},
			program(".", "/usr/bin/python3", "retrying/repeat.py", library)})
	}
	return all
}

// javaRepeaters are built with the jars of Debian's packages.
func javaRepeaters(t *testing.T) (all []repeater) {
	const jars = "/usr/share/java/"
	apache := []string{jars + "httpclient5.jar", jars + "httpcore5.jar", jars + "httpcore5-h2.jar", jars + "slf4j-api.jar"}
	okhttp := []string{jars + "okhttp.jar", jars + "okio.jar"}
	dir := t.TempDir()
	for _, c := range []struct {
		name, class string
		jars        []string
		args        [2]string // before and behind the URL
		off         [2]int
	}{
		{"HttpURLConnection", "Repeat", nil, [2]string{"urlconnection"}, [2]int{1, 1}},                      // repeats only on a connection that ends
		{"Apache HttpClient 5", "RepeatApache", apache, [2]string{"RepeatApache", "default"}, [2]int{1, 1}}, // 429, 503, and idempotent methods
		{"Apache HttpClient 5, a strategy for any method", "RepeatApache", apache, [2]string{"RepeatApache", "any"}, [2]int{4, 4}},
		{"OkHttp", "RepeatOk", okhttp, [2]string{"RepeatOk", "default"}, [2]int{1, 1}},
		{"OkHttp, an interceptor", "RepeatOk", okhttp, [2]string{"RepeatOk", "interceptor"}, [2]int{3, 3}},
	} {
		path := strings.Join(append([]string{dir}, c.jars...), ":")
		build := exec.Command("javac", "-nowarn", "-d", dir, "-cp", path, "-sourcepath", "retrying", "retrying/"+c.class+".java")
		if out, err := build.CombinedOutput(); err != nil {
			t.Logf("left out: %s: %v %s", c.name, err, out)
			continue
		}
		all = append(all, repeater{c.name, c.off, func(t *testing.T, url string) {
			run(t, ".", "java", "-XX:TieredStopAtLevel=1", "-cp", path, "Repeat", c.args[0], url, c.args[1])
		}})
	}
	return all
}

// executions is an upstream that executes every write, and then fails the first
// one of each path as the path says.
type executions struct {
	mu   sync.Mutex // guards the counts
	each map[string]int
}

func (e *executions) call(w http.ResponseWriter, in *http.Request) {
	_, _ = io.Copy(io.Discard, in.Body)
	e.mu.Lock()
	e.each[in.URL.Path]++
	e.mu.Unlock()
	switch {
	case strings.Contains(in.URL.Path, "/break"):
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	case strings.Contains(in.URL.Path, "/bad"):
		w.WriteHeader(http.StatusBadGateway)
	case strings.Contains(in.URL.Path, "/late"):
		time.Sleep(700 * time.Millisecond)
		w.WriteHeader(http.StatusCreated)
	}
}

func (e *executions) of(prefix string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for path, count := range e.each {
		if strings.HasPrefix(path, prefix) {
			n += count
		}
	}
	return n
}

// losing is a way to the sidecar on which the first response is lost, and the
// connection ends: some clients repeat that without telling their application.
func losing(t *testing.T, to string) (url string) {
	return wiretest.Listen(t, nil, func(app *wiretest.Peer) {
		proxy, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer func() { _ = proxy.Close() }()
		go func() { _, _ = io.Copy(proxy, app.Reader); _ = proxy.Close() }()
		if app.Index == 1 {
			_, _ = proxy.Read(make([]byte, 1))
			return
		}
		_, _ = io.Copy(app, proxy)
	}).URL.String()
}

// Clients that repeat, real ones and patterns: one POST is executed once.
//
//	E2E_RETRYING=1  those of Python and Java, and those that must be fetched, as well
func TestClientsThatRepeatExecuteOnce(t *testing.T) {
	t.Parallel()
	all := slices.Concat(repeaters, realRepeaters(t))
	table := map[string]map[string][4]int{}
	troubles := [4]string{"break", "bad", "late", "lost"}
	few := make(chan struct{}, 4) // many Java processes at once would all be too slow
	for guard, pairs := range map[string][]string{"on": {}, "off": {"MONITE_REPEAT_GUARD", "0s"}} {
		upstream := &executions{each: map[string]int{}}
		s := start(t, defaultEnv(script(t, nil, upstream.call)).with(pairs...)).ready()
		path := func(client, trouble int) string { return fmt.Sprintf("/v1/payables/%d/%s", client, troubles[trouble]) }
		var running sync.WaitGroup
		for i, client := range all {
			for k, trouble := range troubles {
				to := s.Data
				if trouble == "lost" {
					to = losing(t, strings.TrimPrefix(s.Data, "http://"))
				}
				running.Go(func() {
					few <- struct{}{}
					client.run(t, to+path(i, k))
					<-few
				})
			}
		}
		running.Wait()
		for i, client := range all {
			if table[client.name] == nil {
				table[client.name] = map[string][4]int{}
			}
			var times [4]int
			for k := range times {
				times[k] = upstream.of(path(i, k))
			}
			table[client.name][guard] = times
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%-48s %-32s %s\n", "executions of one POST", "guard on: broke, 502, late, lost", "off")
	for _, client := range all {
		on, off := table[client.name]["on"], table[client.name]["off"]
		fmt.Fprintf(&text, "%-48s %-32s %v\n", client.name, fmt.Sprint(on), off)
		if on != [4]int{1, 1, 1, 1} {
			t.Errorf("%s: executions with the guard are %v", client.name, on)
		}
		for k, want := range client.off {
			if want > 0 && off[k] != want {
				t.Errorf("%s, %s: %d executions without the guard, want %d: is it still that client?", client.name, troubles[k], off[k], want)
			}
		}
	}
	t.Logf("\n%s", text.String())
}
