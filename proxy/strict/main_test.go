package strict

import (
	"io"
	"log"
	"net"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestMain(m *testing.M) {
	wiretest.ManyAtOnce(4)
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

// rig is a Server on a listener of the loopback.
type rig struct {
	t       testing.TB
	server  *Server
	network string
	addr    string
	log     wiretest.Buffer
	refused chan Violation
	served  chan error
}

func serve(t testing.TB, handler http.HandlerFunc, changes ...func(*Server)) *rig {
	t.Helper()
	return serveOn(t, wiretest.Loopback(t), handler, changes...)
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

func (r *rig) dial() *wiretest.App { return wiretest.Dial(r.t, r.network, r.addr) }

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

var get, chunked = wiretest.Get, wiretest.Chunked

// post says nothing of the length: that is up to fields.
func post(target, body string, fields ...string) string {
	return wiretest.Head("POST", target, fields...) + "\r\n" + body
}
