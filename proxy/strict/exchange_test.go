package strict

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestKeepAliveServesOneAfterTheOther(t *testing.T) {
	r := serve(t, echo)
	a := r.dial()
	for i := range 50 {
		body := strings.Repeat("b", i*200)
		a.Gets(post(fmt.Sprint("/", i), body, fmt.Sprint("Content-Length: ", len(body))), 200, fmt.Sprintf("POST /%d %s", i, body))
		a.Gets(post(fmt.Sprint("/c", i), chunkedOf(body), "Transfer-Encoding: chunked"), 200, fmt.Sprintf("POST /c%d %s", i, body))
	}
}

// chunkedOf is body in chunks of up to 1,000 bytes.
func chunkedOf(body string) string {
	var pieces []string
	for len(body) > 1000 {
		pieces, body = append(pieces, body[:1000]), body[1000:]
	}
	if body != "" {
		pieces = append(pieces, body)
	}
	return chunked(pieces...)
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	r := serve(t, echo)
	a := r.dial()
	var all strings.Builder
	for i := range 40 {
		body := strings.Repeat("b", i*300)
		all.WriteString(post(fmt.Sprint("/", i), body, fmt.Sprint("Content-Length: ", len(body))))
	}
	go func() { _, _ = io.WriteString(a.Conn, all.String()) }()
	for i := range 40 {
		a.Want("POST", 200, fmt.Sprintf("POST /%d %s", i, strings.Repeat("b", i*300)))
	}
}

// What a request leaves behind is spoilt (spoiling), so that a trace of one in the
// next would show.
func TestNothingOfARequestReachesTheNext(t *testing.T) {
	type kept struct {
		request string
		fields  http.Header
		values  []string
	}
	var mu sync.Mutex
	var all []kept
	r := serveOn(t, spoiling{wiretest.Loopback(t)}, func(w http.ResponseWriter, in *http.Request) {
		mu.Lock()
		all = append(all, kept{in.RequestURI, in.Header, []string{in.Header.Get("X-Nonce"), in.Host, in.Method}})
		mu.Unlock()
		w.Header().Set("X-Nonce", in.Header.Get("X-Nonce"))
		if in.Header.Get("X-Extra") != "" {
			w.Header().Set("X-Extra", "yes")
		}
		_, _ = io.Copy(w, in.Body)
	})
	var apps sync.WaitGroup
	for i := range 8 {
		apps.Go(func() {
			a := r.dial()
			for j := range 50 {
				nonce := fmt.Sprint(i, "-", j)
				fields := []string{"X-Nonce: " + nonce, fmt.Sprint("Content-Length: ", len(nonce))}
				if j%2 == 0 {
					fields = append(fields, "X-Extra: "+nonce, "X-"+nonce+": 1")
				}
				response := a.Gets(post("/"+nonce, nonce, fields...), 200, nonce)
				if response.Header.Get("X-Nonce") != nonce || (response.Header.Get("X-Extra") != "") != (j%2 == 0) {
					t.Errorf("%s: answer %v", nonce, response.Header)
				}
			}
		})
	}
	apps.Wait()
	for _, k := range all {
		nonce := strings.TrimPrefix(k.request, "/")
		if k.values[0] != nonce || k.values[1] != "localhost" || k.values[2] != "POST" || strings.Contains(fmt.Sprint(k.fields), "!!") {
			t.Errorf("kept of %s: %v", nonce, k)
		}
	}
	if len(all) != 400 {
		t.Errorf("%d requests", len(all))
	}
}

func TestContinueIsSentOnceAndOnlyIfTheBodyIsRead(t *testing.T) {
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		if in.RequestURI == "/refused" {
			w.WriteHeader(413)
			return
		}
		_, _ = in.Body.Read(nil)
		echo(w, in)
	})
	for _, framing := range []string{"Content-Length: 3", "Transfer-Encoding: chunked"} {
		body := "abc"
		if strings.HasPrefix(framing, "T") {
			body = chunked("abc")
		}
		a := r.dial()
		for range 2 {
			a.Say(post("/x", "", framing, "Expect: 100-continue"))
			line := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
			if _, err := io.ReadFull(a.Reader, line); err != nil || string(line) != "HTTP/1.1 100 Continue\r\n\r\n" {
				t.Fatalf("%s: %q, %v", framing, line, err)
			}
			a.Say(body)
			a.Want("POST", 200, "POST /x abc") // and no second 100
		}
		if response := a.Gets(post("/refused", "", framing, "Expect: 100-continue"), 413, ""); !response.Close {
			t.Errorf("%s: the connection goes on, and a body may come", framing)
		}
		a.Closed()
	}
	r.dial().Gets(post("/x", "", "Expect: 100-continue"), 200, "POST /x ") // no body, nothing to wait for
}

func TestHTTP10EndsOrSaysThatItGoesOn(t *testing.T) {
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		if in.RequestURI == "/stream" {
			_, _ = io.WriteString(w, "abc")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "def")
			return
		}
		echo(w, in)
	})
	a := r.dial()
	for range 2 {
		response := a.Gets("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "GET /x ")
		if response.Header.Get("Connection") != "keep-alive" || response.Proto != "HTTP/1.0" {
			t.Errorf("%s %v", response.Proto, response.Header)
		}
	}
	response := a.Gets("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "abcdef")
	if response.ContentLength != -1 || len(response.TransferEncoding) > 0 {
		t.Errorf("%v %v", response.ContentLength, response.TransferEncoding)
	}
	a.Closed()
	a = r.dial()
	a.Gets("GET /x HTTP/1.0\r\n\r\n", 200, "GET /x ")
	a.Closed()
}

func TestAnswersWithoutABody(t *testing.T) {
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		status := 200
		_, _ = fmt.Sscanf(in.RequestURI, "/%d", &status)
		if status != 200 || in.Header.Get("X-Length") != "" {
			w.Header().Set("Content-Length", "5")
		}
		w.WriteHeader(status)
		n, err := io.WriteString(w, "hello")
		if in.Method != "HEAD" && status != 200 && (n != 0 || err != http.ErrBodyNotAllowed) {
			t.Errorf("%d: Write = %d, %v", status, n, err)
		}
	})
	a := r.dial()
	for _, c := range []struct{ method, target, field, length string }{
		{"HEAD", "/200", "X-Length: 1", "5"}, {"HEAD", "/200", "X: y", ""}, {"GET", "/204", "X: y", ""}, {"GET", "/304", "X: y", ""},
		{"HEAD", "/304", "X: y", "5"},
	} {
		a.Say(c.method + " " + c.target + " HTTP/1.1\r\n" + host + c.field + "\r\n\r\n")
		response, body, err := a.Response(c.method)
		if err != nil || body != "" || response.Header.Get("Content-Length") != c.length || len(response.TransferEncoding) > 0 {
			t.Errorf("%v: %v %q %v", c, response, body, err)
		}
	}
	a.Gets(get("/200"), 200, "hello")
}

// Lengths that a handler states are kept, or the connection shows that not.
func TestLengthOfTheAnswerIsTrue(t *testing.T) {
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		switch in.RequestURI {
		case "/short":
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "abc")
		case "/long":
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "abc")
			if n, err := io.WriteString(w, "def"); n != 0 || err != http.ErrContentLength {
				t.Errorf("Write = %d, %v", n, err)
			}
		case "/nonsense":
			w.Header()["Content-Length"] = []string{"3", "4"}
			w.Header().Set("Transfer-Encoding", "gzip")
			_, _ = io.WriteString(w, "abc")
		case "/nothing":
		case "/large":
			for range 100 {
				_, _ = io.WriteString(w, long(1000))
			}
			_, _ = w.Write(bytes.Repeat([]byte("b"), 100_000))
		}
	})
	a := r.dial()
	a.Say(get("/long") + get("/nonsense") + get("/nothing") + get("/large"))
	a.Want("GET", 200, "abc")
	a.Want("GET", 200, "abc")
	if response := a.Want("GET", 200, ""); response.ContentLength != 0 {
		t.Errorf("length %d", response.ContentLength)
	}
	a.Want("GET", 200, long(100_000)+strings.Repeat("b", 100_000))
	a.Say(get("/short"))
	if _, body, err := a.Response("GET"); err != io.ErrUnexpectedEOF || body != "abc" {
		t.Errorf("a short answer does not end as one: %q, %v", body, err)
	}
}

func TestFieldsOfTheAnswerCannotBreakOut(t *testing.T) {
	r := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Value"] = []string{"a\r\nX-Evil: 1\r\n\r\nb\x00c", "d"}
		w.Header()["X-Na\r\nme"] = []string{"x"}
		w.Header()[""] = []string{"x"}
		w.Header()["X Y"] = []string{"x"}
		w.Header()["Trailer"] = []string{"X"}
	})
	a := r.dial()
	response := a.Gets(get("/"), 200, "")
	if got := response.Header["X-Value"]; len(got) != 2 || got[0] != "a  X-Evil: 1    b c" || got[1] != "d" {
		t.Errorf("values %q", got)
	}
	if len(response.Header) != 5 { // and Date, Content-Length, Connection, Keep-Alive
		t.Errorf("fields %q", response.Header)
	}
}

// A cut-off answer never looks whole, and what was flushed has arrived.
func TestAbortedAnswerIsVisiblyCut(t *testing.T) {
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		if in.RequestURI == "/length" {
			w.Header().Set("Content-Length", "10")
		}
		if in.RequestURI != "/before" {
			_, _ = io.WriteString(w, "abc")
			_ = http.NewResponseController(w).Flush()
		}
		if in.RequestURI == "/panic" {
			panic("canary")
		}
		panic(http.ErrAbortHandler)
	})
	for _, target := range []string{"/length", "/chunked", "/panic", "/before"} {
		a := r.dial()
		a.Say(get(target))
		_, body, err := a.Response("GET")
		if err == nil || target != "/before" && body != "abc" {
			t.Errorf("%s: %q, %v", target, body, err)
		}
	}
	if log := r.log.String(); strings.Contains(log, "canary") || strings.Count(log, "panic serving") != 1 {
		t.Errorf("log = %q", log)
	}
}

func TestGoneAppEndsTheRequest(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}, 10), make(chan error, 10)
	r := serve(t, func(_ http.ResponseWriter, in *http.Request) {
		_, _ = io.Copy(io.Discard, in.Body)
		began <- struct{}{}
		select {
		case <-in.Context().Done():
			ended <- in.Context().Err()
		case <-time.After(wiretest.Patience):
			ended <- errors.New("nothing was noticed")
		}
	})
	requests := []string{get("/"), post("/", "abc", "Content-Length: 3"), post("/", chunked("abc"), "Transfer-Encoding: chunked")}
	filling := func(size int) string {
		return post("/", chunked(strings.Repeat("b", size)), "Transfer-Encoding: chunked")
	}
	size := 1900
	size += smallBuffer - len(filling(size)) // the body ends where the buffer does
	requests = append(requests, filling(size), filling(size-1), filling(size+1))
	for _, said := range requests {
		for _, reset := range []bool{false, true} {
			a := r.dial()
			a.Say(said)
			<-began
			if reset {
				_ = a.Conn.(*net.TCPConn).SetLinger(0)
			}
			_ = a.Close()
			if err := <-ended; err != context.Canceled {
				t.Errorf("%.20q: %v", said, err)
			}
		}
	}
}

func TestContextEndsWithTheHandler(t *testing.T) {
	contexts := make(chan context.Context, 1)
	r := serve(t, func(_ http.ResponseWriter, in *http.Request) {
		if in.Context().Err() != nil {
			t.Error("ended already")
		}
		if _, ok := in.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); !ok {
			t.Error("no local address")
		}
		contexts <- in.Context()
	})
	r.dial().Gets(get("/"), 200, "")
	<-(<-contexts).Done()
}

// An app may close its side once it has said everything.
func TestHalfClosedAppGetsItsAnswer(t *testing.T) {
	r := serve(t, echo)
	a := r.dial()
	a.Say(get("/1") + get("/2"))
	_ = a.Conn.(*net.TCPConn).CloseWrite()
	a.Want("GET", 200, "GET /1 ")
	a.Want("GET", 200, "GET /2 ")
	a.Closed()
}

// Whatever is kept beyond the end of a request is dead.
func TestKeptPartsOfARequestAreDead(t *testing.T) {
	type kept struct {
		w    http.ResponseWriter
		body io.Reader
	}
	all := make(chan kept, 10)
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		all <- kept{w, in.Body}
		if in.RequestURI == "/read" {
			_, _ = io.ReadAll(in.Body)
		}
	})
	a := r.dial()
	a.Gets(post("/read", "abc", "Content-Length: 3"), 200, "")
	a.Gets(post("/2", "abc", "Content-Length: 3"), 200, "") // what is unread of a body that is here is skipped
	old := <-all                                            // its answer alone would come a moment before its end
	if n, err := old.body.Read(make([]byte, 10)); n != 0 || err != http.ErrBodyReadAfterClose {
		t.Errorf("Read = %d, %v", n, err)
	}
	if n, err := old.w.Write([]byte("stray")); n != 0 || err == nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	control := http.NewResponseController(old.w)
	for _, err := range []error{control.Flush(), control.SetReadDeadline(time.Unix(1, 0)), control.SetWriteDeadline(time.Unix(1, 0))} {
		if err == nil {
			t.Error("the connection can still be touched")
		}
	}
	a.Gets(get("/3"), 200, "")
}

// A reader that the handler leaves behind is woken, and its connection ends.
func TestReaderLeftBehindIsWoken(t *testing.T) {
	read := make(chan error, 1)
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		begun := make(chan struct{})
		_ = http.NewResponseController(w).EnableFullDuplex()
		go func() {
			_, _ = io.ReadFull(in.Body, make([]byte, 3))
			close(begun)
			_, err := io.ReadAll(in.Body)
			read <- err
		}()
		<-begun
		_, _ = io.WriteString(w, "early")
	})
	a := r.dial()
	a.Gets(post("/", "abc", "Content-Length: 1000"), 200, "early")
	if err := <-read; err == nil {
		t.Error("the rest of the body was read")
	}
	a.Closed()
}

func TestUnreadBodyEndsTheConnectionAndSaysSo(t *testing.T) {
	r := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	for _, said := range []string{post("/", "", "Content-Length: 5"), post("/", "abc", "Content-Length: 100000"),
		post("/", "3\r\nab", "Transfer-Encoding: chunked"), post("/", "5\r\nhello\r\n0\r\nX: y\r\n", "Transfer-Encoding: chunked")} {
		a := r.dial()
		if response := a.Gets(said, 503, ""); !response.Close {
			t.Errorf("%q: the connection goes on", said)
		}
		a.Closed()
	}
	if response := r.dial().Gets(post("/", chunked("abc"), "Transfer-Encoding: chunked"), 503, ""); response.Close {
		t.Error("the body was here, and the connection ends")
	}
}

// The answer reaches an app that is still writing.
func TestRefusalReachesAnAppThatWritesOn(t *testing.T) {
	r := serve(t, echo)
	for range 20 {
		a := r.dial()
		a.Say("POST /x HTTP/1.1\r\nContent-Length: 300000\r\n\r\n")
		<-r.refused
		for range 100 {
			if _, err := a.Write(make([]byte, 3000)); err != nil {
				t.Fatal(err)
			}
		}
		a.Want("POST", 400, "host_missing")
		a.Closed()
	}
}

func TestUnixSocketAndTLS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	opened, err := net.Listen("unix", path)
	wiretest.Must(t, err)
	a := serveOn(t, opened, echo).dial()
	a.Gets(get("/unix"), 200, "GET /unix ")
	// Some clients send the path of the socket as Host. No other server sees it.
	a.Gets("GET /path HTTP/1.1\r\nHost: /run/a b.sock\r\n\r\n", 200, "GET /path ")

	stock := httptest.NewTLSServer(nil) // for its certificate
	defer stock.Close()
	opened = wiretest.Loopback(t)
	r := serveOn(t, tls.NewListener(opened, &tls.Config{Certificates: stock.TLS.Certificates}), func(w http.ResponseWriter, in *http.Request) {
		if in.TLS == nil || !in.TLS.HandshakeComplete {
			t.Error("no TLS state")
		}
		echo(w, in)
	})
	client := stock.Client()
	defer client.CloseIdleConnections()
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com"
	body := strings.Repeat("b", 100_000)
	response, err := client.Post("https://"+r.addr+"/tls", "a/b", strings.NewReader(body))
	wiretest.Must(t, err)
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || string(text) != "POST /tls "+body {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	plain := r.dial()
	plain.Gets(get("/"), 400, "Client sent an HTTP request to an HTTPS server.\n")
	plain.Closed()
	other := r.dial()
	other.Say("SSH-2.0-OpenSSH_9.2\r\n")
	other.Closed()
}

func TestShutdownWaitsForRequestsAndNotForIdleConnections(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		if in.RequestURI == "/slow" {
			close(began)
			<-release
		}
		echo(w, in)
	})
	idle, busy := r.dial(), r.dial()
	idle.Gets(get("/x"), 200, "GET /x ")
	busy.Say(get("/slow"))
	<-began
	done := make(chan error, 1)
	go func() { done <- r.server.Shutdown(context.Background()) }()
	idle.Closed()
	select {
	case err := <-done:
		t.Fatalf("Shutdown() = %v with a request under way", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if response := busy.Want("GET", 200, "GET /slow "); !response.Close {
		t.Error("the answer does not say that the connection ends")
	}
	busy.Closed()
	if err := <-done; err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
	if err := r.server.Serve(nil); err != http.ErrServerClosed {
		t.Errorf("Serve() = %v", err)
	}
}

func TestCloseCutsRequestsOff(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	r := serve(t, func(_ http.ResponseWriter, in *http.Request) {
		close(began)
		<-in.Context().Done()
		close(ended)
	})
	a := r.dial()
	a.Say(get("/"))
	<-began
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Errorf("Shutdown() = %v", err)
	}
	_ = r.server.Close()
	<-ended
	a.Closed()
}

func TestEveryConnectionIsToldOnceNewAndOnceClosed(t *testing.T) {
	var open, events atomic.Int64
	r := serve(t, echo, func(s *Server) {
		s.ConnState = func(_ net.Conn, state http.ConnState) {
			events.Add(1)
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Add(-1)
			}
		}
	})
	for i := range 10 {
		a := r.dial()
		if i%2 == 0 {
			a.Gets(get("/"), 200, "GET / ")
		}
		_ = a.Close()
	}
	wiretest.Eventually(t, "two events of every connection", func() bool { return open.Load() == 0 && events.Load() == 20 })
}

// late returns its connection only after the server has been stopped.
type late struct {
	conn     net.Conn
	accepted atomic.Bool
	stopped  chan struct{} // closed by the test
}

func (l *late) Accept() (net.Conn, error) {
	<-l.stopped
	if l.accepted.Swap(true) {
		return nil, net.ErrClosed
	}
	return l.conn, nil
}
func (l *late) Close() error   { return nil }
func (l *late) Addr() net.Addr { return l.conn.LocalAddr() }

// Accept had the connection when the server was stopped, and the server had not:
//
//	Accept returns; Shutdown finds no connection and returns; the connection is
//	served by a process that believes it has no more to do.
func TestNothingIsServedAfterShutdown(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	on := &late{conn: theirs, stopped: make(chan struct{})}
	var handled atomic.Int64
	server := &Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { handled.Add(1) })}
	served := make(chan error, 1)
	go func() { served <- server.Serve(on) }()
	wiretest.Eventually(t, "Serve", func() bool { return server.tracks(on) })
	wiretest.Must(t, server.Shutdown(t.Context()))
	close(on.stopped)
	if err := <-served; err != http.ErrServerClosed {
		t.Errorf("Serve() = %v", err)
	}
	_ = ours.SetDeadline(time.Now().Add(wiretest.Patience))
	_, _ = io.WriteString(ours, get("/"))
	if n, err := ours.Read(make([]byte, 1)); n > 0 || err != io.EOF || handled.Load() > 0 {
		t.Errorf("Read() = %d, %v after %d requests; want the end and none", n, err, handled.Load())
	}
}

func (s *Server) tracks(on net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.listeners[on]
	return ok
}

// A Read that outlives the handler may be the one that finds the end of the
// body, and with it begin the watch for the app's end:
//
//	finish ends the watch; the reader finds the end and begins another; finish
//	goes on to the next request. The watch would read from it.
func TestLastReadBehindTheHandlerLeavesTheNextRequestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		server := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
			if in.Method != http.MethodPost {
				echo(w, in)
				return
			}
			_ = http.NewResponseController(w).EnableFullDuplex()
			go func() { _, _ = io.ReadAll(in.Body) }()
			time.Sleep(parked / 2) // until it waits for the body
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "ok")
		})}
		c := newConn(server, theirs)
		server.conns = map[*conn]struct{}{c: {}}
		go c.serve()
		a := wiretest.NewApp(t, ours)
		a.Reader = bufio.NewReaderSize(ours, 16)
		a.Say(post("/", "", "Content-Length: 3"))
		time.Sleep(parked) // the answer is being written
		a.Say("abc")
		synctest.Wait() // the reader has found the end
		a.Want("POST", 200, "ok")
		for _, piece := range []string{"GET /next HT", "TP/1.1\r\nHo", "st: localhost\r\n\r\n"} {
			time.Sleep(parked)
			a.Say(piece)
		}
		a.Want("GET", 200, "GET /next ")
		_ = ours.Close()
		synctest.Wait()
	})
}

// slowly is a connection whose Close takes a while.
type slowly struct{ net.Conn }

func (s slowly) Close() error {
	time.Sleep(time.Second)
	return s.Conn.Close()
}

// A handler that says nothing because its context has ended is no success.
func TestCloseAnswersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		server := &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) { <-in.Context().Done() })}
		c := newConn(server, slowly{theirs})
		server.conns = map[*conn]struct{}{c: {}}
		go c.serve()
		if _, err := io.WriteString(ours, get("/")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		go func() { _ = server.Close() }()
		if said, err := io.ReadAll(ours); len(said) > 0 || err != nil {
			t.Errorf("ReadAll() = %q, %v; want nothing", said, err)
		}
		_ = server.Shutdown(t.Context())
	})
}

// faultyLog stands for a fault of the server itself: writing its first line panics.
type faultyLog struct {
	lines *wiretest.Buffer
	once  sync.Once
}

func (f *faultyLog) Write(p []byte) (int, error) {
	f.once.Do(func() { panic("ours") })
	return f.lines.Write(p)
}

// A fault of the server itself ends its connection, and no other.
func TestPanicOfTheServerEndsOneConnection(t *testing.T) {
	var lines wiretest.Buffer
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		if in.URL.Path == "/panic" {
			panic("a handler")
		}
		echo(w, in)
	}, func(s *Server) { s.ErrorLog = log.New(&faultyLog{lines: &lines}, "", 0) })
	first, second := r.dial(), r.dial()
	first.Say(get("/panic"))
	first.Closed()
	second.Gets(get("/"), 200, "GET / ")
	wiretest.Eventually(t, "the line that tells", func() bool { return strings.Contains(lines.String(), "panic on the connection") })
}
