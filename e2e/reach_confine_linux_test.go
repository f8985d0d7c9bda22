package e2e

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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
	_, port, _ := net.SplitHostPort(upstream.Listener.Addr().String())

	secrets, sockets := t.TempDir(), shortDir(t)
	mountSecret(t, secrets, "..2026_01", "wrong")
	upstreamCert, upstreamKey := filepath.Join(directory, "up.crt"), filepath.Join(directory, "up.key")
	upstreamCA.issue(upstreamCert, upstreamKey, 7, x509.ExtKeyUsageClientAuth)
	data := filepath.Join(sockets, "data.sock")
	e := defaultEnv("https://localhost:"+port).with(
		"MONITE_CONFINE", "require", "MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE", filepath.Join(secrets, "secret"),
		"MONITE_CA_FILE", upstreamCA.file, "MONITE_UPSTREAM_CERT_FILE", upstreamCert, "MONITE_UPSTREAM_KEY_FILE", upstreamKey,
		"MONITE_LISTEN_ADDR", "unix:"+data)
	s := start(t, e)
	s.waitFor("a refused mint", func() bool { return strings.Contains(s.log.String(), "mint failed") })

	// The kubelet's swap; seen by the watcher.
	mountSecret(t, secrets, "..2026_02", monitetest.DemoClientSecret)
	s.ready()
	call := func(when string) {
		t.Helper()
		if a, err := overSocket(data, "GET", "/v1/entities?limit=1"); err != nil || a.Status != http.StatusOK {
			t.Errorf("%s: %d %s, %v", when, a.Status, a.Body, err)
		}
	}
	call("after the swap")

	// A renewed certificate for upstream, read at the next handshake.
	upstreamCA.issue(upstreamCert, upstreamKey, 8, x509.ExtKeyUsageClientAuth)
	upstream.CloseClientConnections()
	call("after the renewal")
	if got := asked.Load(); got != 8 {
		t.Errorf("upstream was shown certificate %d, want the renewed one, 8", got)
	}

	// A whole new mint, asked for by SIGHUP's sibling on the admin listener.
	mints := sim.Stats().Mints
	s.signal(syscall.SIGHUP)
	s.waitFor("the answer to SIGHUP", func() bool { return strings.Contains(s.log.String(), "secret files read again") })
	if a, err := request(t.Context(), "POST", s.Admin+"/tokens/refresh", ""); err != nil || a.Status != http.StatusAccepted {
		t.Errorf("refresh: %d, %v", a.Status, err)
	}
	poll(t, "another mint", func() bool { return sim.Stats().Mints > mints })
	for _, name := range []string{"process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds", "process_max_fds"} {
		if s.metricValue(name) <= 0 {
			t.Errorf("metric %s is missing", name)
		}
	}
	if failed := s.metricValue(`monite_proxy_secret_reloads_total{result="failed"}`); failed != 0 {
		t.Errorf("%g reloads failed", failed)
	}

	// The proof that it is confined: a file elsewhere, to which a link now leads.
	outside := filepath.Join(t.TempDir(), "outside")
	writeFile(t, outside, "another secret")
	link := filepath.Join(secrets, "..data_tmp")
	if err := os.Symlink(filepath.Dir(outside), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(outside, filepath.Join(filepath.Dir(outside), "secret")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(secrets, "..data")); err != nil {
		t.Fatal(err)
	}
	s.waitFor("a refusal by the kernel", func() bool {
		return strings.Contains(s.log.String(), "permission denied") && s.metricValue(`monite_proxy_secret_reloads_total{result="failed"}`) > 0
	})
	call("with the old secret")

	s.signal(syscall.SIGTERM)
	if code := s.exitCode(10 * time.Second); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	if left, _ := os.ReadDir(sockets); len(left) != 0 {
		t.Errorf("left in the directory of the socket: %v", left)
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
	secrets, elsewhere := t.TempDir(), t.TempDir()
	mountSecret(t, secrets, "..2026_01", "wrong")
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url).with("MONITE_CONFINE", "off", "MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE", filepath.Join(secrets, "secret")))
	// What TestConfinedSidecarDoesAllOfItsWork shows to be refused.
	writeFile(t, filepath.Join(elsewhere, "secret"), monitetest.DemoClientSecret)
	link := filepath.Join(secrets, "..data_tmp")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(secrets, "..data")); err != nil {
		t.Fatal(err)
	}
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
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(script(t, nil, answerOK), "http://"))
	names := newNames(t)
	names.set("api.monite.test", "", "127.0.0.1")
	s := names.start(t, defaultEnv("http://api.monite.test:"+port).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true", "MONITE_CONFINE", "require")).ready()
	if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK {
		t.Errorf("status = %d, want 200", a.Status)
	}
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
	_, port, _ := net.SplitHostPort(upstream.Listener.Addr().String())
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
