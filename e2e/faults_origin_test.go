package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// faultOrigin is an upstream on bare connections: it can do to them what no
// HTTP server does. It counts arrivals (heads read) and executions (bodies read
// to their end, and acted on) per nonce.
type faultOrigin struct {
	t    *testing.T
	host string // name in the URL
	addr string

	mu                sync.Mutex // guards all below
	listener          net.Listener
	conns             map[net.Conn]bool
	accepted          int
	mints             int
	arrived, executed map[string]int
	left              map[string]time.Time // when the peer of a hanging request went away
	tls               *tls.Config          // nil: plaintext
	// onConn may take a new connection for itself.
	onConn func(conn net.Conn) (taken bool)
	// token and api answer a request and say whether the connection goes on.
	token, api func(x *faultExchange) (goOn bool)
	hosts      []string // Host of each request
	running    sync.WaitGroup
}

// faultExchange is one request at a faultOrigin.
type faultExchange struct {
	o      *faultOrigin
	conn   net.Conn // what HTTP is spoken on
	socket net.Conn // the same below TLS
	br     *bufio.Reader
	in     *http.Request
	nonce  string
	nth    int // request of its connection, from 1
}

// newOrigin listens on loopback. config is for TLS; nil is plaintext.
func newOrigin(t *testing.T, config *tls.Config) *faultOrigin {
	t.Helper()
	o := &faultOrigin{
		t: t, host: "127.0.0.1", conns: map[net.Conn]bool{}, arrived: map[string]int{}, executed: map[string]int{},
		left: map[string]time.Time{}, tls: config, token: faultToken, api: faultOK,
	}
	if config != nil {
		o.host = "localhost"
	}
	o.listen("127.0.0.1:0")
	t.Cleanup(func() {
		o.stop()
		o.cut(false)
		o.running.Wait()
	})
	return o
}

func (c *faultCell) origin(config *tls.Config) *faultOrigin {
	o := newOrigin(c.T, config)
	c.ledger = o
	return o
}

// upstream starts one, and a sidecar that has a token from it.
func (c *faultCell) upstream(e func(url string) env, pairs ...string) *faultOrigin {
	c.Helper()
	o := c.origin(nil)
	c.start(e(o.url()).with(pairs...))
	return o
}

// warm is upstream after a first exchange, with a baseline.
func (c *faultCell) warm(shape faultShape, e func(url string) env, pairs ...string) *faultOrigin {
	c.Helper()
	o := c.upstream(e, pairs...)
	c.served(c.do(shape))
	c.takeBaseline()
	return o
}

func (o *faultOrigin) count(nonce string) (arrived, executed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.arrived[nonce], o.executed[nonce]
}
func (o *faultOrigin) countsReads() bool { return true }

func (o *faultOrigin) url() string {
	scheme := "http"
	if o.tls != nil {
		scheme = "https"
	}
	port := portOf(o.addr)
	return scheme + "://" + net.JoinHostPort(o.host, port)
}

// listen opens the listener, again after stop. Without Multipath TCP: its
// sockets take no filter.
func (o *faultOrigin) listen(addr string) {
	o.t.Helper()
	listener, err := wiretest.ListenPlain(addr)
	if err != nil {
		o.t.Fatal(err)
	}
	o.mu.Lock()
	o.listener, o.addr = listener, listener.Addr().String()
	o.mu.Unlock()
	o.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			o.running.Go(func() { o.serve(conn) })
		}
	})
}

// stop refuses connections from now on.
func (o *faultOrigin) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.listener.Close()
}

// cut closes all connections, and waits until the other ends know.
func (o *faultOrigin) cut(reset bool) {
	o.mu.Lock()
	for conn := range o.conns {
		if reset {
			wiretest.ResetOnClose(conn)
		}
		_ = conn.Close()
	}
	o.mu.Unlock()
	time.Sleep(wiretest.Delivery)
}

// behave changes what is done from now on; nil leaves it as it is.
func (o *faultOrigin) behave(onConn func(net.Conn) bool, api func(*faultExchange) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.onConn = onConn
	if api != nil {
		o.api = api
	}
}

func (o *faultOrigin) mintsBy(token func(*faultExchange) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.token = token
}

// speak has new connections speak TLS in this way.
func (o *faultOrigin) speak(config *tls.Config) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tls = config
}

func (o *faultOrigin) connections() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.accepted
}

func (o *faultOrigin) mintsSoFar() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mints
}

// leftAt is when the sidecar gave up a request that hangs here.
func (o *faultOrigin) leftAt(nonce string) (at time.Time, gone bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, gone = o.left[nonce]
	return at, gone
}

func (o *faultOrigin) serve(socket net.Conn) {
	o.mu.Lock()
	o.accepted++
	o.conns[socket] = true
	onConn, config := o.onConn, o.tls
	o.mu.Unlock()
	defer func() {
		_ = socket.Close()
		o.mu.Lock()
		delete(o.conns, socket)
		o.mu.Unlock()
	}()
	if onConn != nil && onConn(socket) {
		return
	}
	conn := socket
	if config != nil {
		over := tls.Server(socket, config)
		if over.Handshake() != nil {
			return
		}
		conn = over
	}
	br := bufio.NewReader(conn)
	for nth := 1; ; nth++ {
		in, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		x := &faultExchange{o: o, conn: conn, socket: socket, br: br, in: in, nonce: in.Header.Get("X-Sim-Nonce"), nth: nth}
		o.mu.Lock()
		do := o.api
		o.hosts = append(o.hosts, in.Host)
		if in.URL.Path == "/v1/auth/token" {
			do = o.token
			o.mints++
		} else {
			o.arrived[x.nonce]++
		}
		o.mu.Unlock()
		if !do(x) {
			return
		}
	}
}

// execute reads the body; only a whole request is carried out.
func (x *faultExchange) execute() (whole bool) {
	if _, err := io.Copy(io.Discard, x.in.Body); err != nil {
		return false
	}
	x.o.mu.Lock()
	x.o.executed[x.nonce]++
	x.o.mu.Unlock()
	return true
}

// say writes bytes, as they are.
func (x *faultExchange) say(text string) bool {
	_, err := io.WriteString(x.conn, text)
	return err == nil
}

// reset ends the connection with RST, when the socket is closed.
func (x *faultExchange) reset() bool {
	wiretest.ResetOnClose(x.socket)
	return false
}

// fin ends the connection in good order: closing with unread bytes would be a
// reset.
func (x *faultExchange) fin() bool {
	if half, ok := x.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = x.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.Copy(io.Discard, x.conn)
	return false
}

// hang waits until the sidecar goes away, and notes when.
func (x *faultExchange) hang() bool {
	_, _ = io.Copy(io.Discard, x.br)
	x.o.mu.Lock()
	x.o.left[x.nonce] = time.Now()
	x.o.mu.Unlock()
	return false
}

const faultAnswer = `{"data":[]}`

// okHead and okBody are the good answer.
var okHead = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(faultAnswer))

// faultOK carries the request out and says so.
func faultOK(x *faultExchange) bool {
	if !x.execute() {
		return false
	}
	if x.in.Method == http.MethodHead {
		return x.say(okHead)
	}
	return x.say(okHead + faultAnswer)
}

// faultToken mints.
func faultToken(x *faultExchange) bool {
	_, _ = io.Copy(io.Discard, x.in.Body)
	return x.say(tokenAnswer(`"access_token":"scripted-token","token_type":"Bearer","expires_in":1800`))
}

func tokenAnswer(fields string) string {
	text := "{" + fields + "}"
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}

// faultCA is an authority with a file.
type faultCA struct {
	*wiretest.Authority
	t    *testing.T
	file string // PEM, for MONITE_CA_FILE
}

func newCA(t *testing.T) *faultCA {
	t.Helper()
	ca := &faultCA{wiretest.NewAuthority(), t, filepath.Join(t.TempDir(), "ca.pem")}
	writeFile(t, ca.file, string(ca.PEM()))
	return ca
}

// server is the configuration of a server under a name, whose certificate ends
// at a time.
func (ca *faultCA) server(name string, until time.Time) *tls.Config {
	return ca.Server(func(c *x509.Certificate) {
		c.DNSNames, c.NotBefore, c.NotAfter = []string{name}, time.Now().Add(-24*time.Hour), until
	})
}

// issue writes a certificate for localhost, for servers or clients, and its key.
func (ca *faultCA) issue(certFile, keyFile string, serial int64, usage x509.ExtKeyUsage) tls.Certificate {
	ca.t.Helper()
	issued := ca.Issue(func(c *x509.Certificate) {
		c.SerialNumber, c.ExtKeyUsage = big.NewInt(serial), []x509.ExtKeyUsage{usage}
	})
	put(ca.t, certFile, string(wiretest.CertPEM(issued)))
	put(ca.t, keyFile, string(wiretest.KeyPEM(issued)))
	return issued
}

// put replaces a file by rename, as those do that renew certificates.
func put(t *testing.T, path, text string) {
	t.Helper()
	writeFile(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
