package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
	in, err := http.NewRequest(method, "http://localhost"+target, nil)
	if err != nil {
		return answer{}, err
	}
	response, err := client.Do(in)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
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
		if a, err := overSocket(data, "GET", "/v1/entities"); err != nil || a.Status != http.StatusOK {
			t.Errorf("over the socket: %d %s, %v", a.Status, a.Body, err)
		}
		for _, command := range [][]string{{"health"}, {"wait", "-timeout", "5s"}} {
			if code, output := runCommand(t, e, command...); code != 0 {
				t.Errorf("%v over the socket: exit code = %d\n%s", command, code, output)
			}
		}
		s.signal(end)
		if end == syscall.SIGKILL {
			<-s.ended
			continue
		}
		if code := s.exitCode(5 * time.Second); code != 0 {
			t.Errorf("exit code = %d, want 0", code)
		}
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
			code, output := runCommand(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+path))
			if code != 1 || !strings.Contains(output, test.says) || !strings.Contains(output, path) {
				t.Errorf("exit code = %d, want 1 and %q; output:\n%s", code, test.says, output)
			}
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

// get6 asks ::1 at the port of an address of 127.0.0.1.
func get6(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	response, err := http.Get("http://[::1]:" + port + path)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// Some clients take ::1 for localhost and nothing else: Node 17 to 19, Java with
// IPv6 preferred.
func TestLocalhostIsServedOnBothLoopbackAddresses(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", "localhost:0").with("MONITE_ADMIN_ADDR", "localhost:0").with("MONITE_ENTITY_ID",
		monitetest.DemoEntityID)
	s := start(t, e).ready()
	if status, body := get6(t, s.Data, "/v1/payables"); status != http.StatusOK {
		t.Errorf("data on ::1 = %d %s", status, body)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.Data, "http://"))
	if status, body := get6(t, s.Admin, "/status"); status != http.StatusOK || !strings.Contains(body, `"[::1]:`+port+`"`) ||
		!strings.Contains(body, `"127.0.0.1:`+port+`"`) {
		t.Errorf("/status on ::1 = %d, want both addresses of the data listener in %.300s", status, body)
	}
}

// With one or two sockets of the service manager; what it does not give is opened.
func TestActivatedLocalhost(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	for name, given := range map[string][]string{"both": {"127.0.0.1", "::1"}, "127.0.0.1 alone": {"127.0.0.1"}, "::1 alone": {"::1"}} {
		port := "0"
		var files []*os.File
		for _, host := range given {
			opened, err := net.Listen("tcp", net.JoinHostPort(host, port))
			if err != nil {
				t.Skipf("%s: %v", host, err)
			}
			_, port, _ = net.SplitHostPort(opened.Addr().String())
			file, err := opened.(*net.TCPListener).File()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = file.Close(); _ = opened.Close() }()
			files = append(files, file)
		}
		cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, filepath.Join(binaries, "monite-proxy"))
		cmd.ExtraFiles = files
		e := defaultEnv(url).with("MONITE_LISTEN_ADDR", "localhost:"+port).with("LISTEN_FDS", fmt.Sprint(len(files))).with("MONITE_ENTITY_ID",
			monitetest.DemoEntityID)
		s := launch(t, e, cmd, nil)
		s.waitFor("the listeners", s.addresses)
		s.ready()
		for _, host := range []string{"127.0.0.1", "[::1]"} {
			response, err := http.Get("http://" + host + ":" + port + "/v1/payables")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("%s: %s = %d", name, host, response.StatusCode)
			}
		}
		s.signal(syscall.SIGTERM)
		if code := s.exitCode(10 * time.Second); code != 0 {
			t.Errorf("%s: exit code = %d", name, code)
		}
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
	s.waitFor("the drain", func() bool { return s.logged("draining") })
	began := time.Now()
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(5 * time.Second); code != 1 {
		t.Errorf("exit code = %d, want 1", code)
	}
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
	s.waitFor("the reload", func() bool { return s.logged("secret files read again") })
	_ = master.Close() // the terminal is closed
	if code := s.exitCode(5 * time.Second); code != 0 || !s.logged("the terminal was closed") {
		t.Errorf("exit code = %d, want 0 and the reason in the log", code)
	}
}
