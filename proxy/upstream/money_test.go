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
	o := listen(t, nil, func(p *peer) {
		for n := 0; ; n++ {
			if _, _, err := p.request(); err != nil {
				return
			}
			if n == 1 {
				p.cut(rst)
				return
			}
			p.say(okEmpty)
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
	if got := o.executed.Load(); got != 2 {
		t.Errorf("executed = %d, want 2: the first request and this one, once", got)
	}
	if got := o.accepted.Load(); got != 1 {
		t.Errorf("connections = %d, want 1", got)
	}
}

func TestRequestCutAtEveryByte(t *testing.T) {
	makers := map[string]func(o *origin) *http.Request{
		"no body": func(o *origin) *http.Request {
			return newRequest(t.Context(), o, "POST", "/v1/pay", nil, 0)
		},
		"memory": func(o *origin) *http.Request {
			return newRequest(t.Context(), o, "POST", "/v1/pay", mem(strings.Repeat("m", 100)), 100)
		},
		"stream": func(o *origin) *http.Request {
			return newRequest(t.Context(), o, "POST", "/v1/pay", stream(strings.Repeat("s", 100)), 100)
		},
		"chunks": func(o *origin) *http.Request {
			return newRequest(t.Context(), o, "POST", "/v1/pay", stream(strings.Repeat("c", 100)), -1)
		},
	}
	for name, makeRequest := range makers {
		for _, rst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/rst=%v", name, rst), func(t *testing.T) {
				size := requestSize(t, makeRequest)
				o := listen(t, nil, func(p *peer) {
					cutAt := p.index - 1
					n, _ := io.CopyN(io.Discard, p.br, int64(cutAt))
					if n == int64(size) {
						p.o.executed.Add(1)
					}
					p.cut(rst)
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
				if got := o.executed.Load(); got != 1 {
					t.Errorf("executed = %d, want 1", got)
				}
				if got, want := o.accepted.Load(), int64(size+1); got != want {
					t.Errorf("connections = %d, want %d, one per request", got, want)
				}
			})
		}
	}
}

// requestSize sends a request and counts its bytes on the wire.
func requestSize(t *testing.T, makeRequest func(o *origin) *http.Request) int {
	var size atomic.Int64
	o := listen(t, nil, func(p *peer) {
		in, err := http.ReadRequest(bufio.NewReader(io.TeeReader(p.br, byteCount{&size})))
		if err == nil {
			_, _ = io.Copy(io.Discard, in.Body)
		}
		p.say(okEmpty)
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
	body := strings.Repeat("0123456789abcdef", 128)
	var chunked strings.Builder
	chunked.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for rest := body; rest != ""; rest = rest[512:] {
		fmt.Fprintf(&chunked, "200\r\n%s\r\n", rest[:512])
	}
	chunked.WriteString("0\r\n\r\n")
	for name, answer := range map[string]string{"length": okBody(body), "chunked": chunked.String()} {
		for _, rst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/rst=%v", name, rst), func(t *testing.T) {
				o := listen(t, nil, func(p *peer) {
					if _, _, err := p.request(); err == nil {
						p.say(answer[:p.index-1])
						p.cut(rst)
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
				if got, want := o.executed.Load(), int64(len(answer)); got != want {
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
			o := listen(t, nil, func(p *peer) {
				if p.index > 1 {
					answering(okEmpty)(p)
					return
				}
				_, _, _ = p.request()
				p.say(okEmpty)
				<-gone
				if leave == "data" {
					p.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
					p.untilCut()
					return
				}
				p.cut(leave == "RST")
			})
			tr := transport(t, o)
			mustDo(t, tr, get(t, o))
			idle := tr.pool.idle[0]
			close(gone)
			eventually(t, "trouble reaches the socket", func() bool { return !idle.live.ok(0) })

			resp, _ := mustDo(t, tr, newRequest(t.Context(), o, "POST", "/v1/pay", nil, 0))
			if resp.StatusCode != 200 {
				t.Errorf("status = %d, want 200", resp.StatusCode)
			}
			if got := o.executed.Load(); got != 2 {
				t.Errorf("executed = %d, want 2", got)
			}
			if got := o.accepted.Load(); got != 2 {
				t.Errorf("connections = %d, want 2: the idle one is not used", got)
			}
		})
	}
}

// Not a byte can be written, and what upstream said before is no answer to
// this request.
func TestWriteOnDeadConnectionIsNotSent(t *testing.T) {
	for _, stray := range []string{"", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"} {
		sayIt := make(chan struct{})
		o := listen(t, nil, func(p *peer) {
			_, _, _ = p.request()
			p.say(okEmpty)
			<-sayIt
			p.say(stray)
			_, _, _ = p.request()
		})
		tr := transport(t, o)
		mustDo(t, tr, get(t, o))
		c := tr.pool.idle[0]
		if err := c.wire.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		close(sayIt)
		eventually(t, "stray answer or FIN arrives", func() bool { return !c.live.ok(0) })
		c.live = liveness{} // blind
		_, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/v1/pay", nil, 0))
		if e := wantError(t, err, OpWrite, NotSent); !e.Reused {
			t.Error("Reused = false, want true")
		}
		if got := o.executed.Load(); got != 1 {
			t.Errorf("executed = %d, want 1", got)
		}
	}
}
