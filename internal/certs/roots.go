package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/monite-proxy/monite-proxy/internal/files"
)

// maxPEMFile is far above the system bundles, which have about 250 KiB.
const maxPEMFile = 8 << 20

// Roots returns the system's roots and those of the file. A file that gives
// nothing is an error: the system's roots alone would be trusted, which is more
// than was asked for or fails later.
func Roots(path string) (*x509.CertPool, error) {
	content, err := files.Read(path, maxPEMFile)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if err := addCertificates(roots, content); err != nil {
		return nil, err
	}
	return roots, nil
}

// addCertificates is stricter than AppendCertsFromPEM, which skips what it
// cannot read: a bundle that was cut off must not pass for a whole one.
func addCertificates(roots *x509.CertPool, content []byte) error {
	count := 0
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			break
		}
		content = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return errors.New("a certificate in it is broken")
		}
		roots.AddCert(certificate)
		count++
	}
	switch {
	case bytes.Contains(content, []byte("-----BEGIN")):
		return errors.New("a certificate in it is broken")
	case count == 0:
		return errors.New("no certificate is in it")
	}
	return nil
}
