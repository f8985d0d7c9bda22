package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// cheapServer answers each head that ends in a blank line with 1 KiB, and
// costs as little as a server can, so that the client's share shows.
func cheapServer(b *testing.B, config *tls.Config) *wiretest.Origin {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: 0123456789abcdef\r\n" +
		"RateLimit-Limit: 30\r\nRateLimit-Remaining: 29\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n" +
		"Content-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024))
	return wiretest.Listen(b, config, func(p *wiretest.Peer) {
		br := bufio.NewReader(p.Conn)
		for {
			line, err := br.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				if _, err := p.Conn.Write(answer); err != nil {
					return
				}
			}
		}
	})
}

// BenchmarkGet compares with http.Transport in one run:
// go test -bench Get -benchmem -count 6
func BenchmarkGet(b *testing.B) {
	for _, scheme := range []string{"plain", "tls"} {
		var config *tls.Config
		if scheme == "tls" {
			config = ca().Server()
		}
		o := cheapServer(b, config)
		own := transport(b, o, trusting)
		std := &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: ca().Pool()}, MaxIdleConnsPerHost: 100, DisableCompression: true,
		}
		b.Cleanup(std.CloseIdleConnections)
		for name, rt := range map[string]http.RoundTripper{"upstream": own, "net-http": std} {
			for _, kind := range []string{"serial", "parallel"} {
				b.Run(scheme+"/"+kind+"/"+name, func(b *testing.B) {
					b.ReportAllocs()
					if kind == "serial" {
						buf := make([]byte, 4<<10)
						for b.Loop() {
							benchGet(b, o, rt, buf)
						}
						return
					}
					b.SetParallelism(16)
					b.RunParallel(func(pb *testing.PB) {
						buf := make([]byte, 4<<10)
						for pb.Next() {
							benchGet(b, o, rt, buf)
						}
					})
				})
			}
		}
	}
}

var bearer = []string{"Bearer " + strings.Repeat("t", 800)}

func benchGet(b *testing.B, o *wiretest.Origin, rt http.RoundTripper, buf []byte) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req := newRequest(ctx, o, http.MethodGet, "/v1/payables", nil, 0)
	req.Header["Authorization"] = bearer
	req.Header["X-Monite-Entity-Id"] = []string{"11111111-1111-1111-1111-111111111111"}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		b.Error(err)
		return
	}
	n := 0
	for {
		m, err := resp.Body.Read(buf)
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Error(err)
			return
		}
	}
	if n != 1024 {
		b.Errorf("read %d bytes, want 1024", n)
	}
	resp.Body.Close()
}

// BenchmarkDeadlines is why wire is lazy: two read and one write deadline per
// request, set each time or only when needed.
func BenchmarkDeadlines(b *testing.B) {
	o := cheapServer(b, nil)
	nc, err := net.Dial("tcp", o.URL.Host)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	b.Run("each time", func(b *testing.B) {
		for b.Loop() {
			_ = nc.SetWriteDeadline(time.Now().Add(time.Minute))
			_ = nc.SetReadDeadline(time.Now().Add(time.Minute))
			_ = nc.SetReadDeadline(time.Now().Add(time.Minute))
		}
	})
	b.Run("lazily", func(b *testing.B) {
		var writeBy, readBy time.Time
		for b.Loop() {
			writeBy, _ = socket.Extend(writeBy, time.Now(), time.Minute, nc.SetWriteDeadline)
			readBy, _ = socket.Extend(readBy, time.Now(), time.Minute, nc.SetReadDeadline)
			readBy, _ = socket.Extend(readBy, time.Now(), time.Minute, nc.SetReadDeadline)
		}
	})
}
