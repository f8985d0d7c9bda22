package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server holds the certificate that the data listener shows to apps, and the CAs
// whose certificates it accepts from them. The files are looked at with each
// handshake, so that renewed ones are used without a restart and without closing a
// connection. If the client CA file disappears, client certificates are still
// required.
type Server struct {
	pair
	clientCA File // without a path: apps show no certificate
	reading  sync.Mutex
	last     atomic.Pointer[serverFiles]
	trouble  atomic.Pointer[string] // what was reported last
}

// serverFiles are the files as they were read, and what they mean.
type serverFiles struct {
	contents [][]byte
	config   *tls.Config
}

// OpenServer reads the files. Without a path in clientCA apps are not asked for a
// certificate.
func OpenServer(cert, key, clientCA File) (*Server, []Problem) {
	s := &Server{pair: pair{cert, key}, clientCA: clientCA}
	files, problems := s.load(nil)
	if problems != nil {
		return nil, problems
	}
	s.last.Store(files)
	return s, nil
}

// load returns last itself if the files are still the same.
func (s *Server) load(last *serverFiles) (*serverFiles, []Problem) {
	contents, problems := read(s.cert, s.key, s.clientCA)
	if problems != nil {
		return nil, problems
	}
	if last != nil && slices.EqualFunc(contents, last.contents, bytes.Equal) {
		return last, nil
	}
	certificate, problems := s.parse(contents[0], contents[1])
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if s.AsksApps() {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool() // these alone, not the system's
		// A resumed session would carry a certificate over that the CA of now may
		// not have signed.
		config.SessionTicketsDisabled = true
		if err := addCertificates(config.ClientCAs, contents[2]); err != nil {
			problems = append(problems, Problem{s.clientCA.Name, err.Error()})
		}
	}
	if problems != nil {
		return nil, problems
	}
	config.Certificates = []tls.Certificate{*certificate}
	return &serverFiles{contents, config}, nil
}

// AsksApps reports whether apps have to show a certificate.
func (s *Server) AsksApps() bool { return s.clientCA.Path != "" }

// Config is for the listener. report is told of each change of the files: nil if
// they are in use, or once for each reason why they cannot be.
func (s *Server) Config(report func(error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current(report), nil },
	}
}

// current returns the configuration for a handshake of now.
func (s *Server) current(report func(error)) *tls.Config {
	last := s.last.Load()
	if !s.reading.TryLock() { // another handshake reads already: no crowd waits for the disk
		return last.config
	}
	files, problems := s.load(last)
	if files != nil {
		s.last.Store(files)
	}
	s.reading.Unlock()

	text := ""
	if problems != nil {
		text = problems[0].Name + ": " + problems[0].Why
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

// Trusting is for a program of this host that calls the listener: it trusts the
// listener's certificate, for as long as it is valid, and shows none.
func (s *Server) Trusting() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	leaf := s.last.Load().config.Certificates[0].Leaf
	config.RootCAs.AddCert(leaf)
	switch {
	case len(leaf.DNSNames) > 0:
		config.ServerName = strings.Replace(leaf.DNSNames[0], "*", "any", 1)
	case len(leaf.IPAddresses) > 0:
		config.ServerName = leaf.IPAddresses[0].String()
	}
	return config
}

// Covers reports whether the certificate is for one of the names or addresses.
func (s *Server) Covers(names []string) bool {
	leaf := s.last.Load().config.Certificates[0].Leaf
	return slices.ContainsFunc(names, func(name string) bool { return leaf.VerifyHostname(name) == nil })
}

// Names returns the names and addresses that the certificate is for.
func (s *Server) Names() []string {
	leaf := s.last.Load().config.Certificates[0].Leaf
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// Untimely says why the certificate is not valid at a moment; empty: it is.
func (s *Server) Untimely(now time.Time) string {
	return untimely(s.last.Load().config.Certificates[0].Leaf, now)
}

// Paths are the files that are read again.
func (s *Server) Paths() []string {
	paths := []string{s.cert.Path, s.key.Path}
	if s.AsksApps() {
		paths = append(paths, s.clientCA.Path)
	}
	return paths
}
