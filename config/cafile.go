package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"

	"github.com/monite-proxy/monite-proxy/internal/files"
)

// maxPEMFile is far above the system bundles, which have about 250 KiB.
const maxPEMFile = 8 << 20

// buildRoots adds the certificates of the file to the system's. Nil: no file.
// A file that gives nothing is a mistake: without it the system's roots alone
// would be trusted, which is more than was asked for or fails later.
func buildRoots(name, path string, wrong *mistakes) *x509.CertPool {
	if path == "" {
		return nil
	}
	content, problem := readPEMFile(path)
	if problem != "" {
		wrong.refuse(name, problem)
		return nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if problem := addCertificates(roots, content); problem != "" {
		wrong.refuse(name, problem)
		return nil
	}
	return roots
}

// addCertificates is stricter than AppendCertsFromPEM, which skips what it
// cannot read: a bundle that was cut off must not pass for a whole one.
func addCertificates(roots *x509.CertPool, content []byte) (problem string) {
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
			return "a certificate in it is broken"
		}
		roots.AddCert(certificate)
		count++
	}
	switch {
	case bytes.Contains(content, []byte("-----BEGIN")):
		return "a certificate in it is broken"
	case count == 0:
		return "no certificate is in it"
	}
	return ""
}

// readPEMFile returns a problem that does not hold the path, which is a value.
func readPEMFile(path string) (content []byte, problem string) {
	content, err := files.Read(path, maxPEMFile)
	if err != nil {
		return nil, err.Error()
	}
	return content, ""
}
