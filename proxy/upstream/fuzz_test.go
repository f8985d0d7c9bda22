package upstream

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// FuzzResponse: whatever upstream says, a round trip ends, without a panic; a
// clean end means a complete message; and a connection is kept only if nothing
// is left on it.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		okEmpty, okBody("hello"), okBody("hello") + okBody("stray"),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2;x=y\r\nhe\r\n0\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nhello", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nhe", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, head bool) {
		nc := wiretest.NewScript(raw)
		tr := &Transport{
			Origin: &url.URL{Scheme: "http", Host: "origin.test"},
			Dial:   func(context.Context, string, string) (net.Conn, error) { return nc, nil },
		}
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		resp, body, err := do(tr, pipeRequest(method, nil, 0))
		kept := tr.Stats().Idle == 1
		if err != nil {
			if e := wantError(t, err, OpRead, Unknown); kept {
				t.Fatalf("connection kept after %v", e)
			}
		}
		if kept {
			if nc.Left() != 0 || nc.IsClosed() {
				t.Fatalf("connection kept with %d bytes left", nc.Left())
			}
		} else if !nc.IsClosed() {
			t.Fatal("connection neither kept nor closed")
		}
		if err == nil {
			wantComplete(t, resp, body, raw, head)
		}
		tr.CloseIdleConnections()
	})
}

// wantComplete checks a clean end against an own, simple reading of the bytes.
func wantComplete(t *testing.T, resp *http.Response, body string, raw []byte, head bool) {
	if head || resp.StatusCode == 204 || resp.StatusCode == 304 {
		if body != "" {
			t.Fatalf("status %d, HEAD %v, with a body", resp.StatusCode, head)
		}
		return
	}
	if resp.ContentLength >= 0 {
		if int64(len(body)) != resp.ContentLength {
			t.Fatalf("clean end after %d bytes of %d", len(body), resp.ContentLength)
		}
		if text := resp.Header.Get("Content-Length"); text != "" {
			if n, err := strconv.ParseInt(text, 10, 64); err != nil || n != resp.ContentLength {
				t.Fatalf("Content-Length %q read as %d", text, resp.ContentLength)
			}
		}
		return
	}
	if len(resp.TransferEncoding) == 0 {
		return // until close: any end is a good one
	}
	// Cut anywhere inside the last chunk, the message must not be complete.
	if !bytes.Contains(raw, []byte("\r\n\r\n")) && !bytes.Contains(raw, []byte("\n\n")) && !bytes.Contains(raw, []byte("\n\r\n")) {
		t.Fatal("chunked message without any blank line ended cleanly")
	}
	if !lastChunkSeen(raw) {
		t.Fatal("chunked message without a last chunk ended cleanly")
	}
}

// lastChunkSeen reports whether any line of raw can be a chunk of size 0.
func lastChunkSeen(raw []byte) bool {
	lines := bufio.NewReader(bytes.NewReader(raw))
	for {
		line, err := lines.ReadBytes('\n')
		size, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n\t "), []byte(";"))
		size = bytes.TrimRight(size, " \t")
		// A chunk line may also follow a chunk's data on the same line.
		if len(size) > 0 && size[len(size)-1] == '0' {
			return true
		}
		if err == io.EOF {
			return false
		}
	}
}
