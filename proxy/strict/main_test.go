package strict

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// spoiling accepts connections on which whatever still holds what a request left
// behind reads exclamation marks: before each Read it spoils the free end of the
// buffer, into which the connection's next bytes go, and what is pooled.
type spoiling struct{ net.Listener }

func (l spoiling) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return spoilt{nc.(*net.TCPConn)}, nil
}

type spoilt struct{ *net.TCPConn }

func (c spoilt) Read(free []byte) (int, error) {
	for i := range free {
		free[i] = '!'
	}
	buffer := outBuffers.Get().(*[outBuffer]byte)
	for i := range buffer {
		buffer[i] = '!'
	}
	outBuffers.Put(buffer)
	// A field of the request before would be in the next answer.
	header := headers.Get().(http.Header)
	for name := range header {
		header["X-Left-Behind"] = []string{name}
	}
	headers.Put(header)
	return c.TCPConn.Read(free)
}

// patience is how long a test waits for what must happen at once.
const patience = 10 * time.Second

type lockedBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// rig is a Server on a listener of the loopback.
type rig struct {
	t       testing.TB
	server  *Server
	network string
	addr    string
	log     lockedBuffer
	refused chan Violation
	served  chan error
}

func serve(t testing.TB, handler http.HandlerFunc, changes ...func(*Server)) *rig {
	t.Helper()
	return serveOn(t, loopback(t), handler, changes...)
}

func loopback(t testing.TB) net.Listener {
	t.Helper()
	opened, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func serveOn(t testing.TB, opened net.Listener, handler http.HandlerFunc, changes ...func(*Server)) *rig {
	t.Helper()
	r := &rig{t: t, network: opened.Addr().Network(), addr: opened.Addr().String(), refused: make(chan Violation, 1000), served: make(chan error, 1)}
	r.server = &Server{Handler: handler, ErrorLog: log.New(&r.log, "", 0), Refuse: func(w http.ResponseWriter, _ *http.Request, why Violation) {
		r.refused <- why
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, why.String())
	}}
	for _, change := range changes {
		change(r.server)
	}
	go func() { r.served <- r.server.Serve(opened) }()
	t.Cleanup(func() {
		_ = r.server.Close()
		if err := <-r.served; err != http.ErrServerClosed {
			t.Errorf("Serve() = %v", err)
		}
	})
	return r
}

// app is a client that sees raw bytes.
type app struct {
	net.Conn
	t  testing.TB
	br *bufio.Reader
}

func (r *rig) dial() *app {
	r.t.Helper()
	conn, err := net.Dial(r.network, r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &app{Conn: conn, t: r.t, br: bufio.NewReader(conn)}
}

func (a *app) say(text string) {
	a.t.Helper()
	if _, err := io.WriteString(a.Conn, text); err != nil {
		a.t.Fatalf("the app cannot write: %v", err)
	}
}

// answer reads one whole answer to a request with method.
func (a *app) answer(method string) (*http.Response, string, error) {
	response, err := http.ReadResponse(a.br, &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

func (a *app) want(method string, status int, body string) *http.Response {
	a.t.Helper()
	response, got, err := a.answer(method)
	if err != nil {
		a.t.Fatalf("answer: %v", err)
	}
	if response.StatusCode != status || got != body {
		a.t.Fatalf("answer = %d %q, want %d %q", response.StatusCode, got, status, body)
	}
	return response
}

// closed checks that the connection ends without a further byte.
func (a *app) closed() {
	a.t.Helper()
	n, err := a.br.Read(make([]byte, 1))
	if n != 0 || err == nil {
		a.t.Fatalf("the connection gave %d bytes, %v; want its end", n, err)
	}
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		a.t.Fatal("the connection stays open")
	}
}

// echo answers with what it was asked.
func echo(w http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(in.Body)
	if err != nil {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	_, _ = io.WriteString(w, in.Method+" "+in.RequestURI+" "+string(body))
}

const host = "Host: localhost\r\n"

func get(target string, fields ...string) string {
	return "GET " + target + " HTTP/1.1\r\n" + host + lines(fields) + "\r\n"
}

func post(target, body string, fields ...string) string {
	return "POST " + target + " HTTP/1.1\r\n" + host + lines(fields) + "\r\n" + body
}

func lines(fields []string) string {
	text := ""
	for _, field := range fields {
		text += field + "\r\n"
	}
	return text
}

func chunked(pieces ...string) string {
	var b strings.Builder
	for _, piece := range pieces {
		b.WriteString(hex(len(piece)) + "\r\n" + piece + "\r\n")
	}
	return b.String() + "0\r\n\r\n"
}

func hex(n int) string {
	const digits = "0123456789abcdef"
	if n < 16 {
		return digits[n : n+1]
	}
	return hex(n/16) + digits[n%16:n%16+1]
}
