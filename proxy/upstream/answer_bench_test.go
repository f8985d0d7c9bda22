package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// echoing is a connection in memory that has one answer to every write: what
// is left of a round trip's cost without kernel and TLS.
type echoing struct {
	*wiretest.Script
	whole []byte
}

func (c *echoing) Write(p []byte) (int, error) {
	c.Say(c.whole)
	return len(p), nil
}

// BenchmarkAnswer: go test -bench Answer -benchmem -count 6
func BenchmarkAnswer(b *testing.B) {
	usual := "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\n" +
		"X-Request-Id: 0123456789abcdef\r\nRateLimit-Limit: 30\r\nRateLimit-Remaining: 29\r\n"
	many := usual + "Server: envoy\r\nConnection: keep-alive\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains\r\n" +
		"Vary: Accept-Encoding\r\nVary: Origin\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n" +
		"x-envoy-upstream-service-time: 31\r\ncf-ray: 0123456789abcdef-FRA\r\ncf-cache-status: DYNAMIC\r\n"
	body := strings.Repeat("x", 1024)
	for name, answer := range map[string]string{
		"length":  usual + "Content-Length: 1024\r\n\r\n" + body,
		"many":    many + "Content-Length: 1024\r\n\r\n" + body,
		"chunked": usual + "Transfer-Encoding: chunked\r\n\r\n400\r\n" + body + "\r\n0\r\n\r\n",
		"empty":   "HTTP/1.1 204 No Content\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			nc := &echoing{wiretest.NewScript(nil), []byte(answer)}
			dialled := 0
			tr := &Transport{
				Origin: &url.URL{Scheme: "http", Host: "origin.test"},
				Dial: func(context.Context, string, string) (net.Conn, error) {
					dialled++
					return nc, nil
				},
			}
			b.Cleanup(tr.CloseIdleConnections)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			req := pipeRequest(http.MethodGet, nil, 0).WithContext(ctx)
			req.Header["Authorization"] = bearer
			buf := make([]byte, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				resp, err := tr.RoundTrip(req)
				for err == nil {
					_, err = resp.Body.Read(buf)
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				resp.Body.Close()
			}
			if dialled != 1 {
				b.Errorf("dialled %d times", dialled)
			}
		})
	}
}
