package e2e

import (
	"fmt"
	"io"
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

	"golang.org/x/sys/unix"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

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
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", "localhost:0").with("MONITE_ADMIN_ADDR", "localhost:0").with("MONITE_ENTITY_ID", monitetest.DemoEntityID)
	s := start(t, e).ready()
	if status, body := get6(t, s.Data, "/v1/payables"); status != http.StatusOK {
		t.Errorf("data on ::1 = %d %s", status, body)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.Data, "http://"))
	if status, body := get6(t, s.Admin, "/status"); status != http.StatusOK || !strings.Contains(body, `"[::1]:`+port+`"`) || !strings.Contains(body, `"127.0.0.1:`+port+`"`) {
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
		e := defaultEnv(url).with("MONITE_LISTEN_ADDR", "localhost:"+port).with("LISTEN_FDS", fmt.Sprint(len(files))).with("MONITE_ENTITY_ID", monitetest.DemoEntityID)
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
	for range writes {
		calling.Go(func() { _, _ = s.call("POST", "/v1/payables", `{"amount":1}`) })
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
