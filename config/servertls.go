package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
)

// serverTLS is what the data listener shows to apps, and whom it believes. The
// files are looked at with each handshake, so that renewed ones are used without
// a restart and without closing a connection; if they cannot be used, the last
// good ones stay. A client CA that has gone never means that nobody is asked.
type serverTLS struct {
	keyPair
	clientCAFile string // empty: apps show no certificate
	reading      sync.Mutex
	last         atomic.Pointer[tlsFiles]
	trouble      atomic.Pointer[string] // what was reported last
}

// tlsFiles are the files as they were read, and what they mean.
type tlsFiles struct {
	cert, key, clientCA []byte
	config              *tls.Config
}

const clientCAVariable = "MONITE_TLS_CLIENT_CA_FILE"

// buildServerTLS returns nil if no certificate is configured.
func buildServerTLS(certFile, keyFile, clientCAFile string, wrong *mistakes) *serverTLS {
	s := &serverTLS{keyPair: keyPair{"MONITE_TLS_CERT_FILE", certFile, "MONITE_TLS_KEY_FILE", keyFile}, clientCAFile: clientCAFile}
	if !s.complete(wrong) {
		if clientCAFile != "" {
			wrong.refuse(clientCAVariable, "MONITE_TLS_CERT_FILE is not set")
		}
		return nil
	}
	files, problems := s.read(nil)
	for _, p := range problems {
		wrong.refuse(p.variable, p.why)
	}
	if files == nil {
		return nil
	}
	s.last.Store(files)
	return s
}

// read returns last itself if the files are still the same.
func (s *serverTLS) read(last *tlsFiles) (*tlsFiles, []fileProblem) {
	certPEM, keyPEM, problems := s.keyPair.read()
	var caPEM []byte
	if s.clientCAFile != "" {
		content, why := readPEMFile(s.clientCAFile)
		if why != "" {
			problems = append(problems, fileProblem{clientCAVariable, why})
		}
		caPEM = content
	}
	if problems != nil {
		return nil, problems
	}
	if last != nil && bytes.Equal(certPEM, last.cert) && bytes.Equal(keyPEM, last.key) && bytes.Equal(caPEM, last.clientCA) {
		return last, nil
	}
	certificate, problems := s.parse(certPEM, keyPEM)
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if s.clientCAFile != "" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool() // these alone, not the system's
		// A resumed session would carry a certificate over that the CA of now may
		// not have signed.
		config.SessionTicketsDisabled = true
		if why := addCertificates(config.ClientCAs, caPEM); why != "" {
			problems = append(problems, fileProblem{clientCAVariable, why})
		}
	}
	if problems != nil {
		return nil, problems
	}
	config.Certificates = []tls.Certificate{*certificate}
	return &tlsFiles{certPEM, keyPEM, caPEM, config}, nil
}

// current returns the configuration for a handshake of now.
func (s *serverTLS) current(report func(error)) *tls.Config {
	last := s.last.Load()
	if !s.reading.TryLock() { // somebody looks already: no crowd waits for the disk
		return last.config
	}
	files, problems := s.read(last)
	if files != nil {
		s.last.Store(files)
	}
	s.reading.Unlock()

	text := ""
	if problems != nil {
		text = problems[0].variable + ": " + problems[0].why
	}
	before := s.trouble.Swap(&text)
	switch known := before != nil && *before == text; {
	case text != "" && !known:
		report(errors.New(text))
	case files != nil && files != last:
		report(nil)
	}
	return s.last.Load().config
}

func (s *serverTLS) files() []string {
	switch {
	case s == nil:
		return nil
	case s.clientCAFile == "":
		return []string{s.certFile, s.keyFile}
	}
	return []string{s.certFile, s.keyFile, s.clientCAFile}
}

// ServerTLS is the configuration of the data listener; nil: it speaks plain
// HTTP. report is told of each change of the files: nil if they are in use, or
// once for each reason why they cannot be.
func (c *Config) ServerTLS(report func(error)) *tls.Config {
	s := c.serverTLS
	if s == nil {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current(report), nil },
	}
}

// ClientTLS is for a command of ours that calls the data listener: it trusts the
// certificate of the listener, for as long as it is valid, and shows none. nil:
// the listener speaks plain HTTP. asks reports whether it wants one of apps.
func (c *Config) ClientTLS() (own *tls.Config, asks bool) {
	s := c.serverTLS
	if s == nil {
		return nil, false
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	leaf := s.last.Load().config.Certificates[0].Leaf
	config.RootCAs.AddCert(leaf)
	switch {
	case len(leaf.DNSNames) > 0:
		config.ServerName = strings.Replace(leaf.DNSNames[0], "*", "any", 1)
	case len(leaf.IPAddresses) > 0:
		config.ServerName = leaf.IPAddresses[0].String()
	}
	return config, s.clientCAFile != ""
}
