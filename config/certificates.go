package config

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/certs"
)

// buildRoots adds the certificates of the file to the system's. Nil: no file.
func buildRoots(name, path string, wrong *mistakes) *x509.CertPool {
	if path == "" {
		return nil
	}
	roots, err := certs.Roots(path)
	if err != nil {
		wrong.refuse(name, err.Error())
	}
	return roots
}

// buildClientCertificate returns nil if no certificate is configured.
func buildClientCertificate(parsed *spec, wrong *mistakes) *certs.Client {
	cert, key := certs.File{Name: "MONITE_UPSTREAM_CERT_FILE", Path: parsed.CertFile}, certs.File{Name: "MONITE_UPSTREAM_KEY_FILE", Path: parsed.KeyFile}
	if !bothNamed(cert, key, wrong) {
		return nil
	}
	client, problems := certs.OpenClient(cert, key)
	refuseAll(problems, wrong)
	return client
}

// buildServerTLS returns nil if no certificate is configured.
func buildServerTLS(parsed *spec, wrong *mistakes) *certs.Server {
	cert, key := certs.File{Name: "MONITE_TLS_CERT_FILE", Path: parsed.TLSCertFile}, certs.File{Name: "MONITE_TLS_KEY_FILE", Path: parsed.TLSKeyFile}
	clientCA := certs.File{Name: "MONITE_TLS_CLIENT_CA_FILE", Path: parsed.TLSClientCA}
	if !bothNamed(cert, key, wrong) {
		if clientCA.Path != "" {
			wrong.refuse(clientCA.Name, "MONITE_TLS_CERT_FILE is not set")
		}
		return nil
	}
	server, problems := certs.OpenServer(cert, key, clientCA)
	refuseAll(problems, wrong)
	return server
}

// bothNamed reports whether both files are named; one alone is a mistake.
func bothNamed(cert, key certs.File, wrong *mistakes) bool {
	switch {
	case cert.Path == "" && key.Path != "":
		wrong.refuse(key.Name, cert.Name+" is not set")
	case cert.Path != "" && key.Path == "":
		wrong.refuse(cert.Name, key.Name+" is not set")
	}
	return cert.Path != "" && key.Path != ""
}

func refuseAll(problems []certs.Problem, wrong *mistakes) {
	for _, p := range problems {
		wrong.refuse(p.Name, p.Why)
	}
}

// ClientCertificate is for tls.Config.GetClientCertificate; nil if none is
// configured.
func (c *Config) ClientCertificate() func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if c.clientCertificate == nil {
		return nil
	}
	return c.clientCertificate.Certificate
}

// ServerTLS is the configuration of the data listener; nil: it speaks plain
// HTTP. report is told of each change of the files: nil if they are in use, or
// once for each reason why they cannot be.
func (c *Config) ServerTLS(report func(error)) *tls.Config {
	if c.serverTLS == nil {
		return nil
	}
	return c.serverTLS.Config(report)
}

// ClientTLS is for a command of ours that calls the data listener; nil: the
// listener speaks plain HTTP. asks reports whether it wants a certificate of apps.
func (c *Config) ClientTLS() (own *tls.Config, asks bool) {
	if c.serverTLS == nil {
		return nil, false
	}
	return c.serverTLS.Trusting(), c.serverTLS.AsksApps()
}

// ForeignCertificate says what the certificate of the data listener is for, if it is for
// none of the names by which apps call. Empty: it is for one, or there is none, or apps
// come by a unix socket and may call it anything.
func (c *Config) ForeignCertificate() string {
	if c.serverTLS == nil || c.Listen.Network == "unix" {
		return ""
	}
	names := append([]string{"localhost", "127.0.0.1", "::1"}, c.AllowedHosts...)
	if at, _, all := c.Listen.split(); at.IsValid() && !all {
		names = append(names, at.String())
	}
	if c.serverTLS.Covers(names) {
		return ""
	}
	others := strings.Join(c.serverTLS.Names(), ", ")
	if others == "" {
		others = "no host"
	}
	return "MONITE_TLS_CERT_FILE: it is for " + others + ", and not for a name by which apps call: localhost, the address, or one of MONITE_ALLOWED_HOSTS"
}

// UntimelyCertificates has a line for each certificate that is not valid now. It may
// be renewed at any time, so that is a warning.
func (c *Config) UntimelyCertificates() (lines []string) {
	if c.serverTLS != nil {
		if why := c.serverTLS.Untimely(time.Now()); why != "" {
			lines = append(lines, "MONITE_TLS_CERT_FILE: apps refuse this certificate: "+why)
		}
	}
	if c.clientCertificate != nil {
		if why := c.clientCertificate.Untimely(time.Now()); why != "" {
			lines = append(lines, "MONITE_UPSTREAM_CERT_FILE: the upstream refuses this certificate: "+why)
		}
	}
	return lines
}
