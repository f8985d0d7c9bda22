package strict

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// inBubble returns how long the connection lasts if the app does what app does.
func inBubble(t *testing.T, handler http.HandlerFunc, app func(net.Conn)) (lasted time.Duration) {
	return wiretest.InBubble(t, (&Server{Handler: handler}).Serve, app)
}

func TestSlowHeadIsCutAfterItsTime(t *testing.T) {
	for name, app := range map[string]func(net.Conn){
		"silent": func(net.Conn) {},
		"half a head": func(conn net.Conn) {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHos")
		},
		"drop by drop": func(conn net.Conn) {
			for _, c := range []byte(get("/", "X: "+long(100))) {
				if _, err := conn.Write([]byte{c}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
	} {
		if took := inBubble(t, echo, app); took != defaultHeaderTimeout {
			t.Errorf("%s: cut after %v, want %v", name, took, defaultHeaderTimeout)
		}
	}
}

func TestIdleConnectionEndsAfterItsTime(t *testing.T) {
	for name, app := range map[string]func(net.Conn){
		"idle": func(conn net.Conn) {},
		"half a second head": func(conn net.Conn) {
			time.Sleep(40 * time.Second)
			_, _ = io.WriteString(conn, "GET / HTT")
		},
	} {
		took := inBubble(t, echo, func(conn net.Conn) {
			_, _ = io.WriteString(conn, get("/"))
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			app(conn)
		})
		least, most := defaultIdleTimeout, defaultIdleTimeout*17/16
		if name != "idle" {
			least, most = 45*time.Second, 45*time.Second
		}
		if took < least || took > most {
			t.Errorf("%s: ended after %v, want %v to %v", name, took, least, most)
		}
	}
}

// Neither the time for the head nor the idle time ends a request.
func TestSlowHandlerAndSlowBodyAreNotCut(t *testing.T) {
	var got string
	handled := make(chan error, 1)
	minute := strings.Repeat("x", 60*leastRate)
	took := inBubble(t, func(w http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		got = string(body)
		for range 10 {
			time.Sleep(time.Minute)
			if in.Context().Err() != nil {
				t.Error("the request was ended")
			}
		}
		handled <- err
		w.Header().Set("Connection", "close")
	}, func(conn net.Conn) {
		_, _ = io.WriteString(conn, post("/", "", "Content-Length: "+strconv.Itoa(10*len(minute))))
		for range 10 {
			time.Sleep(time.Minute)
			_, _ = io.WriteString(conn, minute)
		}
	})
	if err := <-handled; got != strings.Repeat(minute, 10) || err != nil || took < 20*time.Minute {
		t.Errorf("body of %d bytes, %v after %v", len(got), err, took)
	}
}

// The watch for the app's end is a read: what it finds belongs to the next
// request, and it has no time limit.
func TestSlowHandlerIsNotDisturbedByTheWatch(t *testing.T) {
	var targets []string
	took := inBubble(t, func(w http.ResponseWriter, in *http.Request) {
		time.Sleep(10 * time.Minute)
		if in.Context().Err() != nil {
			t.Error("the request was ended")
		}
		body, _ := io.ReadAll(in.Body)
		targets = append(targets, in.RequestURI+string(body))
		if len(targets) == 3 {
			w.Header().Set("Connection", "close")
		}
	}, func(conn net.Conn) {
		go func() {
			_, _ = io.WriteString(conn, get("/1"))
			time.Sleep(time.Minute) // the watch has begun
			_, _ = io.WriteString(conn, post("/2", long(5000), "Content-Length: 5000"))
			time.Sleep(time.Minute)
			_, _ = io.WriteString(conn, get("/3"))
		}()
	})
	if want := []string{"/1", "/2" + long(5000), "/3"}; !slices.Equal(targets, want) || took < 30*time.Minute {
		t.Errorf("%.100q after %v", targets, took)
	}
}

func TestHandlerSetsDeadlines(t *testing.T) {
	var readErr, writeErr error
	inBubble(t, func(w http.ResponseWriter, in *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(time.Minute))
		began := time.Now()
		_, readErr = io.ReadAll(in.Body)
		if took := time.Since(began); took < time.Minute || took > 64*time.Second {
			t.Errorf("Read fails after %v", took)
		}
		_ = control.SetWriteDeadline(time.Now().Add(time.Second))
		_, writeErr = w.Write(make([]byte, 100_000))
	}, func(conn net.Conn) {
		_, _ = io.WriteString(conn, post("/", "", "Content-Length: 10"))
		time.Sleep(5 * time.Minute) // reads nothing
	})
	for _, err := range []error{readErr, writeErr} {
		if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
			t.Errorf("%v, want a time-out", err)
		}
	}
}

// Old clients send an empty line behind the body of a POST (RFC 9112 section
// 2.2). It is not the beginning of a head, for which there would be less time.
func TestEmptyLineBehindAPOSTBeginsNothing(t *testing.T) {
	for name, pieces := range map[string][]string{"whole": {"\r\n"}, "in pieces": {"\r", "\n"}} {
		took := inBubble(t, echo, func(conn net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			_, _ = io.WriteString(conn, post("/", "abc", "Content-Length: 3"))
			for _, piece := range pieces {
				time.Sleep(time.Second)
				_, _ = io.WriteString(conn, piece)
			}
			time.Sleep(30 * time.Second)
			_, _ = io.WriteString(conn, get("/"))
		})
		if least := 30*time.Second + defaultIdleTimeout; took < least {
			t.Errorf("%s: ended after %v, want at least %v", name, took, least)
		}
	}
}

// Half of that line came with the body: what follows it may never come.
func TestHalfAnEmptyLineBehindAPOSTIsIdleToo(t *testing.T) {
	took := inBubble(t, echo, func(conn net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		_, _ = io.WriteString(conn, post("/", "abc\r", "Content-Length: 3"))
		time.Sleep(time.Hour)
		_ = conn.Close()
	})
	if least, most := defaultIdleTimeout, defaultIdleTimeout*17/16; took < least || took > most {
		t.Errorf("ended after %v, want %v to %v", took, least, most)
	}
}
