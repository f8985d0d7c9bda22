//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(farIP)}, DNSNames: []string{"upstream"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "delay-*.pem")
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if err := pem.Encode(file, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return nil, err
	}
	u := &upstream{url: "https://" + farIP + ":8443", roots: x509.NewCertPool(), file: file.Name()}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	u.roots.AddCert(parsed)
	var listener net.Listener
	if err := inside(far, func() (err error) {
		listener, err = net.Listen("tcp", farIP+":8443")
		return err
	}); err != nil {
		return nil, err
	}
	body := make([]byte, 1024)
	for i := range body {
		body[i] = 'x'
	}
	server := &http.Server{
		ErrorLog:  log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS13},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			switch {
			case in.URL.Path == "/v1/auth/token":
				_, _ = io.WriteString(w, `{"access_token":"`+token+`","token_type":"Bearer","expires_in":1800}`)
			case in.Header.Get("Authorization") != "Bearer "+token:
				w.WriteHeader(http.StatusUnauthorized)
			default:
				_, _ = w.Write(body)
			}
		}),
		ReadHeaderTimeout: time.Minute, IdleTimeout: 5 * time.Minute,
	}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return u, nil
}
