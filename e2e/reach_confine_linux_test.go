package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// needConfinement skips the test where the kernel or the build cannot.
func needConfinement(t *testing.T) {
	t.Helper()
	s := start(t, defaultEnv("http://127.0.0.1:9"))
	_ = s.cmd.Process.Kill()
	if text := s.log.String(); !strings.Contains(text, `"message":"confined"`) {
		t.Skipf("NOT TESTED: the sidecar cannot be confined here: %s", text)
	}
}

// Everything that reads a file, makes a socket or connects after the start, in a
// process that cannot but be confined.
func TestConfinedSidecarDoesAllOfItsWork(t *testing.T) {
	t.Parallel()
	needConfinement(t)

	// An upstream under a name, over TLS, that asks for a certificate.
	upstreamCA, directory := newCA(t), t.TempDir()
	sim := monitetest.New(monitetest.Config{})
	upstream := httptest.NewUnstartedServer(sim)
	var asked atomic.Int64 // the serial number of the last certificate shown
	upstream.TLS = upstreamCA.server("localhost", time.Now().Add(time.Hour))
	upstream.TLS.ClientAuth = tls.RequireAnyClientCert
	upstream.TLS.SessionTicketsDisabled = true // a resumed session shows no certificate anew
	upstream.TLS.VerifyConnection = func(state tls.ConnectionState) error {
		asked.Store(state.PeerCertificates[0].SerialNumber.Int64())
		return nil
	}
	upstream.StartTLS()
	t.Cleanup(upstream.Close)
	port := portOf(upstream.Listener.Addr().String())

	secrets, sockets := t.TempDir(), shortDir(t)
	mountSecret(t, secrets, "wrong")
	upstreamCert, upstreamKey := filepath.Join(directory, "up.crt"), filepath.Join(directory, "up.key")
	upstreamCA.issue(upstreamCert, upstreamKey, 7, x509.ExtKeyUsageClientAuth)
	data := filepath.Join(sockets, "data.sock")
	e := defaultEnv("https://localhost:"+port).with(
		"MONITE_CONFINE", "require", "MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE", filepath.Join(secrets, "secret"),
		"MONITE_CA_FILE", upstreamCA.file, "MONITE_UPSTREAM_CERT_FILE", upstreamCert, "MONITE_UPSTREAM_KEY_FILE", upstreamKey,
		"MONITE_LISTEN_ADDR", "unix:"+data)
	s := start(t, e)
	s.waitLogged("mint failed")

	// The kubelet's swap; seen by the watcher.
	mountSecret(t, secrets, monitetest.DemoClientSecret)
	s.ready()
	wantOver(t, data)

	// A renewed certificate for upstream, read at the next handshake.
	upstreamCA.issue(upstreamCert, upstreamKey, 8, x509.ExtKeyUsageClientAuth)
	upstream.CloseClientConnections()
	wantOver(t, data)
	if got := asked.Load(); got != 8 {
		t.Errorf("upstream was shown certificate %d, want the renewed one, 8", got)
	}

	// A whole new mint, asked for by SIGHUP's sibling on the admin listener.
	mints := sim.Stats().Mints
	s.signal(syscall.SIGHUP)
	s.waitLogged("secret files read again")
	if a := s.admin("POST", "/tokens/refresh"); a.Status != http.StatusAccepted {
		t.Errorf("refresh: %d", a.Status)
	}
	wiretest.Eventually(t, "another mint", func() bool { return sim.Stats().Mints > mints })
	for _, name := range []string{"process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds", "process_max_fds"} {
		if s.metricValue(name) <= 0 {
			t.Errorf("metric %s is missing", name)
		}
	}
	if failed := s.metricValue(`monite_proxy_secret_reloads_total{result="failed"}`); failed != 0 {
		t.Errorf("%g reloads failed", failed)
	}

	// The proof that it is confined: a file elsewhere, to which a link now leads.
	leadElsewhere(t, secrets, "another secret")
	s.waitFor("a refusal by the kernel", func() bool {
		return strings.Contains(s.log.String(), "permission denied") && s.metricValue(`monite_proxy_secret_reloads_total{result="failed"}`) > 0
	})
	wantOver(t, data) // with the old secret

	s.signal(syscall.SIGTERM)
	s.ends(0, 10*time.Second)
	if left, _ := os.ReadDir(sockets); len(left) != 0 {
		t.Errorf("left in the directory of the socket: %v", left)
	}
}

// leadElsewhere has the mounted secret be in another directory.
func leadElsewhere(t *testing.T, secrets, clientSecret string) {
	t.Helper()
	elsewhere, link := t.TempDir(), filepath.Join(secrets, "..data_tmp")
	writeFile(t, filepath.Join(elsewhere, "secret"), clientSecret)
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(secrets, "..data")); err != nil {
		t.Fatal(err)
	}
}

// The TLS files of the data listener are read at handshakes.
func TestConfinedSidecarRotatesItsCertificate(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	url := script(t, nil, answerOK)
	r := startTLS(t, defaultEnv(url).with("MONITE_CONFINE", "require"), nil)
	r.ca.issue(r.cert, r.key, 200, x509.ExtKeyUsageServerAuth)
	if a, serial, err := r.get(r.client()); err != nil || a.Status != http.StatusOK || serial != 200 {
		t.Errorf("%d, certificate %d, %v, want 200 and certificate 200", a.Status, serial, err)
	}
}

func TestConfinementCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	mountSecret(t, secrets, "wrong")
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url).with("MONITE_CONFINE", "off", "MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE",
		filepath.Join(secrets, "secret")))
	leadElsewhere(t, secrets, monitetest.DemoClientSecret) // TestConfinedSidecarDoesAllOfItsWork shows that to be refused
	s.ready()
	if sim.Stats().Mints == 0 || strings.Contains(s.log.String(), `"message":"confined"`) {
		t.Error("it is confined all the same")
	}
}

// By names: the resolver reads its files and asks over UDP, and over TCP.
func TestConfinedSidecarResolvesNames(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can give the sidecar a resolv.conf of its own")
	}
	port := portOf(script(t, nil, answerOK))
	s := startAsking(t, newNameServer(t, ""), defaultEnv("http://api.monite.test:"+port).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true",
		"MONITE_CONFINE",
		"require")).ready()
	s.want(http.StatusOK, "GET", "/v1/entities", "")
}

// The system's roots lie, or are linked to, anywhere.
func TestConfinedSidecarTrustsTheSystemsRoots(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	ca := newCA(t)
	upstream := httptest.NewUnstartedServer(monitetest.New(monitetest.Config{}))
	upstream.TLS = ca.server("localhost", time.Now().Add(time.Hour))
	upstream.StartTLS()
	t.Cleanup(upstream.Close)
	port := portOf(upstream.Listener.Addr().String())
	start(t, defaultEnv("https://localhost:"+port).with("MONITE_CONFINE", "require", "SSL_CERT_FILE", ca.file)).ready()
}

// A service manager may listen on a socket that is in no directory.
func TestConfinedSidecarReachesAnAbstractManager(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	_, url := simulate(t, monitetest.Config{})
	m := newManager(t, "@monite-proxy-test-"+rand.Text())
	s := start(t, defaultEnv(url).with("MONITE_CONFINE", "require", "NOTIFY_SOCKET", m.path))
	s.waitFor("READY=1", func() bool { return m.heard("READY=1") })
}

const processCanary = "CANARY-7d41e2-in-the-process"

// startAsStranger starts the sidecar as a user other than root, in a directory
// that it may write to and with cores allowed. As root it changes the user.
func startAsStranger(t *testing.T, e env) (s *sidecar, directory string) {
	t.Helper()
	directory = openDir(t, 0o777)
	wrapper := []string{"sh", "-c", `cd "$0" && ulimit -c unlimited; exec "$@"`, directory}
	if os.Geteuid() == 0 {
		setpriv, err := exec.LookPath("setpriv")
		if err != nil {
			t.Skip("NOT TESTED: setpriv is not installed")
		}
		// Others must be able to reach the program.
		if err := os.Chmod(binaries, 0o755); err != nil {
			t.Fatal(err)
		}
		wrapper = append(wrapper, setpriv, fmt.Sprintf("--reuid=%d", stranger), fmt.Sprintf("--regid=%d", stranger), "--clear-groups")
	}
	return startUnder(t, e, wrapper...), directory
}

// asTheSame runs do as the user that startAsStranger starts the sidecar as.
func asTheSame(t *testing.T, do func()) {
	if os.Geteuid() != 0 {
		do()
		return
	}
	asUser(t, stranger, do)
}

func TestProcessIsClosedToItsOwnUser(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	s, _ := startAsStranger(t, defaultEnv(url).with("MONITE_CLIENT_SECRET", processCanary))
	s.ready()
	asTheSame(t, func() {
		for _, file := range []string{"environ", "mem", "maps", "fd/0"} {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file)); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("the same user reads /proc/PID/%s: %d bytes, %v", file, len(text), err)
			}
		}
	})
	// A process of this user that hides nothing: the test is able to look.
	open := exec.Command("sleep", "30")
	if os.Geteuid() == 0 {
		open.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	}
	if err := open.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Process.Kill(); _ = open.Wait() }()
	asTheSame(t, func() {
		if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", open.Process.Pid)); err != nil {
			t.Errorf("another process of that user: %v", err)
		}
	})
}

// Not dumpable, a process that is not root finds much of its own /proc owned by
// root.
func TestProcessStillMeasuresItself(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	s, _ := startAsStranger(t, defaultEnv(url))
	s.ready()
	for _, name := range []string{
		"process_open_fds", "process_max_fds", "process_resident_memory_bytes", "process_start_time_seconds", "process_virtual_memory_bytes",
	} {
		if s.metricValue(name) <= 0 {
			t.Errorf("%s is missing", name)
		}
	}
	if s.metricValue("process_start_time_seconds") < float64(time.Now().Add(-time.Minute).Unix()) {
		t.Errorf("process_start_time_seconds = %f, want it within the last minute", s.metricValue("process_start_time_seconds"))
	}
}

func TestNoCoreAndNoSecretInATraceback(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGSEGV} {
		url := script(t, mintToken(processCanary+"-token", 1800), answerOK)
		s, directory := startAsStranger(t, defaultEnv(url).with(
			"MONITE_CLIENT_SECRET", processCanary, "MONITE_APP_TOKEN", processCanary+"-of-apps", "GOTRACEBACK", "crash",
			"MONITE_CONFINE", "off")) // confined, it could write no file at all
		s.ready()
		if a := s.mustCall("GET", "/v1/entities", "", "X-Monite-Proxy-Token", processCanary+"-of-apps"); a.Status != http.StatusOK {
			t.Fatalf("status = %d", a.Status)
		}
		s.signal(sig)
		s.exitCode(10 * time.Second)
		if status, ok := s.state.Sys().(syscall.WaitStatus); ok && status.CoreDump() {
			t.Errorf("%v: a core was dumped", sig)
		}
		if left, _ := os.ReadDir(directory); len(left) != 0 {
			t.Errorf("%v: left behind: %v", sig, left)
		}
		text := s.log.String()
		if !strings.Contains(text, "goroutine ") {
			t.Errorf("%v: no traceback, so nothing is proven", sig)
		}
		for name, form := range map[string]string{
			"plain": "CANARY-7d41e2", "hex": hex.EncodeToString([]byte("CANARY-7d41e2")), "base64": base64.StdEncoding.EncodeToString([]byte("CANARY-7d41")),
		} {
			if strings.Contains(text, form) {
				t.Errorf("%v: the traceback holds the canary, %s", sig, name)
			}
		}
	}
	if _, directory := coreOfAnother(t); directory != "" {
		t.Logf("control: another process did leave a core in %s", filepath.Base(directory))
	} else {
		t.Log("NOT PROVEN: on this system no process leaves a core in its directory")
	}
}

// coreOfAnother has a process die that does not protect itself.
func coreOfAnother(t *testing.T) (core, directory string) {
	t.Helper()
	directory = openDir(t, 0o777)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	dying := exec.CommandContext(ctx, "sh", "-c", `ulimit -c unlimited; kill -ABRT $$`)
	dying.Dir = directory
	_ = dying.Run()
	left, _ := os.ReadDir(directory)
	if len(left) == 0 {
		return "", ""
	}
	return left[0].Name(), directory
}

func TestEveryThreadHasGivenUpItsRights(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	url := script(t, nil, answerOK)
	s := start(t, defaultEnv(url).with("MONITE_CONFINE", "require")).ready()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.cmd.Process.Pid))
	if err != nil || len(threads) < 2 {
		t.Fatalf("threads: %q, %v", threads, err)
	}
	for _, path := range threads {
		status, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(status), "NoNewPrivs:\t1\n") {
			t.Errorf("%s: it may gain rights", path)
		}
	}
}

// inNamespace does something in a network namespace. What it opens there stays there. Its thread is given up: a thread
// cannot be trusted to be in the old namespace again.
func inNamespace(t *testing.T, name string, do func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine
		file, err := os.Open("/run/netns/" + name)
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			_ = file.Close()
		}
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
