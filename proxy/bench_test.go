package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// BenchmarkHandler is a whole request over loopback, both ways; the app and
// upstream are in it and do as little as they can.
func BenchmarkHandler(b *testing.B) {
	for name, c := range map[string]struct{ request, answer string }{
		"GET": {get("/v1/payables/"+entityA, "Accept: application/json"), answer(200, "application/json", strings.Repeat("x", 1000))},
		"POST 1 KiB": {post("/v1/payables", strings.Repeat("x", 1024), "Content-Type: application/json"),
			answer(201, "application/json", strings.Repeat("x", 1000))},
		"POST 1 KiB, remembered": {post("/v1/payables", strings.Repeat("x", 1024), "Content-Type: application/json"),
			answer(201, "application/json", strings.Repeat("x", 1000))},
		"GET, remembered": {get("/v1/payables/"+entityA, "Accept: application/json"), answer(200, "application/json", strings.Repeat("x", 1000))},
		"GET chunked": {get("/v1/payables"),
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + strings.Repeat("x", 1000) + "\r\n0\r\n\r\n"},
		"refused": {"GET /v1//x HTTP/1.1\r\nHost: localhost\r\n\r\n", ""},
	} {
		b.Run(name, func(b *testing.B) {
			o := wiretest.Listen(b, nil, wiretest.Answering(c.answer))
			r := newRig(b, o.URL, func(c *Config, tr *upstream.Transport) {
				c.Observe, c.Log = nil, zerolog.New(io.Discard)
				if strings.HasSuffix(name, "remembered") {
					remembering()(c, tr)
				}
			})
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				b.Fatal(err)
			}
			br := bufio.NewReader(conn)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := io.WriteString(conn, c.request); err != nil {
					b.Fatal(err)
				}
				response, err := http.ReadResponse(br, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					b.Fatal(err)
				}
				if response.Close {
					_ = conn.Close()
					if conn, err = net.Dial("tcp", r.addr); err != nil {
						b.Fatal(err)
					}
					br.Reset(conn)
				}
			}
			_ = conn.Close()
		})
	}
}
