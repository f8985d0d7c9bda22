package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// tlsReach is a sidecar whose data listener speaks TLS.
type tlsReach struct {
	*sidecar
	t               *testing.T
	ca              *faultCA
	cert, key, file string // file: the CA of clients
}

func startTLS(t *testing.T, e env, clientCA *faultCA) *tlsReach {
	t.Helper()
	directory := t.TempDir()
	r := &tlsReach{t: t, ca: newCA(t), cert: filepath.Join(directory, "tls.crt"), key: filepath.Join(directory, "tls.key")}
	r.ca.issue(r.cert, r.key, 100, x509.ExtKeyUsageServerAuth)
	e = e.with("MONITE_TLS_CERT_FILE", r.cert, "MONITE_TLS_KEY_FILE", r.key)
	if clientCA != nil {
		r.file = filepath.Join(directory, "clients.pem")
		put(t, r.file, string(clientCA.PEM()))
		e["MONITE_TLS_CLIENT_CA_FILE"] = r.file
	}
	r.sidecar = start(t, e).ready() // the admin listener stays plain
	return r
}

// client is the configuration of an app.
func (r *tlsReach) client(certificates ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: r.ca.Pool(), Certificates: certificates, MinVersion: tls.VersionTLS10}
}

// get sends one request on a connection of its own, and returns the serial
// number of the certificate it saw.
func (r *tlsReach) get(config *tls.Config, pairs ...string) (a answer, serial int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	in := newRequest(ctx, "GET", strings.Replace(r.Data, "http:", "https:", 1)+"/v1/entities", nil)
	for i := 0; i < len(pairs); i += 2 {
		in.Header.Set(pairs[i], strings.ReplaceAll(pairs[i+1], "HOST", in.URL.Host))
	}
	config = config.Clone()
	config.VerifyConnection = func(state tls.ConnectionState) error {
		serial = state.PeerCertificates[0].SerialNumber.Int64()
		return nil
	}
	a, err = exchange(&http.Transport{DisableKeepAlives: true, TLSClientConfig: config}, in)
	return a, serial, err
}

func TestDataListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	var self atomic.Pointer[string]
	url := script(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", *self.Load()+"/v1/entities/1")
		answerOK(w, nil)
	})
	self.Store(&url)
	r := startTLS(t, defaultEnv(url), nil)

	a, serial, err := r.get(r.client())
	if err != nil || a.Status != http.StatusOK || serial != 100 {
		t.Fatalf("%d, certificate %d, %v", a.Status, serial, err)
	}
	if got := a.Header.Get("Location"); got != "/v1/entities/1" {
		t.Errorf("Location = %q, want a path: it holds for either scheme", got)
	}
	for _, origin := range []string{"https://HOST", "http://HOST", "https://evil.example"} { // no page calls, not even one of our own origin
		if a, _, err := r.get(r.client(), "Origin", origin); err != nil || a.Status != http.StatusForbidden {
			t.Errorf("Origin %s: %d, %v, want 403", origin, a.Status, err)
		}
	}
	old := r.client()
	old.MaxVersion = tls.VersionTLS11
	if a, _, err := r.get(old); err == nil {
		t.Errorf("TLS 1.1: %d, want it refused", a.Status)
	}
	plain, err := request(t.Context(), "GET", r.Data+"/v1/entities", "")
	if err != nil || plain.Status != http.StatusBadRequest || !strings.Contains(plain.Body, "HTTPS") {
		t.Errorf("plain HTTP: %d %q, %v, want 400 that names HTTPS", plain.Status, plain.Body, err)
	}
	alpn := r.client()
	alpn.NextProtos = []string{"h2", "http/1.1"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.Data, "http://"), alpn)
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("protocol = %q, want http/1.1", got)
	}
	_ = conn.Close()
}

func TestAppsNeedACertificateOfTheClientCA(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	url := script(t, nil, func(w http.ResponseWriter, r *http.Request) { served.Add(1); answerOK(w, r) })
	clientCA, other, directory := newCA(t), newCA(t), t.TempDir()
	r := startTLS(t, defaultEnv(url), clientCA)
	file := func(name string) string { return filepath.Join(directory, name) }
	good := clientCA.issue(file("a"), file("b"), 1, x509.ExtKeyUsageClientAuth)
	forServers := clientCA.issue(file("a"), file("b"), 2, x509.ExtKeyUsageServerAuth)
	foreign := other.issue(file("a"), file("b"), 3, x509.ExtKeyUsageClientAuth)

	check := func(when string) {
		t.Helper()
		before := served.Load()
		for name, config := range map[string]*tls.Config{"none": r.client(), "of another CA": r.client(foreign), "a server's": r.client(forServers)} {
			if name == "of another CA" { // shown whether asked for or not
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &foreign, nil }
			}
			if a, _, err := r.get(config); err == nil {
				t.Errorf("%s, certificate %s: answered %d", when, name, a.Status)
			}
		}
		if n := served.Load() - before; n != 0 {
			t.Errorf("%s: %d requests without a good certificate reached upstream", when, n)
		}
		if a, _, err := r.get(r.client(good)); err != nil || a.Status != http.StatusOK {
			t.Errorf("%s, a good certificate: %d, %v", when, a.Status, err)
		}
	}
	check("at first")
	if err := os.Remove(r.file); err != nil {
		t.Fatal(err)
	}
	check("without the CA file")
	// The other CA takes over: now its clients are the good ones.
	put(t, r.file, string(other.PEM()))
	good, foreign = foreign, good
	check("after the change of the CA")
	r.waitLogged("TLS files of the data listener changed")
	if n := strings.Count(r.log.String(), "TLS files of the data listener cannot be used"); n != 1 {
		t.Errorf("the log speaks %d times of the missing file, want once", n)
	}
}

func TestCertificateRotatesUnderLoad(t *testing.T) {
	t.Parallel()
	const rotations = 25
	url := script(t, nil, answerOK)
	r := startTLS(t, defaultEnv(url), nil)

	// One connection stays from the first certificate to the last.
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.Data, "http://"), r.client())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	kept := bufio.NewReader(conn)
	var sent atomic.Int64
	stop := goOn(t, 4, func(int, int) {
		if a, _, err := r.get(r.client()); err != nil || a.Status != http.StatusOK {
			t.Errorf("under rotation: %d, %v", a.Status, err)
		}
		sent.Add(1)
	})
	for i := range int64(rotations) {
		r.ca.issue(r.cert, r.key, 101+i, x509.ExtKeyUsageServerAuth)
		sendGet(conn, "/v1/entities")
		if a, err := readFrom(kept, http.MethodGet); err != nil || a.Status != http.StatusOK {
			t.Fatalf("on the kept connection: %d, %v", a.Status, err)
		}
		after := sent.Load() + 8
		wiretest.Eventually(t, "requests between two rotations", func() bool { return sent.Load() >= after || t.Failed() })
	}
	stop()
	if _, serial, err := r.get(r.client()); err != nil || serial != 100+rotations {
		t.Errorf("certificate %d, %v, want the last one, %d", serial, err, 100+rotations)
	}
	t.Logf("%d rotations, %d requests on connections of their own, 0 may fail", rotations, sent.Load())
}

// To an HTTP/1.0 app an answer of unknown length ends with its connection. A
// truncated one must not end as a whole one does, which is by close_notify.
func TestTruncatedAnswerOverTLSIsNoCleanEnd(t *testing.T) {
	t.Parallel()
	url := script(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half of it")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	r := startTLS(t, defaultEnv(url), nil)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.Data, "http://"), r.client())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "GET /v1/entities HTTP/1.0\r\nHost: localhost\r\n\r\n")
	text, err := io.ReadAll(conn)
	if err == nil {
		t.Errorf("a clean end after %q", text)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("no end at all: %v", err)
	}
}

// Handshakes that wait in the kernel's queue when the signal comes are made, and
// their requests answered.
func TestSIGTERMAnswersHandshakesThatWait(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerSlowly)
	r := startTLS(t, defaultEnv(url), nil)
	r.freeze()
	const apps = 10
	waiting := make(chan outcome, apps)
	for range apps {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.Data, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		config := r.client()
		config.ServerName = "localhost"
		go func() {
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			secured := tls.Client(conn, config)
			sendGet(secured, "/v1/entities")
			a, err := readAnswer(secured)
			waiting <- outcome{a, err}
		}()
	}
	r.signal(syscall.SIGTERM)
	r.signal(syscall.SIGCONT)
	for range apps {
		if o := <-waiting; o.err != nil || o.answer.Status != http.StatusOK {
			t.Errorf("%d, %v", o.answer.Status, o.err)
		}
	}
	r.ends(0, 5*time.Second)
}

func TestDoctorCallsTheListenerOverTLS(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	for _, c := range []struct {
		clientCA *faultCA
		want     string
	}{{nil, "takes requests for the host localhost"}, {newCA(t), "asks apps for a certificate"}} {
		e := defaultEnv(url)
		r := startTLS(t, e, c.clientCA)
		e = r.addressesOf(e).with("MONITE_TLS_CERT_FILE", r.cert, "MONITE_TLS_KEY_FILE", r.key, "MONITE_TLS_CLIENT_CA_FILE", r.file)
		wantCommand(t, 0, e, "doctor", c.want)
	}
}
