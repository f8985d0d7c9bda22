package certs

import (
	"crypto/tls"
	"sync/atomic"
	"time"
)

// Client is the certificate for an upstream that asks for one. The files are read
// again at each handshake that asks, so that a renewed certificate is used without
// a restart.
type Client struct {
	pair
	last atomic.Pointer[tls.Certificate]
}

// OpenClient reads the two files. Without problems the Client always has a
// certificate.
func OpenClient(cert, key File) (*Client, []Problem) {
	c := &Client{pair: pair{cert, key}}
	certificate, problems := c.load()
	if problems != nil {
		return nil, problems
	}
	c.last.Store(certificate)
	return c, nil
}

// Certificate is for tls.Config.GetClientCertificate. It never fails.
func (c *Client) Certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if certificate, problems := c.load(); problems == nil {
		c.last.Store(certificate)
	}
	return c.last.Load(), nil
}

// Untimely says why the certificate is not valid at a moment; empty: it is.
func (c *Client) Untimely(now time.Time) string { return untimely(c.last.Load().Leaf, now) }

// Paths are the files that are read again.
func (c *Client) Paths() []string { return []string{c.cert.Path, c.key.Path} }

func (c *Client) load() (*tls.Certificate, []Problem) {
	contents, problems := read(c.cert, c.key)
	if problems != nil {
		return nil, problems
	}
	return c.parse(contents[0], contents[1])
}
