package e2e

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// replicas are sidecars that share a store.
type replicas struct {
	t   *testing.T
	sim *monitetest.Simulator
	env env
	all []*sidecar
}

// startReplicas starts n at once. They wait for the store for as long as is allowed: by
// default a replica mints for itself after 50 ms, which a busy machine takes now and then.
// TestStoreThatRefusesUsCostsNoRequest and TestFleetChaos have the default.
func startReplicas(t *testing.T, n int, url string, pairs ...string) *replicas {
	t.Helper()
	sim, upstream := simulate(t, monitetest.Config{Latency: 100 * time.Millisecond})
	f := &replicas{t: t, sim: sim, env: defaultEnv(upstream).with("MONITE_REDIS_URL", url, "MONITE_REDIS_TIMEOUT", "2s",
		"MONITE_LOG_LEVEL", "debug").with(pairs...)}
	f.add(n)
	return f
}

// add starts n more and waits until they are ready.
func (f *replicas) add(n int) []*sidecar {
	f.t.Helper()
	var wg sync.WaitGroup
	more := make([]*sidecar, n)
	for i := range n {
		wg.Go(func() { more[i] = start(f.t, f.env) })
	}
	wg.Wait()
	for _, s := range more {
		s.ready()
	}
	f.all = append(f.all, more...)
	return more
}

// callAll has each be called once, at once, and returns how long the slowest took.
func (f *replicas) callAll() (slowest time.Duration) {
	f.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, s := range f.all {
		wg.Go(func() {
			began := time.Now()
			a, err := s.call("GET", "/v1/entities?limit=1", "")
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(began))
			if err != nil || a.Status != http.StatusOK {
				f.t.Errorf("GET = %d %s, %v, want 200", a.Status, a.Body, err)
			}
		})
	}
	wg.Wait()
	return slowest
}

// each waits until done for each, and asks all of them every 300 ms.
func (f *replicas) each(what string, done func(*sidecar) bool) {
	f.t.Helper()
	wiretest.Eventually(f.t, what, func() bool {
		time.Sleep(300 * time.Millisecond)
		all := true
		for _, s := range f.all {
			all = done(s) && all
		}
		return all
	})
}

// mints since the last call of it.
func (f *replicas) mints() int {
	stats := f.sim.Stats()
	f.sim.ResetStats()
	return stats.Mints + stats.FailedMints
}

func (f *replicas) wantMints(what string, least, most int) {
	f.t.Helper()
	if n := f.mints(); n < least || n > most {
		f.t.Errorf("%s: %d mints, want %d to %d", what, n, least, most)
	}
}

// revoke has upstream refuse all tokens. The guard of a second is over before.
func (f *replicas) revoke() {
	time.Sleep(1100 * time.Millisecond)
	f.sim.RevokeAll()
}

// good waits until each has a token that is good: after several revocations in one second
// it may pass a 401.
func (f *replicas) good() {
	f.t.Helper()
	f.each("a token that is good", func(s *sidecar) bool {
		return s.mustCall("GET", "/v1/entities?limit=1", "").Status == http.StatusOK
	})
}

func TestReplicasShareOneToken(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	f := startReplicas(t, 5, redis.url())
	f.callAll()
	f.wantMints("five start at once", 1, 1)
	f.add(1)
	f.callAll()
	f.wantMints("one more", 0, 0)
	f.revoke()
	f.callAll()
	f.wantMints("all tokens are revoked", 1, 1)

	t.Log("Redis is stopped: who has a token notices nothing")
	redis.signal(syscall.SIGSTOP)
	if took := f.callAll(); took > 2*time.Second {
		t.Errorf("a hit takes %v with a stopped Redis", took)
	}
	f.wantMints("Redis is stopped", 0, 0)
	f.sim.RevokeAll()
	f.callAll()
	f.wantMints("revoked while Redis is stopped", 1, len(f.all))
	f.callAll()
	redis.signal(syscall.SIGCONT)

	t.Log("Redis is killed, and comes back empty")
	redis.kill()
	f.revoke()
	f.callAll()
	f.wantMints("revoked without Redis", 1, len(f.all))
	redis.restart()
	f.each("the store", func(s *sidecar) bool { // until their breakers let them ask again
		f.sim.RevokeAll()
		s.mustCall("GET", "/v1/entities?limit=1", "")
		return s.metricValue("monite_proxy_shared_up") == 1
	})
	f.good()
	f.mints()
	f.revoke()
	f.callAll()
	f.wantMints("revoked with Redis again", 1, 1)

	t.Log("FLUSHALL")
	redis.cli("flushall")
	f.callAll()
	f.wantMints("FLUSHALL", 0, 0)
	for _, s := range f.all {
		s.wantLogged("tokens are shared")
	}
}

func TestNothingSecretIsInTheSharedStore(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	f := startReplicas(t, 2, redis.url())
	user := "aaaaaaaa-0000-4000-8000-0000000000a1"
	for _, s := range f.all {
		s.mustCall("GET", "/v1/entities?limit=1", "", "X-Monite-Entity-User-Id", user)
	}
	tokens := ""
	for _, r := range f.sim.Requests() {
		tokens += r.Header.Get("Authorization") + "\n"
	}
	dump := redis.dump()
	if !strings.Contains(dump, "monite-proxy:1:{") {
		t.Fatalf("nothing is shared: %q", dump)
	}
	for _, text := range append(strings.Fields(tokens), monitetest.DemoClientID, monitetest.DemoClientSecret, user, "entity_user",
		"client_credentials") {
		if text != "Bearer" && strings.Contains(dump, text) {
			t.Errorf("%q stands in Redis", text)
		}
	}
	for key := range strings.FieldsSeq(redis.cli("--scan")) {
		if redis.cli("pttl", key) == "-1" {
			t.Errorf("%s has no end", key)
		}
	}
}

// Of a holder that is killed or stopped in its mint the others wait for the lease,
// and no longer.
func TestHolderThatDiesCostsTheOthersASecond(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			f := startReplicas(t, 3, startRedis(t).url())
			f.callAll()
			f.revoke()
			f.mints()
			f.sim.Inject(monitetest.Fault{Path: "token", Times: 1, Effect: monitetest.EffectDelay, Delay: monitetest.Duration(5 * time.Second)})
			holder := f.all[0]
			go func() { _, _ = holder.call("GET", "/v1/entities?limit=1", "") }()
			wiretest.Eventually(t, "the holder's mint", func() bool { return f.sim.Stats().Requests["POST /v1/auth/token"] > 0 })
			if err := holder.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			f.all = f.all[1:]
			if took := f.callAll(); took > 3*time.Second {
				t.Errorf("the others waited %v, want a second and a mint", took)
			}
			_ = holder.cmd.Process.Signal(syscall.SIGCONT)
			if n := f.sim.Stats().Mints; n != 1 {
				t.Errorf("%d tokens were minted by the others, want 1", n)
			}
		})
	}
}

func TestStoreThatRefusesUsCostsNoRequest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, url, want string }{
		{"no password", "redis://127.0.0.1:PORT", "NOAUTH"},
		{"wrong password", "redis://:wrong@127.0.0.1:PORT", "WRONGPASS"},
		{"nobody there", "redis://127.0.0.1:1", "connect"},
		{"no rights to write", "redis://reader:pw@127.0.0.1:PORT", "ERR"},
		{"not TLS", "rediss://:secret-password@127.0.0.1:PORT", "timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			redis := startRedis(t)
			redis.cli("acl", "setuser", "reader", "on", ">pw", "~*", "+@all", "-set")
			redis.cli("config", "set", "requirepass", "secret-password")
			f := startReplicas(t, 2, strings.Replace(tc.url, "PORT", redis.port, 1), "MONITE_REDIS_TIMEOUT", "")
			f.callAll()
			f.wantMints(tc.name, 2, 2)
			for _, s := range f.all {
				if !strings.Contains(s.log.String(), `"reason":"`+tc.want+`"`) && !(tc.want == "ERR" && strings.Contains(s.log.String(), "NOPERM")) {
					t.Errorf("the log does not say %s", tc.want)
				}
				for _, text := range []string{"secret-password", "wrong@", ":pw@"} {
					if strings.Contains(s.log.String(), text) {
						t.Errorf("%q stands in the log", text)
					}
				}
			}
		})
	}
}

const leastRights = "~monite-proxy:* resetchannels -@all +ping +select +evalsha +eval +time +getrange +get +set +del +pttl +pexpire +incr"

// The password is in a file that changes, as that of a cloud does; the user has the
// least rights; the process is confined.
func TestLeastRightsAndAPasswordThatChanges(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	acl := func(password string) {
		redis.cli(append([]string{"acl", "setuser", "monite-proxy", "resetpass", "on", ">" + password}, strings.Fields(leastRights)...)...)
		redis.cli("client", "kill", "type", "normal", "skipme", "yes")
	}
	acl("first-password")
	file := filepath.Join(t.TempDir(), "password")
	put(t, file, "first-password\n")
	f := startReplicas(t, 2, "redis://monite-proxy@127.0.0.1:"+redis.port, "MONITE_REDIS_PASSWORD_FILE", file)
	f.callAll()
	f.wantMints("two start", 1, 1)
	put(t, file, "second-password\n")
	acl("second-password")
	f.revoke()
	f.callAll()
	f.wantMints("after the password has changed", 1, 1)
	for _, s := range f.all {
		if s.metricValue("monite_proxy_shared_up") != 1 || strings.Contains(s.log.String(), "permission denied") {
			t.Error("a replica does not share")
		}
	}
}

func TestStoreBehindAUnixSocketAndByTLS(t *testing.T) {
	t.Parallel()
	t.Run("unix", func(t *testing.T) {
		dir := shortDir(t)
		startRedis(t, "--unixsocket", dir+"/s")
		f := startReplicas(t, 2, "unix:"+dir+"/s")
		f.callAll()
		f.wantMints("two start", 1, 1)
	})
	t.Run("TLS", func(t *testing.T) {
		ca, dir, port := newCA(t), t.TempDir(), portOf(freePort(t))
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		ca.issue(cert, key, 2, x509.ExtKeyUsageServerAuth)
		startRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca.file, "--tls-auth-clients", "no")
		f := startReplicas(t, 2, "rediss://127.0.0.1:"+port, "MONITE_REDIS_CA_FILE", ca.file)
		f.callAll()
		f.wantMints("two start", 1, 1)
	})
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master, replica, url := startSentinels(t, 500*time.Millisecond)
	f := startReplicas(t, 3, url)
	f.callAll()
	f.wantMints("three start", 1, 1)
	master.kill()
	f.sim.RevokeAll()
	f.callAll() // some mint for themselves
	wiretest.Eventually(t, "the failover", replica.leads)
	f.each("sharing again", func(s *sidecar) bool {
		f.sim.RevokeAll()
		s.mustCall("GET", "/v1/entities?limit=1", "")
		return s.metricValue("monite_proxy_shared_up") == 1
	})
	f.good()
	f.revoke()
	f.callAll()
	f.mints()
	f.revoke()
	f.callAll()
	f.wantMints("revoked after the failover", 1, 1)
}

func TestClusterOfThree(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t)
	var hosts []string
	for _, node := range nodes {
		hosts = append(hosts, "127.0.0.1:"+node.port)
	}
	for i := range nodes { // whichever is named first
		f := startReplicas(t, 2, "redis://"+strings.Join(append(append([]string{}, hosts[i:]...), hosts[:i]...), ","))
		f.callAll()
		if i == 0 {
			f.wantMints("two start", 1, 1)
		}
		for _, s := range f.all {
			if s.metricValue("monite_proxy_shared_up") != 1 {
				t.Errorf("a replica that begins at node %d does not share", i)
			}
		}
		for _, node := range nodes {
			node.cli("flushall")
		}
	}
}

// New credentials in the files of all replicas cost one mint.
func TestRotationThroughTheStoreIsOneMint(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	next := monitetest.Credentials{ClientID: monitetest.DemoClientID, ClientSecret: "5f1f7a10-1c1d-4b52-9a0e-0d6f3c2b1a99"}
	sim, upstream := simulate(t, monitetest.Config{Latency: 50 * time.Millisecond, ExtraCredentials: []monitetest.Credentials{next}})
	file := filepath.Join(t.TempDir(), "secret")
	writeFile(t, file, monitetest.DemoClientSecret)
	f := &replicas{t: t, sim: sim, env: defaultEnv(upstream).with("MONITE_REDIS_URL", redis.url(), "MONITE_REDIS_TIMEOUT", "2s",
		"MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE", file)}
	f.add(5)
	f.callAll()
	f.wantMints("five start", 1, 1)
	put(t, file, next.ClientSecret)
	for _, s := range f.all {
		s.waitLogged("new credentials are live")
	}
	f.wantMints("five prove the new secret", 1, 1)
	f.callAll()
}

func TestSharedStoreIsShown(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	f := startReplicas(t, 2, redis.url())
	f.callAll()
	found := false
	for _, s := range f.all {
		status := s.admin("GET", "/status").Body
		if !strings.Contains(status, `"state": "up"`) || !strings.Contains(status, fmt.Sprintf(`"where": "redis://127.0.0.1:%s/0"`, redis.port)) {
			t.Errorf("/status: %s", status)
		}
		found = found || strings.Contains(status, `"from": "shared"`)
		if page := s.admin("GET", "/").Body; !strings.Contains(page, "Shared with other replicas: up") {
			t.Errorf("the page does not tell of the store: %s", page)
		}
	}
	if !found {
		t.Error("no identity has its token from the shared store")
	}
}

// redisServer is a redis-server that a test has started.
type redisServer struct {
	t    *testing.T
	dir  string
	host string
	port string
	args []string
	cmd  *exec.Cmd
}

func (r *redisServer) url() string { return "redis://127.0.0.1:" + r.port }

// startRedis starts one on a free port. Where it is not installed the test is
// skipped: .ci/run installs it.
func startRedis(t *testing.T, options ...string) *redisServer {
	t.Helper()
	return startRedisAt(t, "127.0.0.1", portOf(freePort(t)), options...)
}

// startRedisAt starts one on a certain address.
func startRedisAt(t *testing.T, host, port string, options ...string) *redisServer {
	t.Helper()
	r := &redisServer{t: t, dir: shortDir(t), host: host, port: port}
	r.args = append([]string{"--port", r.port, "--bind", host, "--save", "", "--appendonly", "no", "--dir", r.dir, "--loglevel", "warning",
		"--logfile", filepath.Join(r.dir, "log")}, options...)
	r.restart()
	t.Cleanup(r.kill)
	return r
}

// restart starts it again where it was.
func (r *redisServer) restart() {
	r.t.Helper()
	r.cmd = exec.Command(wiretest.RedisProgram(r.t), r.args...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := startBound(r.cmd); err != nil {
		r.t.Fatal(err)
	}
	wiretest.Eventually(r.t, "redis-server", func() bool { return pings(r.host + ":" + r.port) })
}

// pings reports whether a Redis responds, be it by asking for a password.
func pings(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte("PING\r\n"))
	said := make([]byte, len("-NOAUTH"))
	n, _ := io.ReadFull(conn, said)
	return strings.HasPrefix(string(said[:n]), "+PONG") || string(said) == "-NOAUTH"
}

// startBound starts a command with Pdeathsig. That signal comes when the thread
// ends that started it, prctl(2), and the thread of a test may end before the
// test does: another one has changed the thread's network, and throws it away.
func startBound(cmd *exec.Cmd) error {
	result := make(chan error)
	boundStarter() <- func() { result <- cmd.Start() }
	return <-result
}

var boundStarter = sync.OnceValue(func() chan<- func() {
	starts := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
	return starts
})

func (r *redisServer) kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Signal(syscall.SIGCONT)
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.cmd = nil
}

// follow has it be a replica of master, and waits until it has what that has.
func (r *redisServer) follow(master *redisServer) {
	r.t.Helper()
	r.cli("replicaof", master.host, master.port)
	wiretest.Eventually(r.t, "the replica", r.follows)
}

func (r *redisServer) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// cli runs redis-cli and returns what it prints.
func (r *redisServer) cli(args ...string) string {
	r.t.Helper()
	out, err := r.try(args...)
	if err != nil { // its role has changed just now, maybe
		out, err = r.try(args...)
	}
	if err != nil {
		r.t.Fatalf("redis-cli %v: %v: %s", args, err, out)
	}
	return out
}

func (r *redisServer) try(args ...string) (string, error) {
	out, err := exec.Command("redis-cli", append([]string{"-h", r.host, "-p", r.port}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// leads reports whether it is a master. A server whose role changes ends connections.
func (r *redisServer) leads() bool {
	role, _ := r.try("role")
	return strings.HasPrefix(role, "master")
}

// follows reports whether it has what its master has.
func (r *redisServer) follows() bool {
	info, _ := r.try("info", "replication")
	return strings.Contains(info, "master_link_status:up")
}

// dump is all that it holds, as it would be written to a disk.
func (r *redisServer) dump() string {
	r.t.Helper()
	r.cli("config", "set", "rdbcompression", "no")
	r.cli("save")
	text, err := os.ReadFile(filepath.Join(r.dir, "dump.rdb"))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// startSentinels starts a master, a replica of it and three Sentinels. After deadAfter
// without a response, they take a server for dead.
func startSentinels(t *testing.T, deadAfter time.Duration, options ...string) (master, replica *redisServer, url string) {
	t.Helper()
	master = startRedis(t, options...)
	// On the same port: the processes may connect to no other.
	replica = startRedisAt(t, "127.0.0.2", master.port, append(options, "--replica-announce-ip", "127.0.0.2")...)
	replica.follow(master)
	var hosts []string
	for range 3 {
		dir, port := shortDir(t), portOf(freePort(t))
		config := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nlogfile %s/log\nsentinel monitor tokens 127.0.0.1 %s 2\n"+
			"sentinel down-after-milliseconds tokens %d\nsentinel failover-timeout tokens 3000\n",
			port, dir, dir, master.port, deadAfter.Milliseconds())
		at := filepath.Join(dir, "sentinel.conf")
		writeFile(t, at, config)
		cmd := exec.Command(wiretest.RedisProgram(t), at, "--sentinel")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := startBound(cmd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		hosts = append(hosts, "127.0.0.1:"+port)
	}
	sentinel := func(host string, args ...string) string {
		out, _ := exec.Command("redis-cli", append([]string{"-p", portOf(host), "sentinel"}, args...)...).Output()
		return string(out)
	}
	// They ask the master for its replicas every ten seconds, and speak of themselves every two.
	for _, host := range hosts {
		wiretest.Eventually(t, "a Sentinel", func() bool { return pings(host) })
		sentinel(host, "debug", "info-period", "100", "publish-period", "100")
	}
	for _, host := range hosts {
		wiretest.Eventually(t, "a Sentinel that knows the others and the replica", func() bool {
			time.Sleep(50 * time.Millisecond)
			out := sentinel(host, "master", "tokens")
			return strings.Contains(out, "num-slaves\n1\n") && strings.Contains(out, "num-other-sentinels\n2\n")
		})
	}
	for _, host := range hosts {
		sentinel(host, "debug", "info-period", "10000", "publish-period", "2000")
	}
	return master, replica, "redis+sentinel://" + strings.Join(hosts, ",") + "/tokens"
}

// startCluster starts a Cluster of three masters.
func startCluster(t *testing.T) []*redisServer {
	t.Helper()
	var nodes []*redisServer
	for i := range 3 {
		nodes = append(nodes, startRedis(t, "--cluster-enabled", "yes", "--cluster-port", portOf(freePort(t)), "--cluster-require-full-coverage", "yes"))
		from, to := i*5461, []int{5460, 10921, 16383}[i]
		nodes[i].cli("cluster", "addslotsrange", fmt.Sprint(from), fmt.Sprint(to))
		nodes[i].cli("cluster", "set-config-epoch", fmt.Sprint(i+1))
	}
	for _, other := range nodes[1:] {
		bus := ""
		for i, arg := range other.args {
			if arg == "--cluster-port" {
				bus = other.args[i+1]
			}
		}
		nodes[0].cli("cluster", "meet", "127.0.0.1", other.port, bus)
	}
	for _, node := range nodes {
		wiretest.Eventually(t, "the Cluster", func() bool {
			return strings.Contains(node.cli("cluster", "info"), "cluster_state:ok")
		})
	}
	return nodes
}
