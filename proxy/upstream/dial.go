package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/dial"
	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// maxConnectHead limits a proxy's response to CONNECT.
const maxConnectHead = 64 << 10

// dialer makes connections to the origin, and nowhere else.
type dialer struct {
	origin     *url.URL
	addr       string      // host:port of the origin
	tls        *tls.Config // nil for a plaintext origin
	proxyTLS   *tls.Config // for an https proxy; ServerName is set per dial
	proxy      func(*url.URL) (*url.URL, error)
	dial       func(ctx context.Context, network, addr string) (net.Conn, error) // nil: tcp's
	tcp        dial.Dialer
	timeout    time.Duration // per step: connect, CONNECT, handshake
	progress   time.Duration
	maxConnAge time.Duration
	ends       context.Context //nolint:containedctx // of all connections; Transport.Abort ends it
}

// stepError is an error with the step that failed.
type stepError struct {
	op  Op
	err error
}

// connectSafely keeps a panic from ending the process: no request's goroutine is below.
func (d *dialer) connectSafely(ctx context.Context) (c *conn, failed *stepError) {
	defer func() {
		if recover() != nil {
			c, failed = nil, &stepError{OpDial, errPanic}
		}
	}()
	return d.connect(ctx)
}

func (d *dialer) connect(ctx context.Context) (c *conn, failed *stepError) {
	w, tunnel, failed := d.reach(ctx)
	if failed != nil {
		return nil, failed
	}
	defer func() {
		if c == nil { // after a panic too
			_ = w.Close()
		}
	}()
	// Up to a fifth less, so that connections made together do not end together.
	age := d.maxConnAge - rand.N(d.maxConnAge/5+1)
	retire := time.Now().Add(age)
	if d.tls == nil {
		return newConn(w, w, retire), nil
	}
	tc, err := d.handshake(ctx, tunnel, d.tls)
	if err != nil {
		return nil, &stepError{OpTLS, err}
	}
	return newConn(w, tc, retire), nil
}

// reach opens the way to the origin: the socket, and what the origin's TLS
// runs over (the socket itself, or TLS to a proxy).
func (d *dialer) reach(ctx context.Context) (*wire, net.Conn, *stepError) {
	var proxyURL *url.URL
	if d.proxy != nil {
		var err error
		if proxyURL, err = d.proxy(d.origin); err != nil {
			// Its text may quote the proxy URL, password and all.
			return nil, nil, &stepError{OpProxy, errProxyFunc}
		}
	}
	if proxyURL == nil {
		w, err := d.socket(ctx, d.addr)
		if err != nil {
			return nil, nil, &stepError{OpDial, err}
		}
		return w, w, nil
	}
	w, tunnel, err := d.reachThrough(ctx, proxyURL)
	if err != nil {
		return nil, nil, &stepError{OpProxy, err}
	}
	return w, tunnel, nil
}

func (d *dialer) reachThrough(ctx context.Context, proxyURL *url.URL) (*wire, net.Conn, error) {
	if d.tls == nil {
		return nil, nil, errProxyPlain
	}
	if (proxyURL.Scheme != "http" && proxyURL.Scheme != "https") || proxyURL.Hostname() == "" {
		return nil, nil, errProxyScheme
	}
	w, err := d.socket(ctx, hostPort(proxyURL))
	if err != nil {
		return nil, nil, err
	}
	var tunnel net.Conn = w
	if proxyURL.Scheme == "https" {
		config := d.proxyTLS.Clone()
		config.ServerName = proxyURL.Hostname()
		if tunnel, err = d.handshake(ctx, w, config); err != nil {
			_ = w.Close()
			return nil, nil, err
		}
	}
	if err := d.connectMethod(ctx, w, tunnel, proxyURL.User); err != nil {
		_ = w.Close()
		return nil, nil, err
	}
	return w, tunnel, nil
}

func (d *dialer) socket(ctx context.Context, addr string) (*wire, error) {
	if d.ends.Err() != nil {
		return nil, errAborted
	}
	nc, err := d.dialOne(ctx, addr)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: nc, stream: socket.Of(nc), progress: d.progress}
	w.closed = context.AfterFunc(d.ends, func() { _ = nc.Close() })
	return w, nil
}

func (d *dialer) dialOne(ctx context.Context, addr string) (net.Conn, error) {
	if d.dial != nil {
		ctx, cancel := context.WithTimeout(ctx, d.timeout)
		defer cancel()
		return d.dial(ctx, "tcp", addr)
	}
	return d.tcp.Dial(ctx, addr)
}

func (d *dialer) handshake(ctx context.Context, under net.Conn, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	tc := tls.Client(under, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return tc, nil
}

// connectMethod opens a tunnel to the origin (RFC 9110, 9.3.6).
func (d *dialer) connectMethod(ctx context.Context, w *wire, nc net.Conn, user *url.Userinfo) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = w.Close() })
	err := connectOver(nc, d.addr, user)
	if !stop() {
		return contextError(ctx) // the socket is closed, or will be
	}
	return err
}

func connectOver(nc net.Conn, addr string, user *url.Userinfo) error {
	var head strings.Builder
	fmt.Fprintf(&head, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", addr, addr)
	if user != nil {
		password, _ := user.Password()
		pair := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		head.WriteString("Proxy-Authorization: Basic " + pair + "\r\n")
	}
	head.WriteString("\r\n")
	if _, err := io.WriteString(nc, head.String()); err != nil {
		return err
	}
	answer := &io.LimitedReader{R: nc, N: maxConnectHead}
	br := bufio.NewReader(answer)
	if _, err := br.Peek(1); err != nil {
		return fmt.Errorf("await the response to CONNECT: %w", err)
	}
	//nolint:bodyclose // the answer to CONNECT has none; the tunnel begins here
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return errProxyMalformed
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("proxy responded to CONNECT with status %d", resp.StatusCode)
	}
	// In TLS the client speaks first: whatever follows is not the origin's.
	if br.Buffered() > 0 {
		return errProxyEarly
	}
	return nil
}

// hostPort is the dial address of an origin or a forward proxy.
func hostPort(u *url.URL) string { return net.JoinHostPort(u.Hostname(), Port(u)) }

// Port is the port that a connection to an origin or a forward proxy goes to.
func Port(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	switch u.Scheme {
	case "https":
		return "443"
	case "socks5", "socks5h":
		return "1080"
	}
	return "80"
}

// clientTLS is the configuration towards serverName: verification is always on.
func clientTLS(base *tls.Config, serverName string) *tls.Config {
	config := &tls.Config{}
	if base != nil {
		config = base.Clone()
	}
	config.InsecureSkipVerify = false
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.ServerName = serverName
	config.NextProtos = []string{"http/1.1"}
	config.Renegotiation = tls.RenegotiateNever
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	if config.GetClientCertificate != nil || len(config.Certificates) > 0 {
		// A resumed session keeps the identity that began it, with a certificate that
		// has been replaced since.
		config.ClientSessionCache = nil
	}
	// Go starts a connection with small records; a head and its body shall
	// leave in one write.
	config.DynamicRecordSizingDisabled = true
	return config
}
