package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// endless gives bytes until it is closed, and counts its Close calls.
type endless struct{ closed atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.closed.Load() > 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func (e *endless) Close() error { e.closed.Add(1); return nil }

const tooLarge = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"

func TestEarlyAnswerDuringUpload(t *testing.T) {
	for _, how := range []string{"read to the end", "closed unread"} {
		for _, length := range []int64{-1, 1 << 40} {
			t.Run(how, func(t *testing.T) {
				o := wiretest.Listen(t, nil, wiretest.Early(tooLarge))
				tr := transport(t, o)
				body := &endless{}
				resp, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", body, length))
				wiretest.Must(t, err)
				if resp.StatusCode != 413 {
					t.Errorf("status = %d, want 413", resp.StatusCode)
				}
				if how == "read to the end" {
					if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "big" {
						t.Errorf("body, err = %q, %v, want big", got, err)
					}
				}
				resp.Body.Close()
				wiretest.Eventually(t, "request body is closed", func() bool { return body.closed.Load() == 1 })
				if s := tr.Stats(); s.Open != 0 {
					t.Errorf("Stats() = %+v, want the connection closed", s)
				}
			})
		}
	}
}

func TestEarlyAnswerWithoutBodyEndsUpload(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Early("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
	tr := transport(t, o)
	body := &endless{}
	resp, _ := mustDo(t, tr, newRequest(t.Context(), o, "POST", "/", body, -1))
	if resp.StatusCode != 401 || tr.Stats().Open != 0 {
		t.Errorf("status %d, %+v", resp.StatusCode, tr.Stats())
	}
	wiretest.Eventually(t, "the body to be closed", func() bool { return body.closed.Load() == 1 })
}

// The app's body blocks in Read while upstream answers early: closing the
// answer closes the body, which ends the Read.
func TestEarlyAnswerWhileBodyReadBlocks(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Early(tooLarge))
	tr := transport(t, o)
	pr, pw := io.Pipe()
	defer pw.Close()
	body := &streamBody{Reader: pr}
	resp, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", body, -1))
	wiretest.Must(t, err)
	resp.Body.Close()
	wiretest.Eventually(t, "body is closed", func() bool { return body.closed.Load() == 1 })
	if _, err := pw.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("Write to the app's end: %v, want ErrClosedPipe", err)
	}
}

func TestAnswerSentBeforeUpstreamClosedIsReturned(t *testing.T) {
	for name, body := range map[string]io.ReadCloser{
		"chunks": &endless{}, "length": &endless{}, "memory": mem(strings.Repeat("x", smallBody)),
	} {
		t.Run(name, func(t *testing.T) {
			o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
				if _, err := http.ReadRequest(p.Reader); err != nil {
					return
				}
				p.Say(tooLarge)
				// Half close, then read on a little: the answer is in the
				// client's kernel before the reset that follows.
				_ = p.TCP.CloseWrite()
				_, _ = io.CopyN(io.Discard, p.Reader, 40<<10)
			})
			tr := transport(t, o)
			length := map[string]int64{"chunks": -1, "length": 1 << 40}[name]
			resp, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", body, length))
			wiretest.Must(t, err)
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "big" || resp.StatusCode != 413 {
				t.Errorf("status %d, body, err = %q, %v, want 413, big", resp.StatusCode, got, err)
			}
			// All of the memory body fits into the kernel: the FIN that makes
			// the connection useless is found before the next request.
			if s := tr.Stats(); name != "memory" && s.Open != 0 {
				t.Errorf("Stats() = %+v, want the connection closed", s)
			}
		})
	}
}

func TestStreamingBothWaysKeepsTheConnection(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for {
			req, err := http.ReadRequest(p.Reader)
			if err != nil {
				return
			}
			p.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			lines := bufio.NewScanner(req.Body)
			for lines.Scan() {
				p.Say("6\r\necho " + lines.Text() + "\r\n")
			}
			p.Say("0\r\n\r\n")
		}
	})
	tr := transport(t, o)
	for range 50 {
		pr, pw := io.Pipe()
		resp, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", pr, -1))
		wiretest.Must(t, err)
		for _, c := range "abc" {
			if _, err := io.WriteString(pw, string(c)+"\n"); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 6)
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != "echo "+string(c) {
				t.Fatalf("read = %q, %v, want the echo of %c before the next write", got, err, c)
			}
		}
		pw.Close()
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
			t.Fatalf("rest, err = %q, %v, want a clean end", rest, err)
		}
		resp.Body.Close()
	}
	if got := o.Accepted.Load(); got != 1 {
		t.Errorf("connections = %d, want 1: upload and answer were both complete", got)
	}
}

// A body that fails after an early answer does not take the answer away.
func TestBodyFailureAfterEarlyAnswer(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, err := http.ReadRequest(p.Reader); err == nil {
			p.Say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nb")
			afterFirstByte(p, func() { p.Say("ig") })
		}
	})
	tr := transport(t, o)
	pr, pw := io.Pipe()
	body := &streamBody{Reader: pr}
	resp, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", body, -1))
	wiretest.Must(t, err)
	if _, err := pw.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	pw.CloseWithError(io.ErrUnexpectedEOF)
	wiretest.Eventually(t, "body is closed", func() bool { return body.closed.Load() == 1 })
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "big" {
		t.Errorf("body, err = %q, %v, want big", got, err)
	}
	resp.Body.Close()
	if s := tr.Stats(); s.Open != 0 {
		t.Errorf("Stats() = %+v, want the connection closed", s)
	}
}

// afterFirstByte calls f once a first byte has come, then blocks until the client
// is gone.
func afterFirstByte(p *wiretest.Peer, f func()) {
	_, _ = p.Reader.ReadByte()
	f()
	p.UntilCut()
}

// brokenPipe takes the first bytes of a request and then fails, like a socket
// whose peer has closed; the answer is there only afterwards.
type brokenPipe struct {
	*wiretest.Script
	left   int
	broken chan struct{}
	once   sync.Once
}

func (c *brokenPipe) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	if n == len(p) {
		return n, nil
	}
	c.once.Do(func() { close(c.broken) })
	return n, syscall.EPIPE
}

func (c *brokenPipe) Read(p []byte) (int, error) {
	<-c.broken
	return c.Script.Read(p)
}

func TestAnswerAfterBrokenWriteIsReturned(t *testing.T) {
	for name, body := range map[string]io.ReadCloser{
		"chunks": &endless{}, "length": &endless{}, "memory": mem(strings.Repeat("x", smallBody)), "cut in the head": &endless{},
	} {
		for _, answer := range []string{tooLarge, ""} {
			t.Run(name, func(t *testing.T) {
				left := 50_000
				if name == "cut in the head" {
					left = 10
				}
				nc := &brokenPipe{Script: wiretest.NewScript([]byte(answer)), left: left, broken: make(chan struct{})}
				tr := &Transport{
					Origin: &url.URL{Scheme: "http", Host: "origin.test"},
					Dial:   func(context.Context, string, string) (net.Conn, error) { return nc, nil },
				}
				length := map[string]int64{"chunks": -1, "length": 1 << 40, "memory": smallBody}[name]
				resp, got, err := do(tr, pipeRequest("POST", body, length))
				if answer == "" {
					wantError(t, err, OpWrite, Unknown)
				} else if err != nil || resp.StatusCode != 413 || got != "big" {
					t.Errorf("body, err = %q, %v, want the 413 that was there", got, err)
				}
				if s := tr.Stats(); s.Open != 0 {
					t.Errorf("Stats() = %+v, want the connection closed", s)
				}
			})
			if b, ok := body.(*endless); ok {
				if n := b.closed.Swap(0); n != 1 {
					t.Errorf("%s: body closed %d times, want 1", name, n)
				}
			} else {
				body = mem(strings.Repeat("x", smallBody))
			}
		}
	}
}
