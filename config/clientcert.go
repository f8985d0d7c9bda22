package config

import (
	"crypto/tls"
	"sync/atomic"
)

// keyPair is a certificate and its key in two files, each known by a variable.
type keyPair struct {
	certVariable, certFile string
	keyVariable, keyFile   string
}

// complete reports whether both files are named; one alone is a mistake.
func (p keyPair) complete(wrong *mistakes) bool {
	switch {
	case p.certFile == "" && p.keyFile == "":
		return false
	case p.certFile == "":
		wrong.refuse(p.keyVariable, p.certVariable+" is not set")
		return false
	case p.keyFile == "":
		wrong.refuse(p.certVariable, p.keyVariable+" is not set")
		return false
	}
	return true
}

type fileProblem struct{ variable, why string }

// read returns both files as they are.
func (p keyPair) read() (certPEM, keyPEM []byte, problems []fileProblem) {
	read := func(variable, path string) []byte {
		content, why := readPEMFile(path)
		if why != "" {
			problems = append(problems, fileProblem{variable, why})
		}
		return content
	}
	certPEM = read(p.certVariable, p.certFile)
	keyPEM = read(p.keyVariable, p.keyFile)
	return certPEM, keyPEM, problems
}

// parse makes a certificate of the two. Why is a fixed text: what crypto/tls
// says could quote the files.
func (p keyPair) parse(certPEM, keyPEM []byte) (*tls.Certificate, []fileProblem) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, []fileProblem{{p.keyVariable, "the two files are not a certificate and its key"}}
	}
	return &pair, nil
}

func (p keyPair) load() (*tls.Certificate, []fileProblem) {
	certPEM, keyPEM, problems := p.read()
	if problems != nil {
		return nil, problems
	}
	return p.parse(certPEM, keyPEM)
}

// clientCertificate is shown to an upstream that asks for one. The files are
// read again at each handshake that asks, so that a renewed certificate is used
// without a restart; if they cannot be used, the last good one stays.
type clientCertificate struct {
	keyPair
	last atomic.Pointer[tls.Certificate]
}

// buildClientCertificate returns nil if no certificate is configured.
func buildClientCertificate(certFile, keyFile string, wrong *mistakes) *clientCertificate {
	c := &clientCertificate{keyPair: keyPair{"MONITE_UPSTREAM_CERT_FILE", certFile, "MONITE_UPSTREAM_KEY_FILE", keyFile}}
	if !c.complete(wrong) {
		return nil
	}
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
