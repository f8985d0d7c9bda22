package certs

import (
	"crypto/x509"

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
