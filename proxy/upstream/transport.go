package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/dial"
)

// Transport is an http.RoundTripper to one origin. The exported fields are its
// configuration: set them before the first use and leave them alone afterwards.
// A zero value means the default. Safe for concurrent use. There is nothing to
// close but idle connections (CloseIdleConnections).
type Transport struct {
	// Origin is the scheme (http, https) and host of upstream: the only place
	// that is ever dialled. Required. A request whose URL names another host or
	// scheme is refused.
	Origin *url.URL

	// TLS is the base of the client's configuration: roots, client
	// certificates. It is cloned. MinVersion is at least 1.2; ServerName,
	// NextProtos and ClientSessionCache are set by Transport, and
	// InsecureSkipVerify is always off. Nil: system roots.
	TLS *tls.Config

	// Proxy returns the forward proxy for the origin, nil for none; it is asked
	// per dial. Only http and https proxies, only by CONNECT, only to an https
	// origin. Userinfo of the URL becomes Proxy-Authorization. Nil: direct. No
	// environment variable is read here.
	Proxy func(*url.URL) (*url.URL, error)

	// DialTimeout bounds each step of making a connection: connect (for each
	// address), CONNECT, TLS handshake. Default 5s. A lookup has 15s of its own.
	DialTimeout time.Duration

	// ResponseHeaderTimeout limits the wait from the last byte of the request to the
	// end of the response's head, interim responses included; and the wait for one of
	// MaxConns. Default 60s. This and ProgressTimeout fire up to a sixteenth late.
	ResponseHeaderTimeout time.Duration

	// ProgressTimeout bounds the time between two bytes of a body, either way,
	// the caller's own body Read included. There is no total limit. Default 60s.
	ProgressTimeout time.Duration

	// IdleTimeout closes a connection unused for that long; keep it below
	// upstream's. A shorter timeout in upstream's Keep-Alive field wins. Default 30s.
	IdleTimeout time.Duration

	// MaxConnAge is the age from which a connection takes no new request, so
	// that changes of DNS and deploys are followed; up to a fifth less, at
	// random. Default 60s.
	MaxConnAge time.Duration

	// MaxConns bounds the open connections; above it requests wait, first come
	// first served. Default 1024.
	MaxConns int

	// Reserve is the number of MaxConns that only requests of Reserved may use.
	// Default 0.
	Reserve int

	// KeepWarm is for how long after a request one connection is kept ready: it is
	// replaced before it is too old or too long idle, so that the next request waits
	// for no handshake. Only to an https origin: a plain one is near, and may be a
	// server that serves one connection at a time. 0: not at all.
	KeepWarm time.Duration

	// MaxIdleConns bounds the idle ones. Default 128.
	MaxIdleConns int

	// MaxResponseHeaderBytes limits the response's head, interim responses included.
	// Default 256 KiB.
	MaxResponseHeaderBytes int64

	// OnStaleAddresses is called when addresses of an earlier lookup are used, at
	// most once a minute; they are of use for dial.MaxStale. May be nil.
	OnStaleAddresses func(dial.Stale)

	// Dial opens a TCP connection, within DialTimeout. Nil: package dial's. A
	// connection that is not a syscall.Conn cannot be checked before reuse; it is
	// then reused only within two seconds.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	once     sync.Once
	setupErr error
	dialer   dialer
	pool     pool
	watch    watch
	warm     warm
	limits   limits
	abort    context.CancelFunc
}

type limits struct {
	header, progress time.Duration
	headBytes        int64
}

func (t *Transport) setup() {
	t.limits = limits{
		header:    orDefault(t.ResponseHeaderTimeout, 60*time.Second),
		progress:  orDefault(t.ProgressTimeout, 60*time.Second),
		headBytes: orDefault(t.MaxResponseHeaderBytes, 256<<10),
	}
	ends, abort := context.WithCancel(context.Background())
	t.abort = abort
	t.pool.maxOpen = orDefault(t.MaxConns, 1024)
	t.pool.reserve = max(t.Reserve, 0)
	t.pool.maxIdle = orDefault(t.MaxIdleConns, 128)
	t.pool.idleTimeout = orDefault(t.IdleTimeout, 30*time.Second)

	if t.Origin == nil || t.Origin.Hostname() == "" || (t.Origin.Scheme != "http" && t.Origin.Scheme != "https") {
		t.setupErr = errNoOrigin
		return
	}
	origin := *t.Origin
	t.dialer = dialer{
		origin:     &origin,
		addr:       hostPort(&origin),
		proxy:      t.Proxy,
		dial:       t.Dial,
		timeout:    orDefault(t.DialTimeout, 5*time.Second),
		progress:   t.limits.progress,
		maxConnAge: orDefault(t.MaxConnAge, 60*time.Second),
		ends:       ends,
	}
	t.dialer.tcp = dial.Dialer{Timeout: t.dialer.timeout, OnStale: t.OnStaleAddresses}
	if origin.Scheme == "https" {
		t.pool.far = true
		t.warm.init(t)
		t.dialer.tls = clientTLS(t.TLS, origin.Hostname())
		// Roots only: client certificates and pins are meant for the origin.
		var roots tls.Config
		if t.TLS != nil {
			roots.RootCAs, roots.Time = t.TLS.RootCAs, t.TLS.Time
		}
		t.dialer.proxyTLS = clientTLS(&roots, "")
	}
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// RoundTrip sends req once and returns the response's head; its body streams. It
// never tries a second time. Every error is an *Error.
//
// A body of up to 64 KiB whose type has a Len() int method (the unread bytes,
// all in memory) leaves with the head in one write, without a goroutine.
// io.NopCloser hides that method. Any other body is streamed: with a
// Content-Length if req.ContentLength > 0, else chunked. Request trailers are
// not sent, and framing and hop-by-hop fields of req.Header are left out.
//
// The request body is closed exactly once: before RoundTrip returns, or, when
// upstream responds before it has taken all of a streamed body, by the goroutine that
// still sends it. That goroutine ends when the body has been sent, or when the
// response's body is closed or read to its end. If the body's Read blocks at that
// moment, Close is called on it while Read is under way (as net/http does over
// HTTP/2); if that does not end the Read, the caller must, for example by a read
// deadline on the app's connection.
//
// The last bytes of a body with a ContentLength are held back until its Read
// has returned io.EOF, so that a body that is longer than announced leaves an
// incomplete request.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.roundTrip(req, false)
}

// Reserved returns a RoundTripper over the same connections whose requests may use
// Reserve, and go first where requests wait. They do not count as traffic for
// KeepWarm.
func (t *Transport) Reserved() http.RoundTripper { return reserved{t} }

type reserved struct{ *Transport }

func (r reserved) RoundTrip(req *http.Request) (*http.Response, error) { return r.roundTrip(req, true) }

func (t *Transport) roundTrip(req *http.Request, urgent bool) (*http.Response, error) {
	t.once.Do(t.setup)
	x := &exchange{t: t, req: req, ctx: req.Context(), trace: traceOf(req.Context()), urgent: urgent}
	resp, err := x.run()
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// dial makes a connection for w, and reports whether there is one.
func (t *Transport) dial(ctx context.Context, w *waiter) bool {
	defer w.cancel()
	c, failed := t.dialer.connectSafely(ctx)
	return t.pool.deliver(w, c, failed)
}

// CloseIdleConnections closes the connections that no request uses, and ends the
// lookups that are under way.
func (t *Transport) CloseIdleConnections() {
	t.once.Do(t.setup)
	t.dialer.tcp.Stop()
	t.warm.stop()
	t.pool.closeIdle()
}

// Abort closes all connections, and makes no more: each request under way ends with an
// error that says whether upstream may have acted.
func (t *Transport) Abort() {
	t.once.Do(t.setup)
	t.abort()
}

// checkOrigin refuses a request that means another place: it would be sent to
// the origin with the origin's credentials.
func (t *Transport) checkOrigin(req *http.Request) error {
	switch u := req.URL; {
	case t.setupErr != nil:
		return t.setupErr
	case u == nil:
		return errNoURL
	case !strings.EqualFold(u.Host, t.dialer.origin.Host):
		return errOtherHost
	case u.Scheme != "" && u.Scheme != t.dialer.origin.Scheme:
		return errOtherScheme
	}
	return nil
}
