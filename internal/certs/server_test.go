package certs

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tlsFixture is a data listener with all three files.
type tlsFixture struct {
	cert, key, ca string
	reports       []string
	config        *tls.Config
}

func newTLSFixture(t *testing.T) *tlsFixture {
	directory := t.TempDir()
	f := &tlsFixture{cert: filepath.Join(directory, "cert.pem"), key: filepath.Join(directory, "key.pem"), ca: filepath.Join(directory, "ca.pem")}
	writePair(t, f.cert, f.key)
	writePair(t, f.ca, filepath.Join(directory, "ca-key.pem"))
	server, problems := OpenServer(File{"cert", f.cert}, File{"key", f.key}, File{"ca", f.ca})
	if problems != nil {
		t.Fatal(problems)
	}
	f.config = server.Config(func(err error) {
		if err == nil {
			err = errors.New("changed")
		}
		f.reports = append(f.reports, err.Error())
	})
	return f
}

// handshake is the configuration that a handshake of now would have.
func (f *tlsFixture) handshake(t *testing.T) *tls.Config {
	t.Helper()
	config, err := f.config.GetConfigForClient(&tls.ClientHelloInfo{})
	if err != nil || config == nil {
		t.Fatalf("GetConfigForClient() = %v, %v", config, err)
	}
	return config
}

func TestServerTLSAsksForWhatItWasTold(t *testing.T) {
	config := newTLSFixture(t).handshake(t)
	if config.ClientAuth != tls.RequireAndVerifyClientCert || config.ClientCAs == nil || !config.SessionTicketsDisabled {
		t.Errorf("client certificates: %v, %v, tickets off: %v", config.ClientAuth, config.ClientCAs, config.SessionTicketsDisabled)
	}
	if config.MinVersion != tls.VersionTLS12 || !slices.Equal(config.NextProtos, []string{"http/1.1"}) {
		t.Errorf("version %x, protocols %q", config.MinVersion, config.NextProtos)
	}
}

func TestServerTLSFollowsItsFiles(t *testing.T) {
	f := newTLSFixture(t)
	first := f.handshake(t)
	if f.handshake(t) != first || f.reports != nil {
		t.Error("files that are the same were read as changed")
	}
	renewed := writePair(t, f.cert, f.key)
	if got := f.handshake(t); string(got.Certificates[0].Certificate[0]) != string(renewed) {
		t.Error("the renewed certificate is not shown")
	}
	before := f.handshake(t).ClientCAs
	writePair(t, f.ca, f.ca+".key")
	if f.handshake(t).ClientCAs.Equal(before) {
		t.Error("the new client CA is not in use")
	}
	if diff := cmp.Diff([]string{"changed", "changed"}, f.reports); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

// To ask for no certificate when the CA file is gone would open the door
// (CVE-2026-27586).
func TestServerTLSKeepsAskingWhenItsFilesGo(t *testing.T) {
	f := newTLSFixture(t)
	good := f.handshake(t)
	spoil := map[string]func(){
		"no CA file":       func() { _ = os.Remove(f.ca) },
		"an empty CA file": func() { writeFile(t, f.ca, "") },
		"a broken CA file": func() { writeFile(t, f.ca, "-----BEGIN CERTIFICATE-----\nAAAA\n") },
		"a broken key":     func() { writeFile(t, f.key, "no key") },
		"no certificate":   func() { _ = os.Remove(f.cert) },
	}
	for _, name := range []string{"no CA file", "an empty CA file", "a broken CA file", "a broken key", "no certificate"} {
		spoil[name]()
		for range 3 {
			if f.handshake(t) != good {
				t.Fatalf("%s: another configuration than the last good one", name)
			}
		}
	}
	// One line for each reason, however many handshakes: the certificate's reason
	// comes before the key's.
	if len(f.reports) < 3 || len(f.reports) > 5 || slices.Contains(f.reports, "changed") {
		t.Errorf("reports = %q", f.reports)
	}
	writePair(t, f.cert, f.key)
	writePair(t, f.ca, f.ca+".key")
	if f.handshake(t) == good || f.reports[len(f.reports)-1] != "changed" {
		t.Errorf("not in use again; reports = %q", f.reports)
	}
}
