package config

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
	pair(t, f.cert, f.key)
	pair(t, f.ca, filepath.Join(directory, "ca-key.pem"))
	cfg := mustLoad(t, map[string]string{"MONITE_TLS_CERT_FILE": f.cert, "MONITE_TLS_KEY_FILE": f.key, "MONITE_TLS_CLIENT_CA_FILE": f.ca})
	f.config = cfg.ServerTLS(func(err error) {
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

func TestServerTLSIsOffWithoutFiles(t *testing.T) {
	if mustLoad(t, nil).ServerTLS(func(error) {}) != nil {
		t.Error("TLS without a certificate")
	}
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
	renewed := pair(t, f.cert, f.key)
	if got := f.handshake(t); string(got.Certificates[0].Certificate[0]) != string(renewed) {
		t.Error("the renewed certificate is not shown")
	}
	before := f.handshake(t).ClientCAs
	pair(t, f.ca, f.ca+".key")
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
	pair(t, f.cert, f.key)
	pair(t, f.ca, f.ca+".key")
	if f.handshake(t) == good || f.reports[len(f.reports)-1] != "changed" {
		t.Errorf("not in use again; reports = %q", f.reports)
	}
}

func TestBadServerTLSIsAMistake(t *testing.T) {
	directory := t.TempDir()
	cert, key, other := filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem"), filepath.Join(directory, "other.pem")
	pair(t, filepath.Join(directory, "unused.pem"), other)
	pair(t, cert, key)
	missing := filepath.Join(directory, "missing")
	for _, tc := range []struct {
		name, cert, key, ca string
		want                []string
	}{
		{"key alone", "", key, "", []string{"MONITE_TLS_KEY_FILE"}},
		{"certificate alone", cert, "", "", []string{"MONITE_TLS_CERT_FILE"}},
		{"CA alone", "", "", cert, []string{"MONITE_TLS_CLIENT_CA_FILE"}},
		{"another key", cert, other, "", []string{"MONITE_TLS_KEY_FILE"}},
		{"CA missing", cert, key, missing, []string{"MONITE_TLS_CLIENT_CA_FILE"}},
		{"CA without certificate", cert, key, key, []string{"MONITE_TLS_CLIENT_CA_FILE"}},
		{"all missing", missing, missing, missing, []string{"MONITE_TLS_CERT_FILE", "MONITE_TLS_KEY_FILE", "MONITE_TLS_CLIENT_CA_FILE"}},
	} {
		_, err := load(t, map[string]string{"MONITE_TLS_CERT_FILE": tc.cert, "MONITE_TLS_KEY_FILE": tc.key, "MONITE_TLS_CLIENT_CA_FILE": tc.ca})
		var got []string
		if mistaken, ok := errors.AsType[*Error](err); ok {
			for _, m := range mistaken.Mistakes {
				got = append(got, m.Variable)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: mistakes (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestFollowedFilesAreAllThatIsReadAgain(t *testing.T) {
	f := newTLSFixture(t)
	id := writeFile(t, filepath.Join(t.TempDir(), "id"), "an-id")
	cfg := mustLoad(t, map[string]string{"MONITE_CLIENT_ID_FILE": id, "MONITE_UPSTREAM_CERT_FILE": f.cert, "MONITE_UPSTREAM_KEY_FILE": f.key,
		"MONITE_TLS_CERT_FILE": f.cert, "MONITE_TLS_KEY_FILE": f.key, "MONITE_TLS_CLIENT_CA_FILE": f.ca})
	if diff := cmp.Diff([]string{id, f.cert, f.key, f.cert, f.key, f.ca}, cfg.FollowedFiles()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRemoteListenerSaysWhatStillGuardsIt(t *testing.T) {
	f := newTLSFixture(t)
	const open = "MONITE_ALLOW_REMOTE: the data listener is open to other hosts"
	for _, tc := range []struct{ ca, token, want string }{
		{"", "", open + ", and without MONITE_APP_TOKEN or MONITE_TLS_CLIENT_CA_FILE whoever reaches it acts with these credentials"},
		{"", "long-enough-to-last", open}, {f.ca, "", open}, {f.ca, "long-enough-to-last", open},
	} {
		cfg := mustLoad(t, map[string]string{"MONITE_TLS_CERT_FILE": f.cert, "MONITE_TLS_KEY_FILE": f.key, "MONITE_TLS_CLIENT_CA_FILE": tc.ca,
			"MONITE_APP_TOKEN": tc.token, "MONITE_ALLOW_REMOTE": "true", "MONITE_LISTEN_ADDR": "192.0.2.1:1"})
		if diff := cmp.Diff([]string{tc.want}, cfg.Warnings); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tc, diff)
		}
	}
}
