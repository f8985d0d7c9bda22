//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// A rolling restart as a Deployment does it, for both kinds of sidecar and for the gateway of the Helm chart: no request
// fails, and each is executed once.
func TestRollingRestartLosesNoRequest(t *testing.T) {
	t.Parallel()
	for _, kind := range []sidecarKind{native, classic, gateway} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, monitetest.Config{KeepRequests: -1})
			l := n.rollingRestart(kind, nil)
			for _, failure := range l.failures {
				t.Error(failure)
			}
			if len(l.posted) == 0 {
				t.Fatal("nothing was posted")
			}
			for nonce, times := range n.sim.Stats().Executed {
				if times != 1 || !l.posted[nonce] {
					t.Errorf("%s was executed %d times, answered: %t", nonce, times, l.posted[nonce])
				}
			}
			t.Logf("%d requests while every pod was replaced, %d failed", len(l.posted)+len(l.failures), len(l.failures))
		})
	}
}

// The same without what classic-sidecar.yaml does for it: the sidecar ends while its app still works. It shows that the
// test above sees a failure where there is one.
func TestClassicSidecarWithoutDelayLosesRequests(t *testing.T) {
	t.Parallel()
	n := newNode(t, monitetest.Config{KeepRequests: -1})
	l := n.rollingRestart(classic, env{"MONITE_SHUTDOWN_DELAY": "0s"})
	if len(l.failures) == 0 {
		t.Errorf("%d requests, and none failed: MONITE_SHUTDOWN_DELAY is of no use, or the load is too small to show it", len(l.posted))
	}
}

// A native sidecar starts first. The kubelet holds the app back until the first token is there.
func TestSidecarFirst(t *testing.T) {
	t.Parallel()
	n := newNode(t, monitetest.Config{})
	n.sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(500 * time.Millisecond), Times: 1})
	p := n.newPod()
	p.startSidecar(nil)
	before := 0
	wiretest.Eventually(t, "the startup probe", func() bool {
		status := n.probe(p.address + ":8081/startupz")
		if status == http.StatusServiceUnavailable {
			before++
		}
		return status == http.StatusOK
	})
	if before == 0 {
		t.Error("the startup probe was good before the first token")
	}
	p.startApp("")
	wiretest.Eventually(t, "the app", func() bool { return n.probe(p.address+":9000/ready") == http.StatusOK })
	if a := n.call(p, "first"); a.err != nil || a.status != http.StatusCreated {
		t.Errorf("the app's first request: %d, %v", a.status, a.err)
	}
	// The data listener is for the pod alone; the kubelet's probes are not.
	if got := n.probe(p.address + ":8080/v1/entities"); got != 0 {
		t.Errorf("the data listener answered the node: %d", got)
	}
	if got := n.probe(p.address + ":8081/readyz"); got != http.StatusOK {
		t.Errorf("the readiness probe by the pod's address = %d", got)
	}
}

// Where nothing orders the start, the app may be first. It finds nobody until the sidecar listens, and from then on its
// requests are held for the first token, not failed.
func TestAppFirst(t *testing.T) {
	t.Parallel()
	n := newNode(t, monitetest.Config{})
	n.sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(500 * time.Millisecond), Times: 1})
	p := n.newPod()
	p.startApp("")
	wiretest.Eventually(t, "the app", func() bool { return n.probe(p.address+":9000/ready") == http.StatusOK })
	if a := n.call(p, "nobody"); a.status != http.StatusBadGateway {
		t.Fatalf("without a sidecar the app answered %d, %v", a.status, a.err)
	}
	p.startSidecar(nil)
	refused := 0
	wiretest.Eventually(t, "an answer", func() bool {
		a := n.call(p, fmt.Sprint("early-", refused))
		if a.status == http.StatusBadGateway {
			refused++ // nobody listens yet
			return false
		}
		if a.status != http.StatusCreated {
			t.Fatalf("an early request was answered %d, %v, want it held until the first token", a.status, a.err)
		}
		return true
	})
	if mints := n.sim.Stats().Mints; mints != 1 {
		t.Errorf("mints = %d, want 1", mints)
	}
}

// A Job is complete when its own container is; the kubelet then stops the native sidecar.
func TestJobCompletesWithNativeSidecar(t *testing.T) {
	t.Parallel()
	n := newNode(t, monitetest.Config{})
	p := n.newPod()
	p.startSidecar(nil)
	wiretest.Eventually(t, "the startup probe", func() bool { return n.probe(p.address+":8081/startupz") == http.StatusOK })
	p.startApp("job")
	if code := p.app.exitCode(15 * time.Second); code != 0 {
		t.Errorf("exit code of the job = %d, want 0", code)
	}
	begin := time.Now()
	p.sidecar.signal(syscall.SIGTERM)
	if code := p.sidecar.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code of the sidecar = %d, want 0", code)
	}
	if got := n.sim.Stats().Executed["job"]; got != 1 {
		t.Errorf("the job's request was executed %d times, want 1", got)
	}
	t.Logf("the sidecar ended %v after the job", time.Since(begin).Round(time.Millisecond))
}

// On a cluster without native sidecars the job tells the sidecar that it is done.
func TestJobStopsItsClassicSidecar(t *testing.T) {
	t.Parallel()
	n := newNode(t, monitetest.Config{})
	p := n.newPod()
	n.sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(500 * time.Millisecond), Times: 1})
	e := p.startSidecar(env{"MONITE_QUIT_ENDPOINT": "true", "MONITE_ADMIN_ADDR": "127.0.0.1:8081"})
	if code := p.run(e, filepath.Join(binaries, "monite-proxy"), "wait", "-timeout", "15s"); code != 0 {
		t.Fatalf("monite-proxy wait = %d", code)
	}
	if mints := n.sim.Stats().Mints; mints != 1 {
		t.Errorf("after monite-proxy wait, mints = %d: it did not wait for the first token", mints)
	}
	if got := n.probe(p.address + ":8081/readyz"); got != 0 {
		t.Errorf("the listener with the quit endpoint answered another pod: %d", got)
	}
	p.startApp("job")
	if code := p.app.exitCode(15 * time.Second); code != 0 {
		t.Errorf("exit code of the job = %d, want 0", code)
	}
	if code := p.run(e, filepath.Join(binaries, "monite-proxy"), "shutdown"); code != 0 {
		t.Errorf("monite-proxy shutdown = %d", code)
	}
	if code := p.sidecar.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code of the sidecar = %d, want 0", code)
	}
}

// A node that is shut down stops all its pods at once. What is under way is answered, by whatever kind of sidecar: a
// native one is stopped after its app; the others at the same moment, here without the delay that spares them that.
func TestNodeShutdownAnswersWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	for _, kind := range []sidecarKind{native, classic, gateway} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			shutDownNode(t, kind)
		})
	}
}

func shutDownNode(t *testing.T, kind sidecarKind) {
	n := newNode(t, monitetest.Config{KeepRequests: -1, Latency: 300 * time.Millisecond})
	var pods []*pod
	for range 3 {
		pods = append(pods, n.startPod(kind, env{"MONITE_SHUTDOWN_DELAY": "0s"}))
	}
	answers := make(chan result, 64)
	sent := 0
	for _, p := range pods {
		for i := range 4 {
			nonce := fmt.Sprint(p.name, "-", i)
			sent++
			go func() { answers <- n.call(p, nonce) }()
		}
	}
	wiretest.Eventually(t, "the requests", func() bool { return n.working.Load() == int64(sent) })
	var stopping sync.WaitGroup
	for _, p := range pods {
		stopping.Go(func() { p.terminate(kind) })
	}
	for range sent {
		if a := <-answers; a.err != nil || a.status != http.StatusCreated {
			t.Errorf("under way at the shutdown: %d, %v", a.status, a.err)
		}
	}
	stopping.Wait()
	executed := n.sim.Stats().Executed
	if len(executed) != sent {
		t.Errorf("%d requests were executed, want %d", len(executed), sent)
	}
	for nonce, times := range executed {
		if times != 1 {
			t.Errorf("%s was executed %d times", nonce, times)
		}
	}
}

// A pod that ends says so to its readiness probe, and serves on for those who have not heard of it yet.
func TestPodThatEndsIsNotReadyAndServes(t *testing.T) {
	t.Parallel()
	n := newNode(t, monitetest.Config{})
	p := n.startPod(gateway, env{"MONITE_SHUTDOWN_DELAY": "3s"})
	p.sidecar.signal(syscall.SIGTERM)
	wiretest.Eventually(t, "readiness to end", func() bool { return n.probe(p.address+":8081/readyz") == http.StatusServiceUnavailable })
	if a := n.call(p, "late"); a.err != nil || a.status != http.StatusCreated {
		t.Errorf("a request after that: %d, %v", a.status, a.err)
	}
	if got := n.probe(p.address + ":8081/livez"); got != http.StatusOK {
		t.Errorf("the liveness probe = %d: the kubelet would kill it in its drain", got)
	}
	if code := p.sidecar.exitCode(15 * time.Second); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}

// sidecarKind is how the kubelet starts and stops the sidecar.
type sidecarKind int

const (
	native  sidecarKind = iota // an init container that keeps running: first up, last down
	classic                    // a container beside the app: both are stopped at the same moment
	gateway                    // alone in its pod: callers come by the network
)

func (k sidecarKind) String() string { return [...]string{"native", "classic", "gateway"}[k] }

// node is a network of its own with a simulated Monite, and pods on it. The test is its kubelet.
type node struct {
	t       *testing.T
	name    string // of its network namespace
	sim     *monitetest.Simulator
	url     string       // of the simulator
	working atomic.Int64 // requests that have reached the simulator, tokens apart
	pods    int
}

var nodes atomic.Int64

const nodeAddress = "192.0.2.1"

func newNode(t *testing.T, config monitetest.Config) *node {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		t.Skip("SKIPPED: pods stand in network namespaces, which need root and iproute2 (Debian: iproute2)")
	}
	n := &node{t: t, name: fmt.Sprintf("mp%d-%d", os.Getpid(), nodes.Add(1))}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: network namespaces cannot be made here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", n.name).Run() })
	n.ip("-n", n.name, "link", "set", "lo", "up")
	n.ip("-n", n.name, "link", "add", "br0", "type", "bridge")
	n.ip("-n", n.name, "address", "add", nodeAddress+"/24", "dev", "br0")
	n.ip("-n", n.name, "link", "set", "br0", "up")

	n.sim = monitetest.New(config)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/auth/") {
			n.working.Add(1)
		}
		n.sim.ServeHTTP(w, r)
	}))
	_ = server.Listener.Close()
	var err error
	inNamespace(t, n.name, func() { server.Listener, err = net.Listen("tcp", nodeAddress+":0") })
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(func() { closeSoon(t, server) })
	n.url = "http://" + server.Listener.Addr().String()
	return n
}

func (n *node) ip(arguments ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %s", strings.Join(arguments, " "), out)
	}
}

// get asks a pod from the node.
func (n *node) get(ctx context.Context, url string) (answer, error) {
	in, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return answer{}, err
	}
	return n.send(in)
}

// send sends a request from the node.
func (n *node) send(in *http.Request) (answer, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		inNamespace(n.t, n.name, func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, address) })
		return conn, err
	}}
	response, err := transport.RoundTrip(in)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

// probe is the kubelet's: the status, 0 without an answer. After a bad one it pauses, as
// a kubelet does: each costs a thread of its own in the namespace.
func (n *node) probe(addressAndPath string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	a, err := n.get(ctx, "http://"+addressAndPath)
	if err != nil || a.Status != http.StatusOK {
		<-time.After(25 * time.Millisecond)
	}
	return a.Status
}

type result struct {
	nonce  string
	status int // what the sidecar answered the app, 502 if the app could not reach it
	err    error
}

// call has the pod's app make one write. A gateway has no app: the caller is one.
func (n *node) call(p *pod, nonce string) result {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if p.app == nil {
		in, err := tag(ctx, "http://"+p.address+":8080", nonce)
		if err != nil {
			return result{nonce, 0, err}
		}
		in.Host = gatewayName
		in.Header.Set("X-Monite-Proxy-Token", gatewayToken)
		a, err := n.send(in)
		return result{nonce, a.Status, err}
	}
	a, err := n.get(ctx, "http://"+p.address+":9000/work?nonce="+nonce)
	return result{nonce, a.Status, err}
}

// pod is a network namespace in which an app and a sidecar share the loopback.
type pod struct {
	node          *node
	name, address string
	app, sidecar  *sidecar
}

func (n *node) newPod() *pod {
	n.t.Helper()
	n.pods++
	p := &pod{node: n, name: fmt.Sprintf("%s-%d", n.name, n.pods), address: fmt.Sprintf("192.0.2.%d", 10+n.pods)}
	end := fmt.Sprintf("pod%d", n.pods)
	n.ip("netns", "add", p.name)
	n.t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", p.name).Run() })
	n.ip("-n", n.name, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", p.name)
	n.ip("-n", n.name, "link", "set", end, "master", "br0", "up")
	n.ip("-n", p.name, "link", "set", "lo", "up")
	n.ip("-n", p.name, "address", "add", p.address+"/24", "dev", "eth0")
	n.ip("-n", p.name, "link", "set", "eth0", "up")
	return p
}

// startSidecar starts the binary with the manifests' addresses.
func (p *pod) startSidecar(more env) env {
	p.node.t.Helper()
	e := defaultEnv(p.node.url).with("MONITE_LISTEN_ADDR", "", "MONITE_ADMIN_ADDR", ":8081", "MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true")
	for name, value := range more {
		e = e.with(name, value)
	}
	p.sidecar = p.start(e, filepath.Join(binaries, "monite-proxy"))
	return e
}

// startApp starts this test binary as the app.
func (p *pod) startApp(kind string) {
	p.node.t.Helper()
	p.app = p.start(env{"E2E_POD_APP": "service" + kind}, os.Args[0])
}

func (p *pod) command(e env, program string, arguments ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", p.name, program}, arguments...)...)
	cmd.Env = e.list()
	return cmd
}

// start runs a program in the pod. "ip netns exec" becomes the program, so its process is the one to signal.
func (p *pod) start(e env, program string) *sidecar {
	p.node.t.Helper()
	return launch(p.node.t, e, p.command(e, program), nil)
}

// run runs a program in the pod to its end, as the kubelet does a hook.
func (p *pod) run(e env, program string, arguments ...string) int {
	cmd := p.command(e, program, arguments...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.node.t.Logf("%s: %v: %s", program, err, out)
	}
	return cmd.ProcessState.ExitCode()
}

// classicDelay outlives the app's own shutdown, as classic-sidecar.yaml's does.
const classicDelay = 2 * appShutdown

// startPod starts both containers as the kubelet does, and returns when the pod is ready.
func (n *node) startPod(kind sidecarKind, more env) *pod {
	t := n.t
	t.Helper()
	p := n.newPod()
	if kind == gateway {
		e := env{
			"MONITE_LISTEN_ADDR": ":8080", "MONITE_ALLOW_REMOTE": "true", "MONITE_APP_TOKEN": gatewayToken,
			"MONITE_ALLOWED_HOSTS": gatewayName, "MONITE_SHUTDOWN_DELAY": appShutdown.String(),
		}
		maps.Copy(e, more)
		p.startSidecar(e)
		wiretest.Eventually(t, "readiness", func() bool { return n.probe(p.address+":8081/readyz") == http.StatusOK })
		return p
	}
	if kind == native {
		p.startSidecar(more)
		wiretest.Eventually(t, "the startup probe", func() bool { return n.probe(p.address+":8081/startupz") == http.StatusOK })
	} else {
		e := env{"MONITE_SHUTDOWN_DELAY": classicDelay.String()}
		maps.Copy(e, more)
		if code := p.run(p.startSidecar(e), filepath.Join(binaries, "monite-proxy"), "wait", "-timeout", "15s"); code != 0 {
			t.Fatalf("the postStart hook = %d", code)
		}
	}
	p.startApp("")
	wiretest.Eventually(t, "readiness", func() bool {
		return n.probe(p.address+":9000/ready") == http.StatusOK && n.probe(p.address+":8081/readyz") == http.StatusOK
	})
	return p
}

// terminate stops both containers as the kubelet does.
func (p *pod) terminate(kind sidecarKind) {
	wait := func(s *sidecar, what string) {
		if code := s.exitCode(15 * time.Second); code != 0 {
			p.node.t.Errorf("exit code of the %s in %s = %d, want 0", what, p.name, code)
		}
	}
	if kind == gateway {
		_ = p.sidecar.cmd.Process.Signal(syscall.SIGTERM)
		wait(p.sidecar, "gateway")
		return
	}
	_ = p.app.cmd.Process.Signal(syscall.SIGTERM)
	if kind == classic {
		_ = p.sidecar.cmd.Process.Signal(syscall.SIGTERM)
	}
	wait(p.app, "app")
	if kind == native {
		_ = p.sidecar.cmd.Process.Signal(syscall.SIGTERM)
	}
	wait(p.sidecar, "sidecar")
}

// callers are those of a Service, and what they saw.
type callers struct {
	mu       sync.Mutex // guards all below
	ready    []*pod     // the Service's endpoints
	posted   map[string]bool
	failures []string
}

// rollingRestart replaces two pods one after the other while callers call.
func (n *node) rollingRestart(kind sidecarKind, more env) *callers {
	n.t.Helper()
	l := &callers{posted: map[string]bool{}, ready: []*pod{n.startPod(kind, more), n.startPod(kind, more)}}
	stop := make(chan struct{})
	var calling sync.WaitGroup
	for caller := range 4 {
		calling.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				l.mu.Lock()
				p := l.ready[rand.IntN(len(l.ready))]
				l.mu.Unlock()
				r := n.call(p, fmt.Sprint(kind, "-", caller, "-", i))
				l.mu.Lock()
				if r.err == nil && r.status == http.StatusCreated {
					l.posted[r.nonce] = true
				} else {
					l.failures = append(l.failures, fmt.Sprintf("%s at %s: %d, %v", r.nonce, p.name, r.status, r.err))
				}
				l.mu.Unlock()
			}
		})
	}
	for _, old := range slices.Clone(l.ready) {
		successor := n.startPod(kind, more)
		l.mu.Lock()
		l.ready = append(l.ready, successor)
		l.mu.Unlock()
		// The stop and the news of it go out at the same moment; the news is slower.
		time.AfterFunc(endpointLag, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.ready = slices.DeleteFunc(l.ready, func(p *pod) bool { return p == old })
		})
		old.terminate(kind)
	}
	close(stop)
	calling.Wait()
	return l
}

const (
	gatewayName  = "monite-proxy.billing"
	gatewayToken = "of-the-apps"
)

const (
	// endpointLag is how long a Service still sends callers to a pod that ends.
	endpointLag = 100 * time.Millisecond
	// appShutdown is how long an app goes on working after SIGTERM, because of that.
	appShutdown = 400 * time.Millisecond
)

// init makes this test binary the app of a pod, where it is started as that.
func init() {
	switch os.Getenv("E2E_POD_APP") {
	case "service":
		podService()
	case "servicejob":
		if status, err := work(http.DefaultClient, "job"); err != nil || status != http.StatusCreated {
			fmt.Println(status, err)
			os.Exit(1)
		}
	default:
		return
	}
	os.Exit(0)
}

// work is the app's use of Monite: a base URL, no credentials.
func work(client *http.Client, nonce string) (status int, err error) {
	in, err := tag(context.Background(), "http://localhost:8080", nonce)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(in)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// tag is one write.
func tag(ctx context.Context, origin, nonce string) (*http.Request, error) {
	in, err := http.NewRequestWithContext(ctx, "POST", origin+"/v1/tags", strings.NewReader(`{"name":"`+nonce+`"}`))
	if err != nil {
		return nil, err
	}
	in.Header.Set("Content-Type", "application/json")
	in.Header.Set("X-Monite-Entity-Id", monitetest.DemoEntityID)
	in.Header.Set("X-Sim-Nonce", nonce)
	return in, nil
}

// podService does one write for each call, and ends as a well-behaved service does.
func podService() {
	server := &http.Server{Addr: ":9000", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			return
		}
		status, err := work(http.DefaultClient, r.URL.Query().Get("nonce"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(status)
	})}
	go func() {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
		<-time.After(appShutdown)
		_ = server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Println(err)
		os.Exit(1)
	}
	// Shutdown has been called, and may still wait for answers.
	_ = server.Shutdown(context.Background())
}
