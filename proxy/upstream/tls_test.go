package upstream

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

var ca = sync.OnceValue(wiretest.NewAuthority)

// trusting makes the transport trust the test authority.
func trusting(tr *Transport) { tr.TLS = &tls.Config{RootCAs: ca().Pool()} }

func TestTLSIsVerified(t *testing.T) {
	self := func(t *testing.T) *tls.Config {
		return wiretest.NewAuthority().Server()
	}
	issued := func(change func(*x509.Certificate)) func(t *testing.T) *tls.Config {
		return func(t *testing.T) *tls.Config {
			return ca().Server(change)
		}
	}
	changed := func(change func(*tls.Config)) func(t *testing.T) *tls.Config {
		return func(t *testing.T) *tls.Config { c := ca().Server(); change(c); return c }
	}
	for _, tc := range []struct {
		name   string
		config func(t *testing.T) *tls.Config
	}{
		{"expired", issued(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })},
		{"wrong host", issued(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} })},
		{"client certificate", issued(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })},
		{"unknown authority", self},
		{"TLS 1.1", changed(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })},
		{"other protocol", changed(func(c *tls.Config) { c.NextProtos = []string{"smtp"} })},
		{"wants a client certificate", changed(func(c *tls.Config) {
			c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
		})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := wiretest.Listen(t, tc.config(t), wiretest.Answering(okEmpty))
			tr := transport(t, o, trusting)
			// Neither may weaken anything.
			tr.TLS.InsecureSkipVerify = true
			tr.TLS.MinVersion = tls.VersionTLS10
			_, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", nil, 0))
			wantError(t, err, OpTLS, NotSent)
			if got := o.Complete.Load(); got != 0 {
				t.Errorf("executed = %d, want 0", got)
			}
			if s := tr.Stats(); s.Open != 0 {
				t.Errorf("Stats() = %+v, want nothing open", s)
			}
		})
	}
}

func TestTLSRoundTripsAndReuse(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := ca().Server()
		config.MaxVersion, config.NextProtos = version, []string{"h2", "http/1.1"}
		o := wiretest.Listen(t, config, wiretest.Answering(okBody("hello")))
		tr := transport(t, o, trusting)
		for range 5 {
			resp, body := mustDo(t, tr, newRequest(t.Context(), o, "POST", "/", stream("x"), -1))
			if body != "hello" || resp.TLS.Version != version || resp.TLS.NegotiatedProtocol != "http/1.1" {
				t.Errorf("body %q over %x, %q", body, resp.TLS.Version, resp.TLS.NegotiatedProtocol)
			}
		}
		if got := o.Accepted.Load(); got != 1 {
			t.Errorf("TLS %x: connections = %d, want 1", version, got)
		}
	}
}

func TestTLSSessionIsResumed(t *testing.T) {
	o := wiretest.Listen(t, ca().Server(), wiretest.Answering(okBody("hello")))
	tr := transport(t, o, trusting)
	for i := range 3 {
		resp, _ := mustDo(t, tr, get(t, o))
		if resp.TLS.DidResume != (i > 0) {
			t.Errorf("connection %d: DidResume = %v", i+1, resp.TLS.DidResume)
		}
		tr.CloseIdleConnections()
	}
}

// A resumed session would go on under the certificate that began it.
func TestReplacedClientCertificateIsShownOnTheNextConnection(t *testing.T) {
	config := ca().Server()
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, ca().Pool()
	var mu sync.Mutex // guards seen
	var seen []string
	config.VerifyConnection = func(state tls.ConnectionState) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, state.PeerCertificates[0].Subject.CommonName)
		return nil
	}
	o := wiretest.Listen(t, config, wiretest.Answering(okBody("hello")))
	names := []string{"first", "second"}
	tr := transport(t, o, trusting, func(tr *Transport) {
		tr.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			issued := ca().Issue(func(c *x509.Certificate) {
				c.Subject.CommonName, c.ExtKeyUsage = names[0], []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			})
			return &issued, nil
		}
	})
	mustDo(t, tr, get(t, o))
	tr.CloseIdleConnections()
	names = names[1:]
	mustDo(t, tr, get(t, o))
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(seen, []string{"first", "second"}) {
		t.Errorf("upstream saw %q", seen)
	}
}

// Stray bytes after an answer may hide in crypto/tls, where neither our buffer
// nor the kernel knows of them.
func TestBytesAfterAnswerHiddenInTLS(t *testing.T) {
	evil := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	big := strings.Repeat("x", 12_000)
	for _, tc := range []struct {
		name    string
		records []string
	}{
		{"same record", []string{okBody("hello") + evil}},
		{"same record, larger than the buffer", []string{okBody(big) + evil}},
		{"next record", []string{okBody("hello"), evil}},
		{"close_notify in the same segment", []string{okBody("hello"), ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
				held := &heldConn{Conn: p.TCP}
				config := ca().Server()
				config.SessionTicketsDisabled = true
				config.DynamicRecordSizingDisabled = true
				tc2 := tls.Server(held, config)
				br := bufio.NewReader(tc2)
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				held.hold = true
				for _, record := range tc.records {
					if record == "" {
						_ = tc2.CloseWrite()
						continue
					}
					_, _ = io.WriteString(tc2, record)
				}
				_ = p.TCP.SetWriteDeadline(time.Time{}) // CloseWrite has set one
				_, _ = p.TCP.Write(held.held.Bytes())   // all in one segment
				_, _ = io.Copy(io.Discard, p.TCP)
			})
			o.URL.Scheme = "https"
			tr := transport(t, o, trusting)
			_, body := mustDo(t, tr, get(t, o))
			if strings.Contains(body, "evil") {
				t.Errorf("body = %q", body)
			}
			if s := tr.Stats(); s.Idle != 0 {
				t.Errorf("Idle = %d, want the connection thrown away", s.Idle)
			}
		})
	}
}

// heldConn keeps what is written back.
type heldConn struct {
	net.Conn
	hold bool
	held bytes.Buffer
}

func (c *heldConn) Write(p []byte) (int, error) {
	if c.hold {
		return c.held.Write(p)
	}
	return c.Conn.Write(p)
}

func TestTLSEndWithoutCloseNotifyIsTruncation(t *testing.T) {
	for _, polite := range []bool{true, false} {
		o := wiretest.Listen(t, ca().Server(), func(p *wiretest.Peer) {
			_, _, _ = p.Request()
			p.Say("HTTP/1.1 200 OK\r\n\r\nhello")
			if polite {
				_ = p.Conn.(*tls.Conn).CloseWrite()
			} else {
				_ = p.TCP.CloseWrite()
			}
			p.UntilCut()
		})
		tr := transport(t, o, trusting)
		_, body, err := do(tr, get(t, o))
		if body != "hello" && polite {
			t.Errorf("body = %q, want hello", body)
		}
		if polite && err != nil {
			t.Errorf("with close_notify: %v, want a clean end", err)
		}
		if !polite {
			wantError(t, err, OpRead, Unknown)
		}
	}
}

func TestTLSCutMidRequestIsUnknown(t *testing.T) {
	o := wiretest.Listen(t, ca().Server(), func(p *wiretest.Peer) {
		_, _ = p.Reader.ReadByte()
		p.Cut(true)
	})
	tr := transport(t, o, trusting)
	_, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", mem("x"), 1))
	wantError(t, err, OpRead, Unknown)
}

func TestIdleConnectionEndsWithCloseNotify(t *testing.T) {
	lastRecord := make(chan byte, 1)
	config := ca().Server()
	config.MaxVersion = tls.VersionTLS12 // where an alert is visible from outside
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		var raw bytes.Buffer
		p.Conn = tls.Server(&teeConn{p.TCP, &raw}, config)
		p.Reader = bufio.NewReader(p.Conn)
		_, _, _ = p.Request()
		p.Say(okEmpty)
		p.UntilCut()
		var kind byte
		for raw.Len() >= 5 {
			header := raw.Next(5)
			kind = header[0]
			raw.Next(int(header[3])<<8 | int(header[4]))
		}
		lastRecord <- kind
	})
	o.URL.Scheme = "https"
	tr := transport(t, o, trusting)
	mustDo(t, tr, get(t, o))
	tr.CloseIdleConnections()
	if kind := <-lastRecord; kind != 21 {
		t.Errorf("last record has type %d, want 21, an alert", kind)
	}
}

// teeConn keeps a copy of what is read.
type teeConn struct {
	net.Conn
	read *bytes.Buffer
}

func (c *teeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Write(p[:n])
	return n, err
}
