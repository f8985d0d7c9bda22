package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// shortDir is a directory whose name leaves room in sockaddr_un.
func shortDir(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "mp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return directory
}

// overSocket sends one request over a unix socket.
func overSocket(path, method, target string) (answer, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return requestOver(context.Background(), dial, method, "http://localhost"+target, "")
}

// wantOver wants a GET over a unix socket to be served.
func wantOver(t *testing.T, path string) {
	t.Helper()
	if a, err := overSocket(path, "GET", "/v1/entities?limit=1"); err != nil || a.Status != http.StatusOK {
		t.Errorf("over %s: %d %s, %v", path, a.Status, a.Body, err)
	}
}

func TestUnixSockets(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	directory := shortDir(t)
	data, admin := filepath.Join(directory, "data.sock"), filepath.Join(directory, "admin.sock")
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+data, "MONITE_ADMIN_ADDR", "unix:"+admin)

	for _, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGTERM} {
		s := start(t, e) // over what the one before has left: after SIGKILL, sockets
		s.waitFor("readiness", func() bool {
			a, err := overSocket(admin, "GET", "/readyz")
			return err == nil && a.Status == http.StatusOK
		})
		for _, path := range []string{data, admin} {
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != fs.ModeSocket|0o600 {
				t.Errorf("%s: %v, %v, want a socket with mode 0600", path, info.Mode(), err)
			}
		}
		wantOver(t, data)
		wantCommand(t, 0, e, "health")
		wantCommand(t, 0, e, "wait -timeout 5s")
		s.signal(end)
		if end == syscall.SIGKILL {
			<-s.ended
			continue
		}
		s.ends(0, 5*time.Second)
		for _, path := range []string{data, admin} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%s is still there after the end", path)
			}
		}
	}
}

func TestSocketReplacesNothingThatIsInUse(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	listen := func(t *testing.T, path string) {
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
	}
	tests := map[string]struct {
		prepare func(t *testing.T, path string)
		says    string
	}{
		"a regular file": {func(t *testing.T, path string) { writeFile(t, path, "precious") }, "not a socket"},
		"a directory": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a socket"},
		"a symbolic link": {func(t *testing.T, path string) {
			listen(t, path+"2")
			if err := os.Symlink(path+"2", path); err != nil {
				t.Fatal(err)
			}
		}, "not a socket"},
		"a live socket":                 {listen, "another process listens there"},
		"a live socket with full queue": {listenFull, "another process listens there"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(shortDir(t), "s")
			test.prepare(t, path)
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			wantCommand(t, 1, defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+path), "", test.says, path)
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("it was replaced: %v", err)
			}
		})
	}
}

// listenFull listens and lets connections wait until the queue takes no more.
func listenFull(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		conn, err := net.DialTimeout("unix", path, 100*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the queue takes all")
}

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
	s.wantProbe("/readyz", http.StatusOK)
	s.signal(syscall.SIGTERM)
	s.waitFor("STOPPING=1", func() bool { return m.heard("STOPPING=1") })
	s.ends(0, 5*time.Second)
}

// A manager that is not there any more is no reason to stop.
func TestDeafServiceManagerIsNoFailure(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url).with("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))).ready()
	s.waitLogged("the service manager cannot be notified")
	s.want(http.StatusOK, "GET", "/v1/entities", "")
}

// activated is a sidecar that gets its data listeners from the service manager: the
// test's, which goes on listening.
func activated(t *testing.T, e env, opened ...net.Listener) *sidecar {
	t.Helper()
	// LISTEN_PID is the process's own, so somebody must set it in between.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, filepath.Join(binaries, "monite-proxy"))
	for _, listener := range opened {
		file, err := listener.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	return launch(t, e.with("LISTEN_FDS", fmt.Sprint(len(opened))), cmd, nil)
}

// listenOn opens a listener of TCP.
func listenOn(t *testing.T, address string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip("this system does not listen at ", address, ": ", err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func TestActivatedSocketMustBeTheConfiguredOne(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	opened := listenOn(t, "127.0.0.1:0")
	s := activated(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", "127.0.0.1:0"), opened)
	s.ends(1, 5*time.Second)
	s.wantLogged("the service manager listens on " + opened.Addr().String())
}

// The socket outlives the process, so a restart refuses no connection and loses
// no request, with apps that open a new connection each time.
func TestRestartOfAnActivatedServiceLosesNothing(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{KeepRequests: -1})
	opened := listenOn(t, "127.0.0.1:0")
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", opened.Addr().String())
	s := activated(t, e, opened)

	var mu sync.Mutex // guards both
	var failures []error
	posted := map[string]bool{}
	stop := goOn(t, 8, func(worker, n int) {
		nonce := fmt.Sprint("restart-", worker, "-", n)
		a, err := exchange(&http.Transport{DisableKeepAlives: true}, tag(t.Context(), "http://"+opened.Addr().String(), nonce))
		if err == nil && a.Status != http.StatusCreated {
			err = fmt.Errorf("%d %s", a.Status, a.Body)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failures = append(failures, err)
		} else {
			posted[nonce] = true
		}
	})
	const restarts = 3
	for range restarts {
		s.waitLogged("token minted")
		<-time.After(100 * time.Millisecond)
		s.signal(syscall.SIGTERM)
		s.ends(0, 10*time.Second)
		s = activated(t, e, opened)
	}
	s.waitLogged("token minted")
	stop()
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

// Some clients take ::1 for localhost and nothing else: Node 17 to 19, Java with
// IPv6 preferred.
func TestLocalhostIsServedOnBothLoopbackAddresses(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", "localhost:0").with("MONITE_ADMIN_ADDR", "localhost:0").with("MONITE_ENTITY_ID",
		monitetest.DemoEntityID)
	s := start(t, e).ready()
	get := func(address, host, path string) string {
		t.Helper()
		port := portOf(address)
		a, err := request(t.Context(), "GET", "http://"+net.JoinHostPort(host, port)+path, "")
		if err != nil || a.Status != http.StatusOK {
			t.Errorf("%s at %s = %d %s, %v", path, host, a.Status, a.Body, err)
		}
		return a.Body
	}
	get(s.Data, "::1", "/v1/payables")
	port := portOf(s.Data)
	if status := get(s.Admin, "::1", "/status"); !strings.Contains(status, `"[::1]:`+port+`"`) || !strings.Contains(status, `"127.0.0.1:`+port+`"`) {
		t.Errorf("/status on ::1: want both addresses of the data listener in %.300s", status)
	}

	// With one or two sockets of the service manager; what it does not give is opened.
	for _, given := range [][]string{{"127.0.0.1", "::1"}, {"127.0.0.1"}, {"::1"}} {
		port := "0"
		var opened []net.Listener
		for _, host := range given {
			opened = append(opened, listenOn(t, net.JoinHostPort(host, port)))
			port = portOf(opened[0].Addr().String())
		}
		s := activated(t, e.with("MONITE_LISTEN_ADDR", "localhost:"+port), opened...)
		s.waitFor("the listeners", s.addresses)
		s.ready()
		for _, host := range []string{"127.0.0.1", "::1"} {
			get(":"+port, host, "/v1/payables")
		}
		s.signal(syscall.SIGTERM)
		s.ends(0, 10*time.Second)
	}
}

// Whoever stops the sidecar at once must be able to look up afterwards which writes
// upstream may have.
func TestSecondSignalLeavesAnAuditLineForEachWriteUnderWay(t *testing.T) {
	t.Parallel()
	const writes = 20
	arrived, end := make(chan struct{}, writes), make(chan struct{})
	url := script(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-end
	})
	t.Cleanup(func() { close(end) })
	path := filepath.Join(t.TempDir(), "audit")
	s := start(t, defaultEnv(url).with("MONITE_AUDIT_LOG", path)).ready()
	var calling sync.WaitGroup
	for n := range writes { // each is another one: equal ones wait for each other
		calling.Go(func() { _, _ = s.call("POST", "/v1/payables", fmt.Sprintf(`{"amount":%d}`, n)) })
	}
	for range writes {
		<-arrived
	}
	s.signal(syscall.SIGTERM)
	s.waitLogged("draining")
	began := time.Now()
	s.signal(syscall.SIGTERM)
	s.ends(1, 5*time.Second)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it ended %v after the second signal", took)
	}
	calling.Wait()
	text, err := os.ReadFile(path)
	if got := strings.Count(string(text), `"outcome":"unknown"`); err != nil || got != writes {
		t.Errorf("%d audit lines say that the outcome is unknown, want %d: %v\n%s", got, writes, err, text)
	}
}

// A sidecar that somebody started in a terminal ends with it, and the port is free
// again. The SIGHUP of an operator, also in a terminal, reads files again.
func TestSidecarEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("under nohup a sidecar outlives its terminal")
	}
	url := script(t, nil, answerOK)
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	var unlock int32
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, int(unlock)); err != nil {
		t.Skip(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Skip(err)
	}
	tty, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(filepath.Join(binaries, "monite-proxy"))
	cmd.Stdin = tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s := launch(t, defaultEnv(url), cmd, nil)
	s.waitFor("the listeners", s.addresses)
	s.ready()
	_ = tty.Close()
	s.signal(syscall.SIGHUP)
	s.waitLogged("secret files read again")
	_ = master.Close() // the terminal is closed
	s.ends(0, 5*time.Second)
	s.wantLogged("the terminal was closed")
}
