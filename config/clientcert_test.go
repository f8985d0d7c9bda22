package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pair writes a certificate and its key, and returns the certificate's DER.
func pair(t *testing.T, certFile, keyFile string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<60))
	template := &x509.Certificate{SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return der
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
		t.Run(tc.name, func(t *testing.T) {
			_, err := load(t, map[string]string{"MONITE_UPSTREAM_CERT_FILE": tc.cert, "MONITE_UPSTREAM_KEY_FILE": tc.key})
			mistaken, ok := err.(*Error)
			if !ok {
				t.Fatalf("err = %v, want mistakes", err)
			}
			var got []string
			for _, m := range mistaken.Mistakes {
				got = append(got, m.Variable)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}
