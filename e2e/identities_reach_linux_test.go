package e2e

import (
	"crypto/x509"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

const oneIdentity = `identities:
  - {name: one, grant_type: client_credentials, listen_addr: "AT"}
`

// A file that changes after the confinement: it is read, its socket is made, and
// a socket that is out of reach leaves everything as it was.
func TestConfinedSidecarFollowsItsIdentities(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	_, url := simulate(t, monitetest.Config{})
	sockets, elsewhere := shortDir(t), shortDir(t)
	path := filepath.Join(t.TempDir(), "identities.yaml")
	one, two := filepath.Join(sockets, "one.sock"), filepath.Join(sockets, "two.sock")
	at := func(socket string) { writeFile(t, path, strings.Replace(oneIdentity, "AT", "unix:"+socket, 1)) }
	at(one)
	s := start(t, defaultEnv(url).with("MONITE_CONFINE", "require", "MONITE_IDENTITIES_FILE", path)).ready()
	served := func(socket string) bool {
		a, err := overSocket(socket, "GET", "/v1/entities?limit=1")
		return err == nil && a.Status == http.StatusOK
	}
	if !served(one) {
		t.Error("the socket of the start is not served")
	}
	at(two)
	s.waitFor("the new socket", func() bool { return served(two) })
	at(filepath.Join(elsewhere, "three.sock"))
	s.waitFor("a refused file", func() bool { return strings.Contains(s.log.String(), "the old identities stay") })
	if !served(two) {
		t.Error("a file that was refused took the old socket away")
	}
}

// What guards the data listener guards those of identities.
func TestIdentitysSocketKnowsItsPeers(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	sockets := shortDir(t)
	path, socket := filepath.Join(t.TempDir(), "identities.yaml"), filepath.Join(sockets, "one.sock")
	writeFile(t, path, strings.Replace(oneIdentity, "AT", "unix:"+socket, 1))
	s := start(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path, "MONITE_LISTEN_ADDR", "unix:"+filepath.Join(sockets, "data.sock"),
		"MONITE_ALLOWED_PEER_UIDS", "64999")).ready()
	if a, err := overSocket(socket, "GET", "/v1/entities?limit=1"); err == nil {
		t.Errorf("another user is answered %d", a.Status)
	}
	s.waitFor("a refused peer", func() bool { return s.metricValue("monite_proxy_refused_peers_total") > 0 })
}

func TestIdentitysListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	port := freePort(t)
	path := filepath.Join(t.TempDir(), "identities.yaml")
	writeFile(t, path, strings.Replace(oneIdentity, "AT", port, 1))
	appCA := newCA(t)
	r := startTLS(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path), appCA)
	directory := t.TempDir()
	certificate := appCA.issue(filepath.Join(directory, "app.crt"), filepath.Join(directory, "app.key"), 5, x509.ExtKeyUsageClientAuth)
	r.Data = "http://" + port
	if a, _, err := r.get(r.client(certificate)); err != nil || a.Status != http.StatusOK {
		t.Errorf("with a certificate: %d, %v", a.Status, err)
	}
	if a, _, err := r.get(r.client()); err == nil {
		t.Errorf("without a certificate: %d", a.Status)
	}
	if conn, err := net.Dial("tcp", port); err == nil {
		_, _ = conn.Write([]byte("GET /v1/entities HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		reply := make([]byte, 64)
		n, _ := conn.Read(reply)
		if strings.Contains(string(reply[:n]), "200") {
			t.Errorf("without TLS: %q", reply[:n])
		}
		_ = conn.Close()
	}
}
