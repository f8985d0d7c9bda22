//go:build linux

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
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
			l := n.rollingRestart(kind)
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

// Without what classic-sidecar.yaml does for it the sidecar ends while its app still works. It shows that the callers of the
// test above see a failure where there is one.
func TestClassicSidecarWithoutDelayLosesRequests(t *testing.T) {
	t.Parallel()
	n := newNode(t, monitetest.Config{KeepRequests: -1})
	p := n.startPod(classic, env{"MONITE_SHUTDOWN_DELAY": "0s"})
	p.sidecar.signal(syscall.SIGTERM)
	p.sidecar.ends(0, 15*time.Second)
	l := &callers{posted: map[string]bool{}}
	l.call(p, "late")
	if len(l.failures) != 1 {
		t.Error("a request of an app without its sidecar has not failed: MONITE_SHUTDOWN_DELAY is of no use")
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
		status := p.probe(":8081/startupz")
		if status == http.StatusServiceUnavailable {
			before++
		}
		return status == http.StatusOK
	})
	if before == 0 {
		t.Error("the startup probe was good before the first token")
	}
	p.startApp()
	if a := n.call(p, "first"); a.err != nil || a.status != http.StatusCreated {
		t.Errorf("the app's first request: %d, %v", a.status, a.err)
	}
	// The data listener is for the pod alone; the kubelet's probes are not.
	p.wantProbe(":8080/v1/entities", 0)
	p.wantProbe(":8081/readyz", http.StatusOK)
}

// Where nothing orders the start, the app may be first. It finds nobody until the sidecar listens, and from then on its
// requests are held for the first token, not failed.
func TestAppFirst(t *testing.T) {
	t.Parallel()
	n := newNode(t, monitetest.Config{})
	n.sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(500 * time.Millisecond), Times: 1})
	p := n.newPod()
	p.startApp()
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

// On a cluster without native sidecars the job tells the sidecar that it is done.
func TestJobStopsItsClassicSidecar(t *testing.T) {
	t.Parallel()
	n := newNode(t, monitetest.Config{})
	p := n.newPod()
	n.sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(500 * time.Millisecond), Times: 1})
	e := p.startSidecar(env{"MONITE_QUIT_ENDPOINT": "true", "MONITE_ADMIN_ADDR": "127.0.0.1:8081"})
	p.run(e, "wait", "-timeout", "15s")
	if mints := n.sim.Stats().Mints; mints != 1 {
		t.Errorf("after monite-proxy wait, mints = %d: it did not wait for the first token", mints)
	}
	p.wantProbe(":8081/readyz", 0) // the quit endpoint is for the pod alone
	p.runJob()
	p.run(e, "shutdown")
	p.sidecar.ends(0, 5*time.Second)
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
	t    *testing.T
	name string // of its network namespace
	sim  *monitetest.Simulator
	url  string // of the simulator
	pods int
}

var nodes atomic.Int64

const nodeAddress = "192.0.2.1"

func newNode(t *testing.T, config monitetest.Config) *node {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		t.Skip("SKIPPED: pods stand in network namespaces, which need root and iproute2 (Debian: iproute2)")
	}
	n := &node{t: t, name: fmt.Sprintf("mp%d-%d", os.Getpid(), nodes.Add(1))}
	addNamespace(t, n.name)
	n.ip(n.name, "link set lo up", "link add br0 type bridge", "address add "+nodeAddress+"/24 dev br0", "link set br0 up")

	n.sim = monitetest.New(config)
	server := &httptest.Server{Listener: n.listen(n.name, nodeAddress+":0"), Config: &http.Server{Handler: n.sim}}
	server.Start()
	t.Cleanup(func() { closeSoon(t, server) })
	n.url = server.URL
	return n
}

func addNamespace(t *testing.T, name string) {
	t.Helper()
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: network namespaces cannot be made here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", name).Run() })
}

// listen opens a listener in a namespace.
func (n *node) listen(namespace, address string) (listener net.Listener) {
	n.t.Helper()
	var err error
	inNamespace(n.t, namespace, func() { listener, err = net.Listen("tcp", address) })
	if err != nil {
		n.t.Fatal(err)
	}
	return listener
}

// ip runs commands in a namespace.
func (n *node) ip(namespace string, commands ...string) {
	n.t.Helper()
	ip := exec.Command("ip", "-n", namespace, "-batch", "-")
	ip.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	if out, err := ip.CombinedOutput(); err != nil {
		n.t.Fatalf("ip: %v: %s", commands, out)
	}
}

// dial connects from the node.
func (n *node) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	inNamespace(n.t, n.name, func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, address) })
	return conn, err
}

// probe is the kubelet's: the status, 0 without an answer. After a bad one it pauses, as
// a kubelet does: each costs a thread of its own in the namespace.
func (p *pod) probe(portAndPath string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	a, err := requestOver(ctx, p.node.dial, "GET", "http://"+p.address+portAndPath, "")
	if err != nil || a.Status != http.StatusOK {
		<-time.After(25 * time.Millisecond)
	}
	return a.Status
}

func (p *pod) wantProbe(portAndPath string, status int) {
	p.node.t.Helper()
	if got := p.probe(portAndPath); got != status {
		p.node.t.Errorf("%s by the pod's address = %d, want %d", portAndPath, got, status)
	}
}

// answers waits until a probe is good.
func (p *pod) answers(portAndPath string) {
	p.node.t.Helper()
	wiretest.Eventually(p.node.t, portAndPath+" of "+p.name, func() bool { return p.probe(portAndPath) == http.StatusOK })
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
	var a answer
	var err error
	if p.app == nil {
		in := tag(ctx, "http://"+p.address+":8080", nonce)
		in.Host = gatewayName
		in.Header.Set("X-Monite-Proxy-Token", gatewayToken)
		a, err = exchange(&http.Transport{DisableKeepAlives: true, DialContext: n.dial}, in)
	} else {
		a, err = requestOver(ctx, n.dial, "GET", "http://"+p.address+":9000/work?nonce="+nonce, "")
	}
	return result{nonce, a.Status, err}
}

// pod is a network namespace in which an app and a sidecar share the loopback.
type pod struct {
	node          *node
	name, address string
	sidecar       *sidecar
	app           *http.Server
}

func (n *node) newPod() *pod {
	n.t.Helper()
	n.pods++
	p := &pod{node: n, name: fmt.Sprintf("%s-%d", n.name, n.pods), address: fmt.Sprintf("192.0.2.%d", 10+n.pods)}
	end := fmt.Sprintf("pod%d", n.pods)
	addNamespace(n.t, p.name)
	n.ip(n.name, "link add "+end+" type veth peer name eth0 netns "+p.name, "link set "+end+" master br0 up")
	n.ip(p.name, "link set lo up", "address add "+p.address+"/24 dev eth0", "link set eth0 up")
	return p
}

// startSidecar starts the binary with the manifests' addresses.
func (p *pod) startSidecar(more env) env {
	p.node.t.Helper()
	e := defaultEnv(p.node.url).with("MONITE_LISTEN_ADDR", "", "MONITE_ADMIN_ADDR", ":8081", "MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true")
	for name, value := range more {
		e = e.with(name, value)
	}
	// "ip netns exec" becomes the program, so its process is the one to signal.
	p.sidecar = launch(p.node.t, e, p.command(e), nil)
	return e
}

// own is the loopback of the pod, as its app sees it.
func (p *pod) own() *http.Transport {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		inNamespace(p.node.t, p.name, func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:8080") })
		return conn, err
	}}
	p.node.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// startApp starts a service that does one write for each call: a base URL, no credentials.
func (p *pod) startApp() {
	p.node.t.Helper()
	monite := p.own()
	p.app = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ready" {
			return
		}
		a, err := exchange(monite, tag(r.Context(), "http://localhost:8080", r.URL.Query().Get("nonce")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(a.Status)
	})}
	listener := p.node.listen(p.name, ":9000")
	go func() { _ = p.app.Serve(listener) }()
	p.node.t.Cleanup(func() { _ = p.app.Close() })
}

// stopApp ends it as a well-behaved service does.
func (p *pod) stopApp() {
	<-time.After(appShutdown)
	if err := p.app.Shutdown(context.Background()); err != nil {
		p.node.t.Errorf("the app in %s: %v", p.name, err)
	}
}

// runJob does one write and is complete.
func (p *pod) runJob() {
	p.node.t.Helper()
	if a, err := exchange(p.own(), tag(p.node.t.Context(), "http://localhost:8080", "job")); err != nil || a.Status != http.StatusCreated {
		p.node.t.Errorf("the job: %d, %v", a.Status, err)
	}
}

func (p *pod) command(e env, arguments ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", p.name, filepath.Join(binaries, "monite-proxy")}, arguments...)...)
	cmd.Env = e.list()
	return cmd
}

// run runs a command of monite-proxy in the pod to its end, as the kubelet does a hook.
func (p *pod) run(e env, arguments ...string) {
	p.node.t.Helper()
	if out, err := p.command(e, arguments...).CombinedOutput(); err != nil {
		p.node.t.Fatalf("monite-proxy %v: %v: %s", arguments, err, out)
	}
}

// classicDelay outlives the app's own shutdown, as classic-sidecar.yaml's does.
const classicDelay = 2 * appShutdown

// startPod starts both containers as the kubelet does, and returns when the pod is ready.
func (n *node) startPod(kind sidecarKind, more env) *pod {
	n.t.Helper()
	p := n.newPod()
	if kind == gateway {
		e := env{
			"MONITE_LISTEN_ADDR": ":8080", "MONITE_ALLOW_REMOTE": "true", "MONITE_APP_TOKEN": gatewayToken,
			"MONITE_ALLOWED_HOSTS": gatewayName, "MONITE_SHUTDOWN_DELAY": appShutdown.String(),
		}
		maps.Copy(e, more)
		p.startSidecar(e)
		p.answers(":8081/readyz")
		return p
	}
	if kind == native {
		p.startSidecar(more)
		p.answers(":8081/startupz")
	} else {
		e := env{"MONITE_SHUTDOWN_DELAY": classicDelay.String()}
		maps.Copy(e, more)
		p.run(p.startSidecar(e), "wait", "-timeout", "15s")
	}
	p.startApp()
	p.answers(":9000/ready")
	p.answers(":8081/readyz")
	return p
}

// terminate stops both containers as the kubelet does.
func (p *pod) terminate(kind sidecarKind) {
	app := make(chan struct{})
	if kind == gateway {
		close(app)
	} else {
		go func() { defer close(app); p.stopApp() }()
	}
	if kind == native {
		<-app
	}
	_ = p.sidecar.cmd.Process.Signal(syscall.SIGTERM)
	<-app
	p.sidecar.ends(0, 15*time.Second)
}

// callers are those of a Service, and what they saw.
type callers struct {
	mu       sync.Mutex // guards all below
	ready    []*pod     // the Service's endpoints
	posted   map[string]bool
	failures []string
}

// call makes one write at a pod, and keeps what came of it.
func (l *callers) call(p *pod, nonce string) {
	r := p.node.call(p, nonce)
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.err == nil && r.status == http.StatusCreated {
		l.posted[r.nonce] = true
	} else {
		l.failures = append(l.failures, fmt.Sprintf("%s at %s: %d, %v", r.nonce, p.name, r.status, r.err))
	}
}

// rollingRestart replaces two pods one after the other while callers call.
func (n *node) rollingRestart(kind sidecarKind) *callers {
	n.t.Helper()
	l := &callers{posted: map[string]bool{}, ready: []*pod{n.startPod(kind, nil), n.startPod(kind, nil)}}
	stop := goOn(n.t, 4, func(caller, i int) {
		<-time.After(20 * time.Millisecond)
		l.mu.Lock()
		p := l.ready[rand.IntN(len(l.ready))]
		l.mu.Unlock()
		l.call(p, fmt.Sprint(kind, "-", caller, "-", i))
	})
	for _, old := range slices.Clone(l.ready) {
		successor := n.startPod(kind, nil)
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
	stop()
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

// tag is one write.
func tag(ctx context.Context, origin, nonce string) *http.Request {
	return newRequest(ctx, "POST", origin+"/v1/tags", strings.NewReader(`{"name":"`+nonce+`"}`),
		"Content-Type", "application/json", "X-Monite-Entity-Id", monitetest.DemoEntityID, "X-Sim-Nonce", nonce)
}
