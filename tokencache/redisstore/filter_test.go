package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// replies is the table of TestFilter and the seed of its fuzz target.
var replies = []struct {
	name, bytes string
	taken       bool
}{
	{"text", "+OK\r\n", true},
	{"error", "-NOAUTH Authentication required.\r\n", true},
	{"number", ":42\r\n", true},
	{"negative number", ":-2\r\n", true},
	{"bulk", "$3\r\nabc\r\n", true},
	{"bulk with a line break", "$4\r\n\r\n\r\n\r\n", true},
	{"empty bulk", "$0\r\n\r\n", true},
	{"nothing", "$-1\r\n", true},
	{"no array", "*-1\r\n", true},
	{"empty array", "*0\r\n", true},
	{"array", "*4\r\n$5\r\ntoken\r\n:1\r\n$2\r\nab\r\n:-1\r\n", true},
	{"array in an array", "*2\r\n*1\r\n+a\r\n+b\r\n", true},
	{"longest bulk", "$16384\r\n" + strings.Repeat("x", 16384) + "\r\n", true},
	{"longest line", "+" + strings.Repeat("x", 509) + "\r\n", true},
	{"eight items", "*8\r\n" + strings.Repeat(":1\r\n", 8), true},

	{"largest length", "$9223372036854775807\r\n", false},
	{"length of 300 GB", "$300000000000\r\n", false},
	{"largest array", "*9223372036854775807\r\n", false},
	{"negative length", "$-5\r\n", false},
	{"negative array", "*-5\r\n", false},
	{"length over the largest", "$99999999999999999999999\r\n", false},
	{"length with a sign", "$+3\r\nabc\r\n", false},
	{"length in hex", "$0x3\r\nabc\r\n", false},
	{"no length", "$\r\n", false},
	{"bulk a byte too long", "$16385\r\n", false},
	{"line too long", "+" + strings.Repeat("x", 510) + "\r\n", false},
	{"line without an end", "+" + strings.Repeat("x", 1<<20), false},
	{"error without an end", "-" + strings.Repeat("x", 1<<20), false},
	{"nine items", "*9\r\n", false},
	{"too deep", "*1\r\n*1\r\n*1\r\n:1\r\n", false},
	{"bottomless", strings.Repeat("*1\r\n", 100000), false},
	{"no CR", "+OK\n", false},
	{"empty line", "\r\n", false},
	{"number that is none", ":abc\r\n", false},
	{"RESP3 map", "%1\r\n+a\r\n+b\r\n", false},
	{"RESP3 push", ">2\r\n+a\r\n+b\r\n", false},
	{"RESP3 streamed string", "$?\r\n;4\r\nabcd\r\n", false},
	{"RESP3 big number", "(3492890328409238509324850943850943825024385\r\n", false},
	{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", false},
	{"zeros", strings.Repeat("\x00", 4096), false},
	{"TLS alert", "\x15\x03\x01\x00\x02\x02\x28", true}, // not the end of a line yet: the deadline ends that
}

// wire is a connection of which a test wrote what can be read, in pieces.
type wire struct {
	net.Conn
	from   io.Reader
	piece  int
	closed bool
}

func (w *wire) Read(p []byte) (int, error)         { return w.from.Read(p[:min(len(p), w.piece)]) }
func (w *wire) Write(p []byte) (int, error)        { return len(p), nil }
func (w *wire) Close() error                       { w.closed = true; return nil }
func (w *wire) SetReadDeadline(time.Time) error    { return nil }
func (w *wire) SetWriteDeadline(t time.Time) error { return nil }

func TestFilter(t *testing.T) {
	for _, tc := range replies {
		for _, piece := range []int{1, 7, 1 << 20} {
			w := &wire{from: strings.NewReader(tc.bytes), piece: piece}
			passed, err := io.ReadAll(&filter{Conn: w})
			if taken := err == nil; taken != tc.taken || w.closed == tc.taken {
				t.Errorf("%s in pieces of %d: error %v, closed %t, want it taken: %t", tc.name, piece, err, w.closed, tc.taken)
			}
			if tc.taken && string(passed) != tc.bytes {
				t.Errorf("%s in pieces of %d: %d bytes passed of %d", tc.name, piece, len(passed), len(tc.bytes))
			}
		}
	}
}

// Whatever a server writes, the library does not panic behind the filter, and takes no
// more memory than the largest reply that is allowed.
func FuzzFilter(f *testing.F) {
	for _, tc := range replies {
		if len(tc.bytes) < 1<<17 {
			f.Add([]byte(tc.bytes), 3)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		w := &wire{from: bytes.NewReader(data), piece: max(1, min(piece, 1<<16))}
		limited := &filter{Conn: w}
		on := redis.NewConn(limited, 0, 0)
		for n := 1; ; n++ {
			reply, err := on.Receive()
			if _, isReply := err.(redis.Error); err != nil && !isReply { //nolint:errorlint // it is that very type
				return
			}
			if size := sizeOf(reply); size > maxItems*maxItems*(maxBulk+maxLine) {
				t.Fatalf("a reply of %d bytes", size)
			}
			if n > len(data) {
				t.Fatal("more replies than bytes")
			}
		}
	})
}

func sizeOf(reply any) (size int) {
	switch reply := reply.(type) {
	case []any:
		for _, item := range reply {
			size += sizeOf(item)
		}
	case []byte:
		size = len(reply)
	case string:
		size = len(reply)
	}
	return size
}

// Replies that a filter must agree on with the library: where it says that so many
// have come and nothing of another, the library has read as many.
func TestFilterCountsAsTheLibraryDoes(t *testing.T) {
	var stream strings.Builder
	n := 0
	for _, tc := range replies {
		if tc.taken && tc.name != "TLS alert" {
			stream.WriteString(tc.bytes)
			n++
		}
	}
	limited := &filter{Conn: &wire{from: strings.NewReader(stream.String()), piece: 5}}
	on := redis.NewConn(limited, 0, 0)
	for i := range n {
		if _, err := on.Receive(); err != nil {
			if _, isReply := err.(redis.Error); !isReply { //nolint:errorlint // it is that very type
				t.Fatalf("reply %d: %v", i, err)
			}
		}
	}
	if !limited.atRest(n) {
		t.Errorf("the filter has counted %d replies, want %d and no more", limited.replies, n)
	}
}

// hostileServer answers every connection with the same bytes, and keeps it open.
func hostileServer(t *testing.T, raw string) (address string) {
	t.Helper()
	listener := wiretest.Loopback(t)
	done, answer := make(chan struct{}), []byte(raw)
	go func() {
		defer close(done)
		for {
			on, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = on.Close() })
			go func() {
				_, _ = on.Read(make([]byte, 64<<10))
				_, _ = on.Write(answer)
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

func clientOf(t testing.TB, url string, change ...func(*Config)) *client {
	t.Helper()
	config := at(t, url)
	config.Origin, config.Credentials = "https://upstream", creds
	for _, c := range change {
		c(&config)
	}
	made := newClient(config)
	t.Cleanup(made.dropIdle)
	return made
}

// Every client library that was tried panics on one of these, takes a gigabyte, or
// ends the process out of memory.
func TestHostileServerEndsAConnectionAndNothingElse(t *testing.T) {
	for _, tc := range replies {
		if tc.taken && tc.name != "TLS alert" {
			continue
		}
		c := clientOf(t, "redis://"+hostileServer(t, "+PONG\r\n"+tc.bytes))
		ctx, cancel := context.WithTimeout(t.Context(), 300*ms)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		_, err := c.run(ctx, askScript, []string{"k"})
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		cancel()
		grown := after.TotalAlloc - before.TotalAlloc
		_, isOurs := errors.AsType[*Error](err)
		if !isOurs && !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second || grown > 512<<10 {
			t.Errorf("%s: %v after %v with %d KiB, want an error within 300 ms", tc.name, err, took, grown>>10)
		}
		if len(c.idle) != 0 {
			t.Errorf("%s: the connection is kept", tc.name)
		}
	}
}

// A reply too many could be taken for that to the next question.
func TestConnectionWithAReplyTooManyIsNotKept(t *testing.T) {
	c := clientOf(t, "redis://"+hostileServer(t, "+PONG\r\n*0\r\n+more\r\n"))
	if reply, err := c.run(t.Context(), askScript, []string{"k"}); err == nil || len(c.idle) != 0 {
		t.Errorf("run() = %v, %v, %d connections kept, want an error and none", reply, err, len(c.idle))
	}
}

func TestErrorsOfTheServerAreOneWord(t *testing.T) {
	for text, want := range map[string]string{
		"NOAUTH Authentication required.": "NOAUTH", "ERR canary": "ERR", "canary": "ERR", "": "ERR",
		strings.Repeat("A", 21) + " x": "ERR", "OOM command not allowed": "OOM", "A\tB": "ERR",
	} {
		c := clientOf(t, "redis://"+hostileServer(t, "+PONG\r\n-"+text+"\r\n"))
		_, err := c.run(t.Context(), askScript, []string{"k"})
		if failed, ok := errors.AsType[*Error](err); !ok || failed.Kind != want || strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("-%s: %v, want %s", text, err, want)
		}
	}
}
