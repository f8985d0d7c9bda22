package certs

import (
	"bytes"
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// writePair writes a certificate and its key, and returns the certificate's DER.
func writePair(t testing.TB, certFile, keyFile string) []byte {
	t.Helper()
	pair := wiretest.SelfSigned()
	wiretest.WritePair(t, certFile, keyFile, pair)
	return pair.Certificate[0]
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	wiretest.Must(t, os.WriteFile(path, []byte(content), 0o600))
}

func shown(t *testing.T, client *Client) []byte {
	t.Helper()
	certificate, err := client.Certificate(&tls.CertificateRequestInfo{})
	wiretest.Must(t, err)
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
	wiretest.Must(t, os.Remove(certFile))
	if !bytes.Equal(shown(t, client), renewed) {
		t.Error("a missing file took the last good certificate away")
	}
}
