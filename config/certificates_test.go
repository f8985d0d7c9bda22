package config

import (
	"crypto/x509"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// tlsFiles are the files of a data listener.
type tlsFiles struct{ cert, key, ca string }

func newTLSFiles(t *testing.T) tlsFiles {
	directory := t.TempDir()
	f := tlsFiles{cert: filepath.Join(directory, "cert.pem"), key: filepath.Join(directory, "key.pem"), ca: filepath.Join(directory, "ca.pem")}
	pair(t, f.cert, f.key)
	pair(t, f.ca, filepath.Join(directory, "ca-key.pem"))
	return f
}

// wantMistaken loads pairs in which these variables are mistakes.
func wantMistaken(t *testing.T, name string, want []string, pairs map[string]string) {
	t.Helper()
	_, err := load(t, pairs)
	var got []string
	if mistaken, ok := errors.AsType[*Error](err); ok {
		for _, m := range mistaken.Mistakes {
			got = append(got, m.Variable)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: mistakes (-want +got):\n%s", name, diff)
	}
}

func TestServerTLSIsOffWithoutFiles(t *testing.T) {
	if mustLoad(t, nil).ServerTLS(func(error) {}) != nil {
		t.Error("TLS without a certificate")
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
		wantMistaken(t, tc.name, tc.want,
			map[string]string{"MONITE_TLS_CERT_FILE": tc.cert, "MONITE_TLS_KEY_FILE": tc.key, "MONITE_TLS_CLIENT_CA_FILE": tc.ca})
	}
}

func TestFollowedFilesAreAllThatIsReadAgain(t *testing.T) {
	f := newTLSFiles(t)
	id := writeFile(t, filepath.Join(t.TempDir(), "id"), "an-id")
	cfg := mustLoad(t, map[string]string{"MONITE_CLIENT_ID_FILE": id, "MONITE_UPSTREAM_CERT_FILE": f.cert, "MONITE_UPSTREAM_KEY_FILE": f.key,
		"MONITE_TLS_CERT_FILE": f.cert, "MONITE_TLS_KEY_FILE": f.key, "MONITE_TLS_CLIENT_CA_FILE": f.ca})
	if diff := cmp.Diff([]string{id, f.cert, f.key, f.cert, f.key, f.ca}, cfg.FollowedFiles()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRemoteListenerSaysWhatStillGuardsIt(t *testing.T) {
	f := newTLSFiles(t)
	const open = "MONITE_ALLOW_REMOTE: the data listener is open to other hosts"
	for _, tc := range []struct{ ca, token, want string }{
		{"", "", open + ", and without MONITE_APP_TOKEN or MONITE_TLS_CLIENT_CA_FILE any program that reaches it acts with these credentials"},
		{"", "long-enough-to-last", open}, {f.ca, "", open}, {f.ca, "long-enough-to-last", open},
	} {
		cfg := mustLoad(t, map[string]string{"MONITE_TLS_CERT_FILE": f.cert, "MONITE_TLS_KEY_FILE": f.key, "MONITE_TLS_CLIENT_CA_FILE": tc.ca,
			"MONITE_APP_TOKEN": tc.token, "MONITE_ALLOW_REMOTE": "true", "MONITE_LISTEN_ADDR": "192.0.2.1:1"})
		if diff := cmp.Diff([]string{tc.want}, cfg.Warnings); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tc, diff)
		}
	}
}

// pair writes a certificate and its key.
func pair(t *testing.T, certFile, keyFile string) {
	t.Helper()
	wiretest.WritePair(t, certFile, keyFile, wiretest.SelfSigned())
}

func TestNoClientCertificateByDefault(t *testing.T) {
	if mustLoad(t, nil).ClientCertificate() != nil {
		t.Error("a client certificate without a file")
	}
}

func TestBadClientCertificateIsAMistake(t *testing.T) {
	directory := t.TempDir()
	certFile, keyFile, otherKey := filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem"), filepath.Join(directory, "other.pem")
	pair(t, filepath.Join(directory, "unused.pem"), otherKey)
	pair(t, certFile, keyFile)
	missing := filepath.Join(directory, "missing")
	for _, tc := range []struct {
		name, cert, key string
		want            []string
	}{
		{"key alone", "", keyFile, []string{"MONITE_UPSTREAM_KEY_FILE"}},
		{"certificate alone", certFile, "", []string{"MONITE_UPSTREAM_CERT_FILE"}},
		{"both missing", missing, missing, []string{"MONITE_UPSTREAM_CERT_FILE", "MONITE_UPSTREAM_KEY_FILE"}},
		{"another key", certFile, otherKey, []string{"MONITE_UPSTREAM_KEY_FILE"}},
		{"swapped", keyFile, certFile, []string{"MONITE_UPSTREAM_KEY_FILE"}},
		{"directory", directory, keyFile, []string{"MONITE_UPSTREAM_CERT_FILE"}},
	} {
		wantMistaken(t, tc.name, tc.want, map[string]string{"MONITE_UPSTREAM_CERT_FILE": tc.cert, "MONITE_UPSTREAM_KEY_FILE": tc.key})
	}
}

// It may be renewed at any time, so it does not keep the sidecar from starting.
func TestCertificateThatHasEndedIsSaidAloud(t *testing.T) {
	directory := t.TempDir()
	cert, key := filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem")
	for _, tc := range []struct {
		from, until time.Duration
		why         string
	}{
		{-2 * time.Hour, time.Hour, ""},
		{-200 * time.Hour, -100 * time.Hour, "it ended on "},
		{100 * time.Hour, 200 * time.Hour, "it is not valid before "},
	} {
		wiretest.WritePair(t, cert, key, wiretest.SelfSigned(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(tc.from), time.Now().Add(tc.until)
		}))
		cfg := mustLoad(t, map[string]string{"MONITE_TLS_CERT_FILE": cert, "MONITE_TLS_KEY_FILE": key,
			"MONITE_UPSTREAM_CERT_FILE": cert, "MONITE_UPSTREAM_KEY_FILE": key})
		text := strings.Join(cfg.Warnings, "\n")
		for _, name := range []string{"MONITE_TLS_CERT_FILE", "MONITE_UPSTREAM_CERT_FILE"} {
			if said := strings.Contains(text, name+": ") && strings.Contains(text, tc.why); said != (tc.why != "") {
				t.Errorf("%s, from %v until %v: warnings %q", name, tc.from, tc.until, cfg.Warnings)
			}
		}
	}
}
