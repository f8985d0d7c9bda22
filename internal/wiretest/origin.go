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

// Listen runs script on every connection to a port of loopback, and closes the
// connection afterwards. With a config it speaks TLS.
func Listen(t testing.TB, config *tls.Config, script func(*Peer)) *Origin {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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

// Answering is the script of a good upstream, which responds to every request with
// text.
func Answering(text string) func(*Peer) {
	return func(p *Peer) {
		for {
			if _, _, err := p.Request(); err != nil {
				return
			}
			p.Say(text)
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
