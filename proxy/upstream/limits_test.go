package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is an origin inside a synctest bubble: script runs per connection.
func pipes(tr *Transport, script func(c net.Conn, br *bufio.Reader)) (dials *atomic.Int64) {
	dials = new(atomic.Int64)
	tr.Origin = &url.URL{Scheme: "http", Host: "origin.test"}
	tr.Dial = func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			script(server, bufio.NewReader(server))
		}()
		return client, nil
	}
	return dials
}

func pipeRequest(method string, body io.ReadCloser, length int64) *http.Request {
	req, _ := http.NewRequest(method, "http://origin.test/", nil)
	req.Body, req.ContentLength = body, length
	return req
}

func pipeAnswering(answer string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(c, answer)
		}
	}
}

// wantTimeout checks that the limit of a minute fired, at most a sixteenth
// late.
func wantTimeout(t *testing.T, since time.Time, err error, op Op) {
	t.Helper()
	e := wantError(t, err, op, Unknown)
	if !e.Timeout || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("err = %v, Timeout %v, want a time-out", e, e.Timeout)
	}
	if d := time.Since(since); d < time.Minute || d > time.Minute+time.Minute/16 {
		t.Errorf("failed after %v, want a minute and at most a sixteenth more", d)
	}
}

func TestUpstreamThatHangsTimesOut(t *testing.T) {
	for name, sayFirst := range map[string]string{
		"silent": "", "in the head": "HTTP/1.1 200 OK\r\nX-A", "after an interim answer": "HTTP/1.1 103 Early Hints\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &Transport{}
				pipes(tr, func(c net.Conn, br *bufio.Reader) {
					_, _ = http.ReadRequest(br)
					_, _ = io.WriteString(c, sayFirst)
					_, _ = io.Copy(io.Discard, br)
				})
				start := time.Now()
				_, err := tr.RoundTrip(pipeRequest("POST", nil, 0))
				wantTimeout(t, start, err, OpRead)
			})
		})
	}
}

func TestHeadTimeoutCountsFromLastByteOfUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{ProgressTimeout: 45 * time.Second}
		pipes(tr, func(_ net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) })
		// Two minutes of upload, never silent for 45 s.
		body := &streamBody{Reader: &slowReader{pieces: 4, every: 30 * time.Second}}
		start := time.Now()
		_, err := tr.RoundTrip(pipeRequest("POST", body, -1))
		wantTimeout(t, start.Add(2*time.Minute), err, OpRead)
	})
}

func TestHeadTimeoutHoldsOnReusedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{ProgressTimeout: time.Hour}
		pipes(tr, func(c net.Conn, br *bufio.Reader) {
			_, _ = http.ReadRequest(br)
			_, _ = io.WriteString(c, okBody("hello"))
			_, _ = io.Copy(io.Discard, br)
		})
		mustDo(t, tr, pipeRequest("GET", nil, 0))
		start := time.Now()
		_, err := tr.RoundTrip(pipeRequest("POST", nil, 0))
		wantTimeout(t, start, err, OpRead)
		if !err.(*Error).Reused {
			t.Error("Reused = false, want true")
		}
	})
}

type slowReader struct {
	pieces int
	every  time.Duration
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.pieces == 0 {
		return 0, io.EOF
	}
	time.Sleep(r.every)
	r.pieces--
	return copy(p, "x"), nil
}

func TestUploadThatStandsStillTimesOut(t *testing.T) {
	t.Run("upstream takes nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr := &Transport{}
			pipes(tr, func(_ net.Conn, br *bufio.Reader) {
				_, _ = http.ReadRequest(br)
				<-t.Context().Done()
			})
			start := time.Now()
			_, err := tr.RoundTrip(pipeRequest("POST", &endless{}, -1))
			e := wantError(t, err, OpWrite, Unknown)
			// The write's own limit fires, or the reader's; then last words.
			if d := time.Since(start); !e.Timeout || d < time.Minute || d > 70*time.Second {
				t.Errorf("err = %v after %v, want a time-out after a minute", e, d)
			}
		})
	})
	t.Run("the app gives nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr := &Transport{}
			pipes(tr, func(_ net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) })
			start := time.Now()
			_, err := tr.RoundTrip(pipeRequest("POST", &blockedBody{closed: make(chan struct{})}, -1))
			wantTimeout(t, start, err, OpBody)
		})
	})
	t.Run("the process is paused between two steps", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr := &Transport{}
			pipes(tr, func(_ net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) })
			tr.once.Do(tr.setup)
			req := pipeRequest("POST", &streamBody{Reader: &slowReader{pieces: 1, every: 2 * time.Minute}}, -1)
			x := &exchange{t: tr, req: req, ctx: req.Context()}
			go func() {
				synctest.Wait()
				x.up.reading.Store(false)
			}()
			_, err := x.run()
			wantError(t, err, OpBody, Unknown)
		})
	})
}

func TestSlowBodyStreamsAndStuckBodyTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{}
		pipes(tr, func(c net.Conn, br *bufio.Reader) {
			_, _ = http.ReadRequest(br)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
			for range 20 {
				time.Sleep(50 * time.Second)
				_, _ = io.WriteString(c, "x")
			}
			_, _ = io.Copy(io.Discard, br)
		})
		start := time.Now()
		resp, err := tr.RoundTrip(pipeRequest("GET", nil, 0))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if len(got) != 20 {
			t.Errorf("read %d bytes, want 20: there is no total limit", len(got))
		}
		wantTimeout(t, start.Add(20*50*time.Second), err, OpRead)
		resp.Body.Close()
	})
}

func TestSlowWriteThatMovesIsNotATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{}
		pipes(tr, func(c net.Conn, br *bufio.Reader) {
			slow := bufio.NewReaderSize(&everyRead{c, 50 * time.Second}, 16<<10)
			req, err := http.ReadRequest(slow)
			if err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(c, okEmpty)
			}
			_, _ = io.Copy(io.Discard, br)
		})
		resp, _ := mustDo(t, tr, pipeRequest("POST", &memBody{Reader: bytesOf(smallBody)}, smallBody))
		if resp.StatusCode != 200 {
			t.Errorf("status = %d, want 200", resp.StatusCode)
		}
		tr.CloseIdleConnections()
	})
}

// everyRead is a reader that rests before each read.
type everyRead struct {
	net.Conn
	rest time.Duration
}

func (r *everyRead) Read(p []byte) (int, error) {
	time.Sleep(r.rest)
	return r.Conn.Read(p)
}

func TestDialTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{Origin: &url.URL{Scheme: "http", Host: "origin.test"}}
		tr.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		_, err := tr.RoundTrip(pipeRequest("POST", nil, 0))
		if e := wantError(t, err, OpDial, NotSent); !e.Timeout || time.Since(start) != 5*time.Second {
			t.Errorf("err = %v after %v, want a time-out after 5s", e, time.Since(start))
		}
	})
}
