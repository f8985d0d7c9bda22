package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func makeRoot(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// readPlainly is what crypto/x509 does.
func readPlainly(bundle string, directories []string) *x509.CertPool {
	roots := x509.NewCertPool()
	text, _ := os.ReadFile(bundle)
	roots.AppendCertsFromPEM(text)
	for _, directory := range directories {
		entries, _ := os.ReadDir(directory)
		for _, entry := range entries {
			more, _ := os.ReadFile(filepath.Join(directory, entry.Name()))
			roots.AppendCertsFromPEM(more)
		}
	}
	return roots
}

func TestRootsAreThoseOfTheBundleAndOfTheDirectories(t *testing.T) {
	a, b, c, d := makeRoot(t, "a"), makeRoot(t, "b"), makeRoot(t, "c"), makeRoot(t, "d")
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, in := range map[string]struct {
		bundle []byte
		files  map[string][]byte
		roots  int
	}{
		"nothing more":              {join(a, b), map[string][]byte{"a.pem": a, "b.crt": append([]byte("\n"), b...)}, 2},
		"one more":                  {join(a, b), map[string][]byte{"a.pem": a, "c.pem": c}, 3},
		"more in a file of several": {join(a, b), map[string][]byte{"some.pem": join(a, c, d)}, 4},
		"other line ends":           {a, map[string][]byte{"a.pem": bytes.ReplaceAll(a, []byte("\n"), []byte("\r\n"))}, 1},
		"comments":                  {join([]byte("# a\n"), a, []byte("# b\n"), b), map[string][]byte{"a.pem": a, "b.pem": join([]byte("# b\n"), b), "c.pem": join([]byte("# c\n"), c)}, 3},
		// Of such a bundle nothing after the first line end is read, so the file counts.
		"a begin within a line": {join(bytes.TrimSpace(a), b), map[string][]byte{"a.pem": a, "b.pem": b}, 2},
		"a bundle cut off":      {join(a, b[:len(b)/2]), map[string][]byte{"b.pem": b}, 2},
		"what is none":          {a, map[string][]byte{"README": []byte("no certificate"), "b.pem": b[:len(b)/2]}, 1},
		"an empty bundle":       {nil, map[string][]byte{"a.pem": a}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			write := func(name string, text []byte) {
				if err := os.WriteFile(filepath.Join(directory, name), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("bundle.crt", in.bundle)
			for file, text := range in.files {
				write(file, text)
				if err := os.Symlink(file, filepath.Join(directory, "hash-of-"+file)); err != nil {
					t.Fatal(err)
				}
			}
			elsewhere := t.TempDir()
			if err := os.Symlink(filepath.Join(directory, "bundle.crt"), filepath.Join(elsewhere, "link.pem")); err != nil {
				t.Fatal(err)
			}
			directories := []string{directory, elsewhere, filepath.Join(directory, "none")}
			bundle := filepath.Join(directory, "bundle.crt")
			got := readRoots(bundle, directories)
			if !got.Equal(readPlainly(bundle, directories)) {
				t.Error("the roots are not those that crypto/x509 reads")
			}
			if n := len(got.Subjects()); n != in.roots { //nolint:staticcheck // deprecated for the pools of other systems
				t.Errorf("roots = %d, want %d", n, in.roots)
			}
		})
	}
}

func TestSystemRootsAreThoseOfTheStandardLibrary(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", "")
	t.Setenv("SSL_CERT_DIR", "")
	want, err := x509.SystemCertPool()
	if err != nil {
		t.Skip(err)
	}
	got, err := SystemRoots()
	if err != nil || !got.Equal(want) {
		t.Errorf("SystemRoots() differs from x509.SystemCertPool() (%v)", err)
	}
	got.AddCert(&x509.Certificate{Raw: []byte("x")})
	if again, _ := SystemRoots(); !again.Equal(want) {
		t.Error("who adds to the roots adds to those of all")
	}
}
