package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// soak is a run of random requests under random faults. SOAK sets its length
// (2s by default), SOAK_SEED repeats one.
type soak struct {
	t         *testing.T
	sim       *monitetest.Simulator
	s         *sidecar
	transport *http.Transport
	until     time.Time

	requests, faults atomic.Int64
	nonces           atomic.Int64

	mu       sync.Mutex        // guards the following
	said     map[string]string // nonce -> what the app was told
	kinds    map[string]int
	problems []string
	samples  []soakSample
}

type soakSample struct {
	at       time.Duration
	usage    faultUsage
	requests int64
}

// I5: every response has begun by then; of a body that stalls the app waits for no more.
const soakDeadline = 10 * time.Second

var errSoakDeadline = fmt.Errorf("no head within %v", soakDeadline)

func TestSoak(t *testing.T) {
	t.Parallel()
	length := 2 * time.Second
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(wiretest.Number(t, "SOAK_SEED", int(time.Now().UnixNano())))
	t.Logf("SOAK=%v SOAK_SEED=%d", length, seed)
	sim, url := simulate(t, monitetest.Config{TokenLifetime: 4 * time.Second, StreamInterval: time.Millisecond, KeepRequests: 10})
	k := &soak{
		t: t, sim: sim, said: map[string]string{}, kinds: map[string]int{}, until: time.Now().Add(length),
		s: start(t, defaultEnv(url).with(
			"MONITE_UPSTREAM_TIMEOUT", "500ms", "MONITE_TOKEN_TIMEOUT", "400ms", "MONITE_HOLD_TIMEOUT", "700ms",
			"MONITE_REFRESH_BEFORE", "2s", "MONITE_REPLAY_BODY_BYTES", "4096", "MONITE_MAX_IDENTITIES", "4")).ready(),
		transport: &http.Transport{MaxIdleConnsPerHost: 32},
	}
	var all sync.WaitGroup
	const workers = 12
	for worker := range workers {
		all.Go(func() { k.work(rand.New(rand.NewPCG(seed, uint64(worker)))) })
	}
	all.Go(func() { k.trouble(rand.New(rand.NewPCG(seed, 1<<32))) })
	all.Go(func() { k.sample(length) })
	k.await(&all, length+4*soakDeadline)
	k.recover()
	k.judge(length)
}

// await fails with the sidecar's stacks if something does not end.
func (k *soak) await(all *sync.WaitGroup, limit time.Duration) {
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(limit):
		k.s.signal(syscall.SIGCONT)
		k.s.signal(syscall.SIGQUIT)
		<-k.s.ended
		k.t.Fatalf("I5: something has not ended after %v; the sidecar's stacks:\n%s", limit, k.s.log)
	}
}

// work sends random requests, about 20 a second.
func (k *soak) work(random *rand.Rand) {
	for time.Now().Before(k.until) {
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		k.requests.Add(1)
		switch random.IntN(12) {
		case 0, 1, 2:
			k.read("GET", "/v1/payables?limit=5")
		case 3:
			k.read("HEAD", "/v1/receivables")
		case 4:
			k.read("GET", "/v1/entity_users/me", "X-Monite-Entity-User-Id", soakUsers[random.IntN(len(soakUsers))])
		case 5, 6, 7:
			k.write(random, "POST", "/v1/counterparts", soakCounterpart)
		case 8:
			k.write(random, "POST", "/v1/tags", fmt.Sprintf(`{"name":"soak %d"}`, random.Uint64()))
		case 9: // longer than the replay limit
			k.write(random, "POST", "/v1/payables", `{"base64_encoded_file":"`+strings.Repeat("x", 6000)+`"}`)
		case 10:
			k.hostile(random)
		case 11:
			k.leave(random)
		}
	}
}

var soakUsers = []string{
	monitetest.DemoEntityUserID, monitetest.DemoViewerUserID, monitetest.DemoStudioUserID, monitetest.DemoAccountantUserID,
	monitetest.DemoLogisticsUserID, monitetest.DemoLogisticsViewerUserID,
}

const soakCounterpart = `{"type":"organization","organization":{"legal_name":"Soak S.p.A.","is_customer":true,"is_vendor":true,` +
	`"address":{"city":"Bologna","country":"IT","line1":"Via Roma 1","postal_code":"40121"}}}`

func (k *soak) read(method, path string, pairs ...string) {
	if len(pairs) == 0 {
		pairs = []string{"X-Monite-Entity-Id", monitetest.DemoEntityID}
	}
	a, err := k.send(context.Background(), method, path, nil, pairs...)
	k.note("read", a, err)
}

// write sends one write with a nonce of its own and remembers what was said.
func (k *soak) write(random *rand.Rand, method, path, text string) {
	nonce := "soak-" + strconv.FormatInt(k.nonces.Add(1), 10)
	var body io.Reader = strings.NewReader(text)
	if random.IntN(3) == 0 {
		body = io.MultiReader(body) // hides its length: chunked
	}
	ctx := context.Background()
	if random.IntN(10) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(300))*time.Millisecond)
		defer cancel()
	}
	a, err := k.send(ctx, method, path, body, "X-Monite-Entity-Id", monitetest.DemoEntityID,
		"Content-Type", "application/json", "X-Sim-Nonce", nonce, "Idempotency-Key", nonce)
	k.note("write", a, err)
	k.mu.Lock()
	k.said[nonce] = soakTold(a, err)
	k.mu.Unlock()
}

// soakTold is what an app can conclude from what it got.
func soakTold(a answer, err error) string {
	switch {
	case err != nil:
		return "unknown"
	case strings.HasPrefix(a.Header.Get("Proxy-Status"), "monite-proxy"):
		return a.Header.Get("X-Monite-Proxy-Outcome")
	case a.Status/100 == 2:
		return "done"
	default:
		return "upstream " + strconv.Itoa(a.Status) // injected answers may follow an execution
	}
}

func (k *soak) send(ctx context.Context, method, path string, body io.Reader, pairs ...string) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, soakDeadline, errSoakDeadline)
	defer cancel()
	a, err := exchange(k.transport, newRequest(ctx, method, k.s.Data+path, body, pairs...))
	if err != nil && errors.Is(context.Cause(ctx), errSoakDeadline) {
		err = errSoakDeadline
	}
	return a, err
}

func (k *soak) note(what string, a answer, err error) {
	kind := what + ": " + soakTold(a, err)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kinds[kind]++
	if errors.Is(err, errSoakDeadline) && a.Status == 0 {
		k.problems = append(k.problems, "I5: "+err.Error())
	}
	if strings.Contains(a.Body, monitetest.DemoClientSecret) {
		k.problems = append(k.problems, "I3: the secret is in an answer")
	}
}

// hostile sends what no app should, on a connection of its own.
func (k *soak) hostile(random *rand.Rand) {
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(k.s.Data, "http://"), 5*time.Second)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	const host = "Host: localhost\r\n"
	heads := []string{
		"GET /v1/../auth/token HTTP/1.1\r\n" + host + "\r\n",
		"POST /v1/payables HTTP/1.1\r\n" + host + "Content-Length: 50\r\n\r\nshort",
		"POST /v1/payables HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /v1/payables HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"GET /v1/payables HTTP/1.1\r\n" + host + "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
		"GET /v1/payables HTTP/1.1\r\n" + host + "X-Monite-Entity-Id: nonsense\r\n\r\n",
		"GARBAGE\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host,
	}
	_, _ = io.WriteString(conn, heads[random.IntN(len(heads))])
	if random.IntN(2) == 0 {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	if a, err := readAnswer(conn); err == nil {
		k.note("hostile", a, nil)
	}
}

// leave starts a streamed answer and goes away in the middle.
func (k *soak) leave(random *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(50))*time.Millisecond)
	defer cancel()
	_, _ = k.send(ctx, "POST", "/v1/ai/conversations/"+monitetest.DemoConversationID+"/messages", strings.NewReader(`{"message":"hello"}`),
		"X-Monite-Entity-Id", monitetest.DemoEntityID, "Content-Type", "application/json")
}

// trouble injects a fault now and then; up to three work at once.
func (k *soak) trouble(random *rand.Rand) {
	before := []monitetest.Effect{monitetest.EffectFIN, monitetest.EffectRST, monitetest.EffectHang, monitetest.EffectHTML, monitetest.EffectDelay}
	after := []monitetest.Effect{
		monitetest.EffectFIN, monitetest.EffectRST, monitetest.EffectHang, monitetest.EffectTruncate, monitetest.EffectTruncateRST,
		monitetest.EffectBrokenChunk, monitetest.EffectStall, monitetest.EffectGzip, monitetest.EffectDelay,
	}
	token := []monitetest.Fault{
		{Status: 503}, {Status: 500, Times: 3}, {Status: 429, Header: map[string]string{"Retry-After": "1"}, Times: 1}, {Status: 401, Times: 1},
		{Effect: monitetest.EffectHang, Times: 2}, {Effect: monitetest.EffectRST, Times: 2}, {Effect: monitetest.EffectTokenCRLF, Times: 1},
		{Effect: monitetest.EffectTokenDuplicateKeys, Times: 1}, {Effect: monitetest.EffectHTML, Times: 2}, {Effect: monitetest.EffectEndless, Times: 1},
		{Effect: monitetest.EffectTokenExpiresIn, Value: "0", Times: 2}, {Effect: monitetest.EffectTokenExpiresIn, Value: "-1", Times: 2},
	}
	for time.Now().Before(k.until) {
		time.Sleep(time.Duration(50+random.IntN(250)) * time.Millisecond)
		k.faults.Add(1)
		times := 1 + random.IntN(4)
		delay := monitetest.Duration(time.Duration(1+random.IntN(700)) * time.Millisecond)
		switch random.IntN(9) {
		case 0, 1:
			k.sim.Inject(monitetest.Fault{Path: "/v1/", Effect: before[random.IntN(len(before))], Delay: delay, Times: times})
		case 2, 3, 4:
			k.sim.Inject(monitetest.Fault{Path: "/v1/", After: true, Effect: after[random.IntN(len(after))], Delay: delay, Times: times})
		case 5:
			k.sim.Inject(monitetest.Fault{Path: "/v1/", Status: []int{429, 500, 502, 503}[random.IntN(4)], Times: times})
		case 6:
			fault := token[random.IntN(len(token))]
			fault.Path = "token"
			k.sim.Inject(fault)
		case 7:
			if random.IntN(2) == 0 {
				k.sim.RevokeAll()
			} else {
				k.sim.ExpireAll()
			}
		case 8:
			k.freeze(time.Duration(random.IntN(300)) * time.Millisecond)
		}
		if random.IntN(6) == 0 {
			k.sim.ClearFaults()
		}
	}
	k.sim.ClearFaults()
}

// freeze stands for a suspended machine.
func (k *soak) freeze(pause time.Duration) {
	k.s.signal(syscall.SIGSTOP)
	time.Sleep(pause)
	k.s.signal(syscall.SIGCONT)
}

func (k *soak) sample(length time.Duration) {
	begin := time.Now()
	every := max(length/60, 500*time.Millisecond)
	for time.Now().Before(k.until) {
		time.Sleep(every)
		u := k.s.usage()
		u.goroutines = k.s.goroutines()
		k.mu.Lock()
		k.samples = append(k.samples, soakSample{time.Since(begin), u, k.requests.Load()})
		k.mu.Unlock()
	}
}

// recover waits until a call is answered again: nothing may stay broken.
func (k *soak) recover() {
	k.sim.ClearFaults()
	wiretest.Eventually(k.t, "recovery after the last fault", func() bool {
		a, err := k.send(context.Background(), "GET", "/v1/entities", nil)
		return err == nil && a.Status == http.StatusOK
	})
}

// judge compares what apps were told with what was executed.
func (k *soak) judge(length time.Duration) {
	executed := k.sim.Stats().Executed
	k.mu.Lock()
	defer k.mu.Unlock()
	for nonce, said := range k.said {
		n := executed[nonce]
		switch {
		case n > 1:
			k.problems = append(k.problems, fmt.Sprintf("I1: %s was executed %d times (said: %s)", nonce, n, said))
		case n > 0 && (said == "not_sent" || said == "rejected"):
			k.problems = append(k.problems, fmt.Sprintf("%s was executed, and called %s", nonce, said))
		case n == 0 && said == "done":
			// A 200 of the injected HTML page is upstream's answer, not an execution.
			k.kinds["write: 200 without execution (injected page)"]++
		}
	}
	if log := k.s.log.String(); strings.Contains(log, monitetest.DemoClientSecret) || strings.Contains(log, "panic") {
		k.problems = append(k.problems, "I3: a secret, or a panic, is in the log")
	}
	k.report(length)
	for i, problem := range k.problems {
		if i < 20 {
			k.t.Error(problem)
		}
	}
}

func (k *soak) report(length time.Duration) {
	var out strings.Builder
	fmt.Fprintf(&out, "\nsoak of %v: %d requests, %d writes with a nonce, %d faults, %d violations\n",
		length, k.requests.Load(), len(k.said), k.faults.Load(), len(k.problems))
	for _, kind := range sortedNames(k.kinds) {
		fmt.Fprintf(&out, "  %-48s %d\n", kind, k.kinds[kind])
	}
	fmt.Fprintf(&out, "  %8s %10s %8s %10s %8s\n", "time", "requests", "RSS MiB", "goroutines", "files")
	for i, s := range k.samples {
		if len(k.samples) > 12 && i%(len(k.samples)/12) != 0 {
			continue
		}
		fmt.Fprintf(&out, "  %8s %10d %8.1f %10d %8d\n", s.at.Round(time.Second), s.requests, mib(s.usage.rss), s.usage.goroutines, s.usage.fds)
	}
	rss, goroutines, files := k.slope(func(u faultUsage) float64 { return mib(u.rss) }),
		k.slope(func(u faultUsage) float64 { return float64(u.goroutines) }), k.slope(func(u faultUsage) float64 { return float64(u.fds) })
	fmt.Fprintf(&out, "  slope of the second half, per hour: %+.2f MiB, %+.1f goroutines, %+.1f files\n", rss, goroutines, files)
	k.t.Log(out.String())
}

// slope is by least squares over the second half, per hour.
func (k *soak) slope(value func(faultUsage) float64) float64 {
	half := k.samples[len(k.samples)/2:]
	var n, sx, sy, sxx, sxy float64
	for _, s := range half {
		x, y := s.at.Hours(), value(s.usage)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if below := n*sxx - sx*sx; below > 0 {
		return (n*sxy - sx*sy) / below
	}
	return 0
}
