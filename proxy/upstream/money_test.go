package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// Rows of M1: requests that http.Transport repeats, or might.
func TestOneAttemptWhenReusedConnectionClosesAfterExecuting(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS"} {
		for _, field := range []string{"", "Idempotency-Key", "X-Idempotency-Key"} {
			for _, body := range []string{"nil", "NoBody", "memory", "stream", "GetBody"} {
				for _, rst := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%s/%s/rst=%v", method, field, body, rst), func(t *testing.T) {
						testOneAttempt(t, method, field, body, rst)
					})
				}
			}
		}
	}
}

func testOneAttempt(t *testing.T, method, field, body string, rst bool) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for n := 0; ; n++ {
			if _, _, err := p.Request(); err != nil {
				return
			}
			if n == 1 {
				p.Cut(rst)
				return
			}
			p.Say(okEmpty)
		}
	})
	tr := transport(t, o)
	mustDo(t, tr, get(t, o))

	req := newRequest(t.Context(), o, method, "/v1/payables/1/approve", nil, 0)
	if field != "" {
		req.Header[field] = []string{""}
	}
	switch body {
	case "NoBody":
		req.Body = http.NoBody
	case "memory":
		req.Body = mem("{}")
	case "stream":
		req.Body, req.ContentLength = stream("{}"), 2
	case "GetBody":
		req.Body = mem("{}")
		req.GetBody = func() (io.ReadCloser, error) {
			t.Error("GetBody was called")
			return mem("{}"), nil
		}
	}
	_, err := tr.RoundTrip(req)
	if e := wantError(t, err, OpRead, Unknown); !e.Reused {
		t.Error("Reused = false, want true")
	}
	if got := o.Complete.Load(); got != 2 {
		t.Errorf("executed = %d, want 2: the first request and this one, once", got)
	}
	if got := o.Accepted.Load(); got != 1 {
		t.Errorf("connections = %d, want 1", got)
	}
}

func TestRequestCutAtEveryByte(t *testing.T) {
	makers := map[string]func(o *wiretest.Origin) *http.Request{
		"no body": func(o *wiretest.Origin) *http.Request {
			return newRequest(t.Context(), o, "POST", "/v1/pay", nil, 0)
		},
		"memory": func(o *wiretest.Origin) *http.Request {
			return newRequest(t.Context(), o, "POST", "/v1/pay", mem(strings.Repeat("m", 100)), 100)
		},
		"stream": func(o *wiretest.Origin) *http.Request {
			return newRequest(t.Context(), o, "POST", "/v1/pay", stream(strings.Repeat("s", 100)), 100)
		},
		"chunks": func(o *wiretest.Origin) *http.Request {
			return newRequest(t.Context(), o, "POST", "/v1/pay", stream(strings.Repeat("c", 100)), -1)
		},
	}
	for name, makeRequest := range makers {
		for _, rst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/rst=%v", name, rst), func(t *testing.T) {
				size := requestSize(t, makeRequest)
				o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
					cutAt := p.Index - 1
					n, _ := io.CopyN(io.Discard, p.Reader, int64(cutAt))
					if n == int64(size) {
						p.Origin.Complete.Add(1)
					}
					p.Cut(rst)
				})
				tr := transport(t, o)
				for cutAt := range size + 1 {
					_, err := tr.RoundTrip(makeRequest(o))
					e, ok := errors.AsType[*Error](err)
					if !ok {
						t.Fatalf("cut at %d: err = %v, want an *Error", cutAt, err)
					}
					if cutAt > 0 && e.Outcome != Unknown {
						t.Fatalf("cut at %d: %v, want %s: upstream has read bytes of it", cutAt, e, Unknown)
					}
				}
				if got := o.Complete.Load(); got != 1 {
					t.Errorf("executed = %d, want 1", got)
				}
				if got, want := o.Accepted.Load(), int64(size+1); got != want {
					t.Errorf("connections = %d, want %d, one per request", got, want)
				}
			})
		}
	}
}

// requestSize sends a request and counts its bytes on the wire.
func requestSize(t *testing.T, makeRequest func(o *wiretest.Origin) *http.Request) int {
	var size atomic.Int64
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		in, err := http.ReadRequest(bufio.NewReader(io.TeeReader(p.Reader, byteCount{&size})))
		if err == nil {
			_, _ = io.Copy(io.Discard, in.Body)
		}
		p.Say(okEmpty)
	})
	mustDo(t, transport(t, o), makeRequest(o))
	return int(size.Load())
}

type byteCount struct{ n *atomic.Int64 }

func (c byteCount) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func TestAnswerCutAtEveryByteNeverEndsCleanly(t *testing.T) {
	body, piece := strings.Repeat("0123456789abcdef", wiretest.Sized(32, 128)), wiretest.Sized(128, 512)
	var chunked strings.Builder
	chunked.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for rest := body; rest != ""; rest = rest[piece:] {
		fmt.Fprintf(&chunked, "%x\r\n%s\r\n", piece, rest[:piece])
	}
	chunked.WriteString("0\r\n\r\n")
	for name, answer := range map[string]string{"length": okBody(body), "chunked": chunked.String()} {
		for _, rst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/rst=%v", name, rst), func(t *testing.T) {
				o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
					if _, _, err := p.Request(); err == nil {
						p.Say(answer[:p.Index-1])
						p.Cut(rst)
					}
				})
				tr := transport(t, o)
				for cutAt := range len(answer) {
					_, got, err := do(tr, newRequest(t.Context(), o, "POST", "/v1/pay", nil, 0))
					wantError(t, err, OpRead, Unknown)
					if !strings.HasPrefix(body, got) {
						t.Fatalf("cut at %d: body is not a prefix of what was sent", cutAt)
					}
				}
				if got, want := o.Complete.Load(), int64(len(answer)); got != want {
					t.Errorf("executed = %d, want %d, one per request", got, want)
				}
				if rst {
					return // an RST may overtake the last bytes
				}
				if _, got := mustDo(t, tr, get(t, o)); got != body {
					t.Error("the whole answer was not read")
				}
			})
		}
	}
}

func TestStaleIdleConnectionIsNoticedAndPostSucceeds(t *testing.T) {
	for _, leave := range []string{"FIN", "RST", "data"} {
		t.Run(leave, func(t *testing.T) {
			gone := make(chan struct{})
			o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
				if p.Index > 1 {
					wiretest.Answering(okEmpty)(p)
					return
				}
				_, _, _ = p.Request()
				p.Say(okEmpty)
				<-gone
				if leave == "data" {
					p.Say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
					p.UntilCut()
					return
				}
				p.Cut(leave == "RST")
			})
			tr := transport(t, o)
			mustDo(t, tr, get(t, o))
			idle := tr.pool.idle[0]
			close(gone)
			wiretest.Eventually(t, "trouble reaches the socket", func() bool { return !idle.live.ok(0) })

			resp, _ := mustDo(t, tr, newRequest(t.Context(), o, "POST", "/v1/pay", nil, 0))
			if resp.StatusCode != 200 {
				t.Errorf("status = %d, want 200", resp.StatusCode)
			}
			if got := o.Complete.Load(); got != 2 {
				t.Errorf("executed = %d, want 2", got)
			}
			if got := o.Accepted.Load(); got != 2 {
				t.Errorf("connections = %d, want 2: the idle one is not used", got)
			}
		})
	}
}

// Not a byte can be written, and what upstream said before is no answer to
// this request.
func TestWriteOnDeadConnectionIsNotSent(t *testing.T) {
	for _, row := range []struct {
		stray  string
		served bool // else it was made ahead, and this write is its first request
	}{
		{"", true},
		{"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", true},
		{"", false},
	} {
		sayIt := make(chan struct{})
		o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
			_, _, _ = p.Request()
			p.Say(okEmpty)
			<-sayIt
			p.Say(row.stray)
			_, _, _ = p.Request()
		})
		tr := transport(t, o)
		mustDo(t, tr, get(t, o))
		c := tr.pool.idle[0]
		if err := c.wire.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		close(sayIt)
		wiretest.Eventually(t, "stray answer or FIN arrives", func() bool { return !c.live.ok(0) })
		c.live, c.served = liveness{}, row.served // blind
		_, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/v1/pay", nil, 0))
		if e := wantError(t, err, OpWrite, NotSent); !e.Reused {
			t.Errorf("%+v: Reused = false, want true", row)
		}
		if got := o.Complete.Load(); got != 1 {
			t.Errorf("executed = %d, want 1", got)
		}
	}
}
