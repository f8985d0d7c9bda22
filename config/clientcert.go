package config

import (
	"crypto/tls"
	"sync/atomic"
)

// clientCertificate is shown to an upstream that asks for one. The files are
// read again at each handshake that asks, so that a renewed certificate is used
// without a restart; if they cannot be used, the last good one stays.
type clientCertificate struct {
	certFile, keyFile string
	last              atomic.Pointer[tls.Certificate]
}

// buildClientCertificate returns nil if no certificate is configured.
func buildClientCertificate(certFile, keyFile string, wrong *mistakes) *clientCertificate {
	switch {
	case certFile == "" && keyFile == "":
		return nil
	case certFile == "":
		wrong.refuse("MONITE_UPSTREAM_KEY_FILE", "MONITE_UPSTREAM_CERT_FILE is not set")
		return nil
	case keyFile == "":
		wrong.refuse("MONITE_UPSTREAM_CERT_FILE", "MONITE_UPSTREAM_KEY_FILE is not set")
		return nil
	}
	c := &clientCertificate{certFile: certFile, keyFile: keyFile}
	certificate, problems := c.load()
	for _, p := range problems {
		wrong.refuse(p.variable, p.why)
	}
	if certificate == nil {
		return nil
	}
	c.last.Store(certificate)
	return c
}

type fileProblem struct{ variable, why string }

// load reads both files. Why is a fixed text or the system's: what crypto/tls
// says could quote the files.
func (c *clientCertificate) load() (*tls.Certificate, []fileProblem) {
	var problems []fileProblem
	read := func(variable, path string) []byte {
		content, why := readPEMFile(path)
		if why != "" {
			problems = append(problems, fileProblem{variable, why})
		}
		return content
	}
	certPEM := read("MONITE_UPSTREAM_CERT_FILE", c.certFile)
	keyPEM := read("MONITE_UPSTREAM_KEY_FILE", c.keyFile)
	if problems != nil {
		return nil, problems
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, []fileProblem{{"MONITE_UPSTREAM_KEY_FILE", "the two files are not a certificate and its key"}}
	}
	return &pair, nil
}

// ClientCertificate is for tls.Config.GetClientCertificate; nil if none is
// configured.
func (c *Config) ClientCertificate() func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if c.clientCertificate == nil {
		return nil
	}
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if certificate, _ := c.clientCertificate.load(); certificate != nil {
			c.clientCertificate.last.Store(certificate)
		}
		return c.clientCertificate.last.Load(), nil
	}
}
