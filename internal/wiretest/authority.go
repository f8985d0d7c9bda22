package wiretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority that is not trusted yet.
func NewAuthority() *Authority {
	signed := SelfSigned(func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "Test Authority", Organization: []string{"Test Authority"}}
		c.DNSNames, c.IPAddresses, c.ExtKeyUsage = nil, nil, nil
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		c.NotBefore, c.NotAfter = time.Now().Add(-1000*time.Hour), time.Now().Add(10_000*time.Hour)
	})
	return &Authority{Cert: signed.Leaf, key: signed.PrivateKey.(*ecdsa.PrivateKey)}
}

// Pool trusts the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	return pool
}

// PEM is the authority's own certificate.
func (a *Authority) PEM() []byte { return certPEM(a.Cert.Raw) }

// Issue signs the certificate of a server at localhost and 127.0.0.1, or what
// changes make of it.
func (a *Authority) Issue(changes ...func(*x509.Certificate)) tls.Certificate {
	return sign(a.Cert, a.key, changes)
}

// Server is the TLS of a server with such a certificate.
func (a *Authority) Server(changes ...func(*x509.Certificate)) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.Issue(changes...)}}
}

// SelfSigned is the same certificate without an authority.
func SelfSigned(changes ...func(*x509.Certificate)) tls.Certificate { return sign(nil, nil, changes) }

func sign(parent *x509.Certificate, by *ecdsa.PrivateKey, changes []func(*x509.Certificate)) tls.Certificate {
	serial := must(rand.Int(rand.Reader, big.NewInt(1<<60)))
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: "test"},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(1000 * time.Hour),
	}
	for _, change := range changes {
		change(template)
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	if parent == nil {
		parent, by = template, key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

// CertPEM and KeyPEM are the two files of a certificate.
func CertPEM(c tls.Certificate) []byte { return certPEM(c.Certificate[0]) }

// KeyPEM is the key in PKCS #8.
func KeyPEM(c tls.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(c.PrivateKey))})
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// must panics on an error that only a wrong test can cause.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// WritePair writes a certificate and its key, for a server or a client.
func WritePair(t testing.TB, certFile, keyFile string, c tls.Certificate) {
	t.Helper()
	for file, content := range map[string][]byte{certFile: CertPEM(c), keyFile: KeyPEM(c)} {
		Must(t, os.WriteFile(file, content, 0o600))
	}
}
