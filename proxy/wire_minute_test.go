package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// inBubble serves one app over pipes, and upstream by script on one connection.
func inBubble(t *testing.T, script func(net.Conn), app func(net.Conn), check func(Record)) {
	synctest.Test(t, func(t *testing.T) {
		records := make(chan Record, 10)
		front, back := wiretest.NewPipes(), wiretest.NewPipes()
		origin := &url.URL{Scheme: "http", Host: "upstream.test"}
		transport := &upstream.Transport{Origin: origin, Dial: back.Dial}
		server := serverUnderTest(os.Getenv("MONITE_LISTENER"), New(Config{
			Origin: origin, Tokens: &tokenBook{}, Upstream: transport, APIVersion: "2024-05-25", Policy: policies["pinned"], MaxInFlight: 10,
			MaxBodyBytes: 1 << 30, ReplayBodyBytes: 64 << 10,
			Log: zerolog.Nop(), Observe: func(r *Record) { records <- *r },
		}), nil, nil)
		var all sync.WaitGroup
		all.Go(func() { _ = server.Serve(front) })
		all.Go(func() {
			conn, err := back.Accept()
			if err == nil {
				script(conn)
				_ = conn.Close()
			}
		})
		conn, _ := front.Dial(t.Context(), "", "")
		app(conn)
		check(<-records)
		_ = conn.Close()
		_ = back.Close()
		_ = server.Close()
		transport.CloseIdleConnections()
		all.Wait()
	})
}

// readHead reads a head byte by byte, so that a pipe is not read further.
func readHead(conn io.Reader) string {
	var b strings.Builder
	one := make([]byte, 1)
	for !strings.HasSuffix(b.String(), "\r\n\r\n") {
		if _, err := conn.Read(one); err != nil {
			break
		}
		b.Write(one)
	}
	return b.String()
}

func TestAppThatDoesNotReadIsCutAfterAMinute(t *testing.T) {
	start := time.Now()
	inBubble(t, func(conn net.Conn) {
		readHead(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			if _, err := io.WriteString(conn, "1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n"); err != nil {
				return // the proxy gave up, and freed the connection
			}
		}
	}, func(conn net.Conn) {
		start = time.Now()
		_, _ = io.WriteString(conn, get("/v1/x"))
		readHead(conn)
	}, func(record Record) {
		if took := time.Since(start); !record.Aborted || took < progressTimeout*3/4 || took > 2*progressTimeout {
			t.Errorf("after %v: %+v", took, record)
		}
	})
}

func TestAppThatStopsSendingIsToldAfterAMinute(t *testing.T) {
	for name, tt := range map[string]struct {
		framing, body string
		outcome       Outcome
	}{
		"kept":              {"Content-Length: 10", "1234567", NotSent},
		"streamed":          {"Content-Length: 100000", "1234567", Unknown},
		"chunked":           {"Transfer-Encoding: chunked", "3\r\nabc\r", NotSent},
		"chunked, streamed": {"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%070000d\r\n", 70_000, 0), Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			inBubble(t, func(conn net.Conn) {
				if got, _ := io.ReadAll(conn); strings.HasSuffix(string(got), "0\r\n\r\n") {
					t.Error("upstream saw a complete request")
				}
			}, func(conn net.Conn) {
				start = time.Now()
				_, _ = io.WriteString(conn, head("POST", "/v1/x", tt.framing)+"\r\n"+tt.body)
				if answer := readHead(conn); !strings.HasPrefix(answer, "HTTP/1.1 400 ") || !strings.Contains(answer, "Connection: close\r\n") {
					t.Errorf("answer = %q", answer)
				}
				_, _ = io.Copy(io.Discard, conn)
			}, func(record Record) {
				if took := time.Since(start); record.ErrorType != "proxy_body_read" || record.Outcome != tt.outcome ||
					took < progressTimeout || took > progressTimeout*5/4 {
					t.Errorf("after %v: %+v", took, record)
				}
			})
		})
	}
}

// A body that pauses for less than a minute takes as long as it likes.
func TestSlowButSteadyUploadPasses(t *testing.T) {
	for _, framing := range []string{"chunked", "length"} {
		t.Run(framing, func(t *testing.T) {
			inBubble(t, func(conn net.Conn) {
				in, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				if n, err := io.Copy(io.Discard, in.Body); n != 100_000 || err != nil {
					t.Errorf("upstream saw %d bytes, %v", n, err)
				}
				_, _ = io.WriteString(conn, okEmpty)
				_, _ = io.Copy(io.Discard, conn)
			}, func(conn net.Conn) {
				if framing == "chunked" {
					_, _ = io.WriteString(conn, head("POST", "/v1/x", "Transfer-Encoding: chunked")+"\r\n")
				} else {
					_, _ = io.WriteString(conn, head("POST", "/v1/x", "Content-Length: 100000")+"\r\n")
				}
				for range 10 {
					time.Sleep(progressTimeout * 9 / 10)
					piece := strings.Repeat("x", 10_000)
					if framing == "chunked" {
						piece = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
					}
					if _, err := io.WriteString(conn, piece); err != nil {
						t.Errorf("the app cannot go on: %v", err)
						return
					}
				}
				if framing == "chunked" {
					_, _ = io.WriteString(conn, "0\r\n\r\n")
				}
				if answer := readHead(conn); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
					t.Errorf("answer = %q", answer)
				}
			}, func(record Record) {
				if record.Status != http.StatusOK || record.Duration < 9*progressTimeout*9/10 {
					t.Errorf("record = %+v", record)
				}
			})
		})
	}
}

// An app that reads slowly but steadily gets the whole of a long answer.
func TestSlowButSteadyReaderGetsTheWholeAnswer(t *testing.T) {
	inBubble(t, func(conn net.Conn) {
		readHead(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 40960\r\n\r\n")
		for range 10 {
			_, _ = io.WriteString(conn, strings.Repeat("x", 4096))
		}
		_, _ = io.Copy(io.Discard, conn)
	}, func(conn net.Conn) {
		_, _ = io.WriteString(conn, get("/v1/x"))
		readHead(conn)
		for i := range 10 {
			time.Sleep(progressTimeout * 9 / 10)
			if _, err := io.ReadFull(conn, make([]byte, 4096)); err != nil {
				t.Errorf("piece %d: %v", i, err)
				return
			}
		}
	}, func(record Record) {
		if record.Aborted || record.ResponseBytes != 40960 {
			t.Errorf("record = %+v", record)
		}
	})
}
