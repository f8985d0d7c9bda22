package strict

import (
	"io"
	"net/http"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// replayed is a connection on which the same request comes again and again.
type replayed struct {
	*wiretest.Script
	request []byte
	left    int
}

func (c *replayed) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	return copy(p, c.request), nil
}

func (c *replayed) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkRequest is a request and its answer without the system calls.
func BenchmarkRequest(b *testing.B) {
	body := make([]byte, 1000)
	contentType := []string{"application/json"}
	for name, request := range map[string]string{
		"GET":  get("/v1/payables?limit=5", "Accept: application/json", "User-Agent: bench", "Connection: keep-alive"),
		"POST": post("/v1/payables", "0123456789", "Content-Type: application/json", "Content-Length: 10", "User-Agent: bench"),
	} {
		b.Run(name, func(b *testing.B) {
			server := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
				_, _ = io.Copy(io.Discard, in.Body)
				header := w.Header()
				header["Content-Type"], header["Content-Length"], header["Cache-Control"] = contentType, []string{"1000"}, contentType
				_, _ = w.Write(body)
			})}
			nc := &replayed{Script: wiretest.NewScript(nil), request: []byte(request), left: b.N}
			b.ReportAllocs()
			b.ResetTimer()
			newConn(server, nc).serve()
			if nc.left != 0 {
				b.Fatalf("%d requests were not served", nc.left)
			}
		})
	}
}
