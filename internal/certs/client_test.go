package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writePair writes a certificate and its key, and returns the certificate's DER.
func writePair(t testing.TB, certFile, keyFile string) []byte {
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

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func shown(t *testing.T, client *Client) []byte {
	t.Helper()
	certificate, err := client.Certificate(&tls.CertificateRequestInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return certificate.Certificate[0]
}

func TestClientCertificateFollowsItsFiles(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	first := writePair(t, certFile, keyFile)
	client, problems := OpenClient(File{"cert", certFile}, File{"key", keyFile})
	if problems != nil {
		t.Fatal(problems)
	}
	if !bytes.Equal(shown(t, client), first) {
		t.Error("another certificate is shown than that of the file")
	}
	renewed := writePair(t, certFile, keyFile)
	if !bytes.Equal(shown(t, client), renewed) {
		t.Error("the renewed certificate is not shown")
	}
	writeFile(t, keyFile, "not a key")
	if !bytes.Equal(shown(t, client), renewed) {
		t.Error("a broken key file took the last good certificate away")
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shown(t, client), renewed) {
		t.Error("a missing file took the last good certificate away")
	}
}
