//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// upstream simulates as much of Monite as this needs: a token endpoint, and responses
// of 1 KB.
type upstream struct {
	url   string
	roots *x509.CertPool
	file  string // the certificate, PEM
}

const token = "delay-token-0123456789abcdef"

func newUpstream() (*upstream, error) {
	certificate := wiretest.SelfSigned(func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames = []net.IP{net.ParseIP(farIP)}, []string{"upstream"}
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
	})
	file, err := os.CreateTemp("", "delay-*.pem")
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Write(wiretest.CertPEM(certificate)); err != nil {
		return nil, err
	}
	u := &upstream{url: "https://" + farIP + ":8443", roots: x509.NewCertPool(), file: file.Name()}
	u.roots.AddCert(certificate.Leaf)
	var listener net.Listener
	if err := inside(far, func() (err error) {
		listener, err = net.Listen("tcp", farIP+":8443")
		return err
	}); err != nil {
		return nil, err
	}
	body := strings.Repeat("x", 1024)
	server := &http.Server{
		ErrorLog:  log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			switch {
			case in.URL.Path == "/v1/auth/token":
				_, _ = io.WriteString(w, `{"access_token":"`+token+`","token_type":"Bearer","expires_in":1800}`)
			case in.Header.Get("Authorization") != "Bearer "+token:
				w.WriteHeader(http.StatusUnauthorized)
			default:
				_, _ = io.WriteString(w, body)
			}
		}),
		ReadHeaderTimeout: time.Minute, IdleTimeout: 5 * time.Minute,
	}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return u, nil
}
