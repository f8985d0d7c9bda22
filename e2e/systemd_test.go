package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// manager is the socket of a service manager, and what was said on it.
type manager struct {
	path string
	mu   sync.Mutex // guards said
	said []string
}

func newManager(t *testing.T, path string) *manager {
	t.Helper()
	m := &manager{path: path}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.said = append(m.said, strings.Split(string(buffer[:n]), "\n")...)
			m.mu.Unlock()
		}
	}()
	return m
}

func (m *manager) heard(statement string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.said {
		if strings.HasPrefix(s, statement) {
			return true
		}
	}
	return false
}

// A service that is ordered after this one finds it working, not only started.
func TestServiceManagerHearsReadyWithTheFirstToken(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	sim.Inject(monitetest.Fault{Path: "token", Status: http.StatusServiceUnavailable, Times: 1_000_000})
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	s := start(t, defaultEnv(url).with("NOTIFY_SOCKET", m.path))
	s.waitFor("the reason", func() bool {
		return m.heard("STATUS=Monite itself is in trouble: the token endpoint responds with status 503")
	})
	if m.heard("READY=1") {
		t.Fatalf("READY=1 before the first token; said: %q", m.said)
	}
	sim.ClearFaults()
	s.waitFor("READY=1", func() bool { return m.heard("READY=1") })
	if got := s.probe("/readyz"); got != http.StatusOK {
		t.Errorf("/readyz after READY=1 = %d", got)
	}
	s.signal(syscall.SIGTERM)
	s.waitFor("STOPPING=1", func() bool { return m.heard("STOPPING=1") })
	if code := s.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}

// A manager that is not there any more is no reason to stop.
func TestDeafServiceManagerIsNoFailure(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url).with("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))).ready()
	s.waitFor("a warning", func() bool { return s.logged("the service manager cannot be notified") })
	if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK {
		t.Errorf("status = %d", a.Status)
	}
}

// activated is a sidecar that gets its data listener from the service manager:
// the test's, which goes on listening.
func activated(t *testing.T, opened *net.TCPListener, e env) *sidecar {
	t.Helper()
	file, err := opened.File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	// LISTEN_PID is the process's own, so somebody must set it in between.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, filepath.Join(binaries, "monite-proxy"))
	cmd.ExtraFiles = []*os.File{file}
	return launch(t, e.with("LISTEN_FDS", "1"), cmd, nil)
}

func TestActivatedSocketMustBeTheConfiguredOne(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	opened, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opened.Close() }()
	s := activated(t, opened, defaultEnv(url).with("MONITE_LISTEN_ADDR", "127.0.0.1:0"))
	if code := s.exitCode(5 * time.Second); code != 1 || !s.logged("the service manager listens on "+opened.Addr().String()) {
		t.Errorf("exit code = %d, want 1 and the reason in the log", code)
	}
}

// The socket outlives the process, so a restart refuses no connection and loses
// no request, with apps that open a new connection each time.
func TestRestartOfAnActivatedServiceLosesNothing(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{KeepRequests: -1})
	opened, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opened.Close() }()
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", opened.Addr().String())
	s := activated(t, opened, e)

	stop := make(chan struct{})
	var running sync.WaitGroup
	var mu sync.Mutex // guards both
	var failures []error
	posted := map[string]bool{}
	for worker := range 8 {
		running.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				nonce := fmt.Sprint("restart-", worker, "-", n)
				a, err := request(t.Context(), "POST", "http://"+opened.Addr().String()+"/v1/tags", `{"name":"`+nonce+`"}`,
					"X-Sim-Nonce", nonce, "X-Monite-Entity-Id", monitetest.DemoEntityID, "Content-Type", "application/json")
				if err == nil && a.Status != http.StatusCreated {
					err = fmt.Errorf("%d %s", a.Status, a.Body)
				}
				mu.Lock()
				if err != nil {
					failures = append(failures, err)
				} else {
					posted[nonce] = true
				}
				mu.Unlock()
			}
		})
	}
	const restarts = 3
	for range restarts {
		s.waitFor("the first token", func() bool { return s.logged("token minted") })
		<-time.After(100 * time.Millisecond)
		s.signal(syscall.SIGTERM)
		if code := s.exitCode(10 * time.Second); code != 0 {
			t.Errorf("exit code = %d, want 0", code)
		}
		s = activated(t, opened, e)
	}
	s.waitFor("the first token", func() bool { return s.logged("token minted") })
	close(stop)
	running.Wait()
	if err := errors.Join(failures...); err != nil || len(posted) == 0 {
		t.Errorf("%d of %d requests failed: %v", len(failures), len(failures)+len(posted), err)
	}
	for nonce, times := range sim.Stats().Executed {
		if times != 1 || !posted[nonce] {
			t.Errorf("%s was executed %d times, answered: %t", nonce, times, posted[nonce])
		}
	}
	t.Logf("%d restarts, %d requests answered", restarts, len(posted))
}
