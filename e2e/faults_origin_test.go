package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"
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
	_, port, _ := net.SplitHostPort(o.addr)
	return scheme + "://" + net.JoinHostPort(o.host, port)
}

// listen opens the listener, again after stop. Without Multipath TCP: its
// sockets take no filter.
func (o *faultOrigin) listen(addr string) {
	o.t.Helper()
	listener, err := listenPlain(addr)
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

// delivery is how long the kernel of a busy machine may take to show a FIN or RST
// to the other end. A request that leaves before is lost, and nobody can know.
const delivery = 100 * time.Millisecond

// cut closes all connections, and waits until the other ends know.
func (o *faultOrigin) cut(reset bool) {
	o.mu.Lock()
	for conn := range o.conns {
		if reset {
			resetOnClose(conn)
		}
		_ = conn.Close()
	}
	o.mu.Unlock()
	time.Sleep(delivery)
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
	resetOnClose(x.socket)
	return false
}

func resetOnClose(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
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

// faultCA signs certificates.
type faultCA struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string // PEM, for MONITE_CA_FILE
}

func newCA(t *testing.T) *faultCA {
	t.Helper()
	ca := &faultCA{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fault matrix"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	ca.key, der = ca.sign(template, template, nil)
	var err error
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writeFile(t, ca.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return ca
}

func (ca *faultCA) sign(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		ca.t.Fatal(err)
	}
	return key, der
}

// server is the configuration of a server under a name, whose certificate ends
// at a time.
func (ca *faultCA) server(name string, until time.Time) *tls.Config {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key, der := ca.sign(template, ca.cert, ca.key)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// selfSigned is signed by nobody.
func (ca *faultCA) selfSigned(name string) *tls.Config {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	key, der := ca.sign(template, template, nil)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
