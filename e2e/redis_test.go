package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// redisServer is a redis-server that a test has started.
type redisServer struct {
	t    *testing.T
	dir  string
	port string // of 127.0.0.1
	args []string
	cmd  *exec.Cmd
	auth []string // for redis-cli
}

func (r *redisServer) url() string { return "redis://127.0.0.1:" + r.port }

// startRedis starts one on a free port. Where it is not installed the test is
// skipped: .ci/run installs it.
func startRedis(t *testing.T, options ...string) *redisServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // t.TempDir() may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &redisServer{t: t, dir: dir, port: portOf(freePort(t))}
	r.args = append([]string{"--port", r.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir, "--loglevel", "warning", "--logfile", filepath.Join(dir, "log")}, options...)
	r.restart()
	t.Cleanup(r.kill)
	return r
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// restart starts it again where it was.
func (r *redisServer) restart() {
	r.t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		r.t.Skip("redis-server is not installed (apt-get install redis-server)")
	}
	r.cmd = exec.Command(program, r.args...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	poll(r.t, "redis-server", func() bool {
		out, _ := exec.Command("redis-cli", "-p", r.port, "ping").CombinedOutput()
		return strings.Contains(string(out), "PONG") || strings.Contains(string(out), "NOAUTH") || strings.Contains(string(out), "reset")
	})
}

func (r *redisServer) kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Signal(syscall.SIGCONT)
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.cmd = nil
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
	out, err := exec.Command("redis-cli", append(append([]string{"-p", r.port}, r.auth...), args...)...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("redis-cli %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// dump is every key and value that it holds.
func (r *redisServer) dump() string {
	r.t.Helper()
	var all strings.Builder
	for key := range strings.FieldsSeq(r.cli("--scan")) {
		fmt.Fprintf(&all, "%s=%s\n", key, r.cli("--raw", "GETRANGE", key, "0", "-1"))
	}
	return all.String()
}

// startSentinels starts a master, a replica of it and three Sentinels.
func startSentinels(t *testing.T) (master, replica *redisServer, url string) {
	t.Helper()
	master = startRedis(t)
	replica = startRedis(t, "--replicaof", "127.0.0.1", master.port)
	var hosts []string
	for range 3 {
		dir, err := os.MkdirTemp("", "sentinel")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		port := portOf(freePort(t))
		config := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nlogfile %s/log\nsentinel monitor tokens 127.0.0.1 %s 2\nsentinel down-after-milliseconds tokens 500\nsentinel failover-timeout tokens 3000\n",
			port, dir, dir, master.port)
		at := filepath.Join(dir, "sentinel.conf")
		if err := os.WriteFile(at, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("redis-server", at, "--sentinel")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		hosts = append(hosts, "127.0.0.1:"+port)
	}
	for _, host := range hosts {
		poll(t, "the Sentinels to know each other and the replica", func() bool {
			out, _ := exec.Command("redis-cli", "-p", portOf(host), "sentinel", "master", "tokens").Output()
			return strings.Contains(string(out), "num-slaves\n1\n") && strings.Contains(string(out), "num-other-sentinels\n2\n")
		})
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
		poll(t, "the Cluster", func() bool {
			return strings.Contains(node.cli("cluster", "info"), "cluster_state:ok")
		})
	}
	return nodes
}

