package wiretest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Origin is an upstream made of a script that sees raw bytes.
type Origin struct {
	URL      *url.URL
	Accepted atomic.Int64 // connections
	Open     atomic.Int64 // connections whose script runs
	Heads    atomic.Int64 // heads that were read
	Complete atomic.Int64 // requests that were read to their end
}

// Peer is upstream's end of one connection.
type Peer struct {
	net.Conn
	TCP    *net.TCPConn // below TLS
	Reader *bufio.Reader
	Origin *Origin
	Index  int // 1 for the first connection
}

// Loopback is a listener on a port of loopback, which closes with the test.
func Loopback(t testing.TB) net.Listener {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	t.Cleanup(func() { _ = on.Close() })
	return on
}

// Nobody is an address on which nobody listens at this moment.
func Nobody(t testing.TB) string {
	t.Helper()
	on := Loopback(t)
	_ = on.Close()
	return on.Addr().String()
}

// Listen runs script on every connection to a port of loopback, and closes the
// connection afterwards. With a config it speaks TLS.
func Listen(t testing.TB, config *tls.Config, script func(*Peer)) *Origin {
	t.Helper()
	listener := Loopback(t)
	o := &Origin{URL: &url.URL{Scheme: "http", Host: listener.Addr().String()}}
	if config != nil {
		o.URL.Scheme = "https"
	}
	var all sync.WaitGroup
	var mu sync.Mutex // guards open
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			p := &Peer{Conn: conn, TCP: conn.(*net.TCPConn), Origin: o, Index: int(o.Accepted.Add(1))}
			if config != nil {
				p.Conn = tls.Server(conn, config)
			}
			p.Reader = bufio.NewReader(p.Conn)
			o.Open.Add(1)
			all.Go(func() {
				defer func() {
					o.Open.Add(-1)
					mu.Lock()
					delete(open, conn)
					mu.Unlock()
					_ = conn.Close()
				}()
				script(p)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return o
}

// Responding is the script of a good upstream: respond tells what it says to each
// whole request.
func Responding(respond func(in *http.Request, body string) string) func(*Peer) {
	return func(p *Peer) {
		for {
			in, body, err := p.Request()
			if err != nil {
				return
			}
			p.Say(respond(in, body))
		}
	}
}

// Answering is the script of a good upstream that says text to each request.
func Answering(text string) func(*Peer) {
	return Responding(func(*http.Request, string) string { return text })
}

// Ending is the script of an upstream that reads one request, says text, and closes
// the connection.
func Ending(text string) func(*Peer) {
	return func(p *Peer) {
		if _, _, err := p.Request(); err == nil {
			p.Say(text)
		}
	}
}

// Hanging is Ending, but the connection stays open, and nothing more comes.
func Hanging(text string) func(*Peer) {
	return func(p *Peer) {
		Ending(text)(p)
		p.UntilCut()
	}
}

// Early is the script of an upstream that says text as soon as it has the head of a
// request.
func Early(text string) func(*Peer) {
	return func(p *Peer) {
		if _, err := p.Head(); err == nil {
			p.Say(text)
			p.UntilCut()
		}
	}
}

// Head reads the head of one request.
func (p *Peer) Head() (*http.Request, error) {
	in, err := http.ReadRequest(p.Reader)
	if err == nil {
		p.Origin.Heads.Add(1)
	}
	return in, err
}

// Request reads one whole request.
func (p *Peer) Request() (*http.Request, string, error) {
	in, err := p.Head()
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(in.Body)
	if err == nil {
		p.Origin.Complete.Add(1)
	}
	return in, string(body), err
}

// Say writes text as it is.
func (p *Peer) Say(text string) { _, _ = io.WriteString(p.Conn, text) }

// Cut ends the connection at once, with a FIN or an RST.
func (p *Peer) Cut(reset bool) {
	if reset {
		_ = p.TCP.SetLinger(0)
	}
	_ = p.TCP.Close()
}

// UntilCut blocks until the client is gone.
func (p *Peer) UntilCut() { _, _ = io.Copy(io.Discard, p.Reader) }
