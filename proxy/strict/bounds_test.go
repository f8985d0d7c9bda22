package strict

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// halfPipe is an in-memory connection that can be half closed, as a socket can.
type halfPipe struct{ net.Conn }

func (halfPipe) CloseWrite() error { return nil }

// An app that uploads slowly reads its answer only when all is sent.
func TestSlowUploadThatIsRefusedGetsItsAnswer(t *testing.T) {
	t.Parallel()
	r := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	a := r.dial()
	const pieces = 15
	a.Say(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", pieces<<16))
	for range pieces {
		time.Sleep(100 * time.Millisecond) // longer, all in all, than net/http would read on
		a.Say(strings.Repeat("x", 1<<16))
	}
	a.Want("POST", http.StatusForbidden, "")
}

func TestRestOfARefusedUploadIsReadWhileItComes(t *testing.T) {
	for _, tc := range []struct {
		name  string
		every time.Duration // a byte of the rest comes
		stop  bool          // the server stops after a second
		want  time.Duration
	}{
		{"silent", time.Hour, false, lingerIdle},
		{"slow", time.Second, false, lingerMost},
		{"the server stops", time.Second, true, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				closed := make(chan struct{})
				server := &Server{
					Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }),
					ConnState: func(_ net.Conn, state http.ConnState) {
						if state == http.StateClosed {
							close(closed)
						}
					},
				}
				on := wiretest.NewPipes()
				go func() { _ = server.Serve(on) }()
				_ = on.Offer(halfPipe{theirs})
				go func() { _, _ = io.Copy(io.Discard, ours) }()
				began := time.Now()
				_, _ = io.WriteString(ours, post("/", "", "Content-Length: 1000000"))
				go func() {
					for {
						time.Sleep(tc.every)
						if _, err := ours.Write([]byte("x")); err != nil {
							return
						}
					}
				}()
				if tc.stop {
					time.Sleep(time.Second)
					_ = server.Shutdown(t.Context())
				}
				<-closed
				if took := time.Since(began); took < tc.want || took > tc.want+100*time.Millisecond {
					t.Errorf("closed after %v, want %v", took, tc.want)
				}
				_ = on.Close()
				_ = ours.Close()
				time.Sleep(2 * tc.every)
			})
		})
	}
}

// crowd serves with room for so many connections. It returns what says how many
// of the apps that are given it are still connected.
func crowd(t *testing.T, room int, handler http.HandlerFunc) *rig {
	return serve(t, handler, func(s *Server) { s.MaxConns, s.ReadHeaderTimeout = room, time.Minute })
}

func ok(http.ResponseWriter, *http.Request) {}

func TestTheConnectionThatIsIdleLongestMakesRoom(t *testing.T) {
	t.Parallel()
	r := crowd(t, 3, ok)
	var apps []*wiretest.App
	for range 4 {
		a := r.dial()
		a.Gets(get("/"), 200, "")
		apps = append(apps, a)
		time.Sleep(2 * time.Millisecond)
	}
	for i, want := range []bool{false, true, true, true} {
		if got := apps[i].IsOpen(); got != want {
			t.Errorf("connection %d: open is %v, want %v", i, got, want)
		}
	}
}

func TestUnfinishedHeadsMakeRoomBeforeIdleConnections(t *testing.T) {
	t.Parallel()
	r := crowd(t, 3, ok)
	idle := r.dial()
	idle.Gets(get("/"), 200, "")
	silent, half := r.dial(), r.dial()
	half.Say("GET / HTTP/1.1\r\nHo")
	time.Sleep(headPatience + 100*time.Millisecond)
	for range 2 {
		r.dial().Gets(get("/"), 200, "")
	}
	for name, c := range map[string]*wiretest.App{"silent": silent, "half a head": half} {
		if c.IsOpen() {
			t.Errorf("%s: still open", name)
		}
	}
	if !idle.IsOpen() {
		t.Error("the idle one was closed")
	}
}

func TestRequestsUnderWayStay(t *testing.T) {
	release := make(chan struct{})
	var begun sync.WaitGroup
	begun.Add(2)
	r := crowd(t, 2, func(_ http.ResponseWriter, in *http.Request) {
		if in.URL.Path == "/slow" {
			begun.Done()
			<-release
		}
	})
	slow := []*wiretest.App{r.dial(), r.dial()}
	for _, a := range slow {
		a.Say(get("/slow"))
	}
	begun.Wait()
	for range 10 { // there is nobody who could make room: they get in
		r.dial().Gets(get("/"), 200, "")
	}
	close(release)
	for _, a := range slow {
		a.Want("GET", 200, "")
	}
}

// Until a body is whole, upstream cannot have executed its request: whoever sends it
// slowly makes room for a newcomer, and a request that has come whole does not.
func TestBodyThatTricklesMakesRoom(t *testing.T) {
	for name, head := range map[string]string{
		"a known length": post("/", "x", "Content-Length: 1000"),
		"chunked":        post("/", "1\r\nx\r\n", "Transfer-Encoding: chunked"),
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			var begun sync.WaitGroup
			begun.Add(3)
			bodies := make(chan error, 2)
			r := crowd(t, 3, func(_ http.ResponseWriter, in *http.Request) {
				switch in.URL.Path {
				case "/slow":
					begun.Done()
					<-release
				case "/":
					begun.Done()
					_, err := io.Copy(io.Discard, in.Body)
					bodies <- err
				}
			})
			whole := r.dial()
			whole.Say(get("/slow"))
			var trickling []*wiretest.App
			for range 2 {
				a := r.dial()
				a.Say(head)
				trickling = append(trickling, a)
			}
			begun.Wait()
			time.Sleep(50 * time.Millisecond)
			for range 2 {
				a := r.dial()
				a.Gets(get("/fast"), 200, "")
				a.Gets(get("/slow2"), 200, "")
			}
			if err := <-bodies; err == nil {
				t.Error("half a body ended as if it were whole")
			}
			if trickling[0].IsOpen() && trickling[1].IsOpen() {
				t.Error("both bodies are still waited for")
			}
			close(release)
			whole.Want("GET", 200, "")
		})
	}
}

// Requests under way are not cut off, and do not take the descriptors of other
// listeners either: a quarter above the bound a newcomer has to go.
func TestNoMoreThanAQuarterAboveTheBound(t *testing.T) {
	release := make(chan struct{})
	var begun atomic.Int64
	r := crowd(t, 8, func(http.ResponseWriter, *http.Request) {
		begun.Add(1)
		<-release
	})
	var apps []*wiretest.App
	for range 30 {
		a := r.dial()
		a.Say(get("/"))
		apps = append(apps, a)
		time.Sleep(5 * time.Millisecond)
	}
	r.server.mu.Lock()
	open := len(r.server.conns)
	r.server.mu.Unlock()
	if open < 8 || open > 8+8/4+crowdMargin || begun.Load() != int64(open) {
		t.Errorf("%d connections, %d requests", open, begun.Load())
	}
	close(release)
	apps[0].Want("GET", 200, "")
}

func TestUnfinishedHeadMakesRoomBeforeAYoungConnection(t *testing.T) {
	r := crowd(t, 3, ok)
	young := r.dial()
	time.Sleep(5 * time.Millisecond)
	var half []*wiretest.App
	for range 2 {
		a := r.dial()
		a.Say("GET / HTTP/1.1\r\nHo")
		half = append(half, a)
	}
	time.Sleep(50 * time.Millisecond)
	for range 2 {
		a := r.dial()
		a.Say("GET / HTTP/1.1\r\nHo")
		time.Sleep(20 * time.Millisecond)
	}
	if half[0].IsOpen() || half[1].IsOpen() {
		t.Error("half a head is still waited for")
	}
	young.Gets(get("/"), 200, "")
}

func TestBodyThatTricklesEnds(t *testing.T) {
	for _, framing := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
		var err error
		took := inBubble(t, func(_ http.ResponseWriter, in *http.Request) {
			_, err = io.Copy(io.Discard, in.Body)
			if in.Context().Err() == nil {
				t.Error("the request goes on")
			}
		}, func(conn net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			_, _ = io.WriteString(conn, post("/", "", framing))
			for range 1000 {
				time.Sleep(time.Second)
				if _, err := io.WriteString(conn, "1\r\nx\r\n"); err != nil {
					return
				}
			}
		})
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() || took > 2*bodyGrace {
			t.Errorf("%s: %v after %v, want a time-out after about %v", framing, err, took, bodyGrace)
		}
	}
}

// It is not the app's fault if the handler reads slowly.
func TestBodyThatIsReadSlowlyDoesNotEnd(t *testing.T) {
	var n int64
	var err error
	inBubble(t, func(_ http.ResponseWriter, in *http.Request) {
		for p := make([]byte, 10); err == nil; n++ {
			time.Sleep(time.Minute)
			_, err = io.ReadFull(in.Body, p)
		}
	}, func(conn net.Conn) {
		_, _ = io.WriteString(conn, post("/", strings.Repeat("x", 100), "Content-Length: 100"))
	})
	if n != 11 || err != io.EOF {
		t.Errorf("%d reads, then %v", n, err)
	}
}

// Whoever keeps one value of a large head must not keep all of it.
func TestOneValueDoesNotPinALargeHead(t *testing.T) {
	var mu sync.Mutex
	var kept []string
	r := serve(t, func(_ http.ResponseWriter, in *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, in.Header.Get("X-Kept"), in.URL.Path, in.Host, in.Method)
		for name := range in.Header {
			if strings.HasPrefix(name, "X-Odd") {
				kept = append(kept, name)
			}
		}
	})
	head := get("/some/path", "X-Kept: value", "X-Odd-One: x", "X-Padding: "+long(60<<10))
	a := r.dial()
	before := heap()
	const requests = 200
	for range requests {
		a.Gets(head, 200, "")
	}
	if each := (heap() - before) / requests; each > 4<<10 {
		t.Errorf("a value that is kept costs %d bytes", each)
	}
	runtime.KeepAlive(kept)
}

// A connection whose request is under way keeps no buffer of a large head.
func TestLargeHeadGivesItsBufferBackAtOnce(t *testing.T) {
	sizes := make(chan int, 1)
	var r *rig
	r = serve(t, func(http.ResponseWriter, *http.Request) {
		r.server.mu.Lock()
		defer r.server.mu.Unlock()
		for c := range r.server.conns {
			sizes <- cap(c.buf)
		}
	})
	r.dial().Gets(get("/", "X-Padding: "+long(60<<10)), 200, "")
	if size := <-sizes; size > smallBuffer {
		t.Errorf("the buffer has %d bytes", size)
	}
}

func TestBufferOfAnUnfinishedHeadGrowsInSteps(t *testing.T) {
	c := &conn{server: &Server{}}
	for _, size := range []int{1, 2 << 10, 5 << 10, 33 << 10, 60 << 10} {
		for len(c.buf) < size {
			c.r, c.w = 0, len(c.buf)
			c.makeRoom()
		}
		if len(c.buf) > size+bufferStep {
			t.Errorf("%d bytes have a buffer of %d", size, len(c.buf))
		}
	}
}

// Apps close first where they can: nobody could tell what became of a request
// that was sent just as we close.
func TestAppsAreToldWhenToClose(t *testing.T) {
	r := serve(t, ok, func(s *Server) { s.IdleTimeout = 10 * time.Minute })
	for _, tc := range []struct {
		head, connection, keepAlive string
	}{
		{get("/"), "keep-alive", "timeout=595"},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive", "timeout=595"},
		{"GET / HTTP/1.0\r\n\r\n", "close", ""},
		{get("/", "Connection: close"), "close", ""},
	} {
		header := r.dial().Gets(tc.head, 200, "").Header
		connection := header.Get("Connection")
		if connection == "" && tc.connection == "close" { // net/http takes it out
			connection = "close"
		}
		if connection != tc.connection || header.Get("Keep-Alive") != tc.keepAlive {
			t.Errorf("%q: Connection %q, Keep-Alive %q", tc.head, connection, header.Get("Keep-Alive"))
		}
	}
}

// Apps that each send most of a large head and then no more: what is kept for all of
// them together has a bound, and a head that comes whole is served meanwhile.
func TestUnfinishedLargeHeadsHaveABoundTogether(t *testing.T) {
	r := serve(t, ok, func(s *Server) { s.ReadHeaderTimeout = time.Minute })
	const apps = 600 // 36 MiB
	part := "GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + strings.Repeat("x", 60<<10)
	var all []*wiretest.App
	for range apps {
		a := r.dial()
		a.Say(part)
		all = append(all, a)
	}
	kept := func() (connections int, bytes int64) {
		r.server.mu.Lock()
		defer r.server.mu.Unlock()
		for c := range r.server.conns {
			connections, bytes = connections+1, bytes+c.large.Load()
		}
		return connections, bytes
	}
	wiretest.Eventually(t, "the heads above the bound make room", func() bool {
		open, bytes := kept()
		return bytes > maxLarge-64<<10 && bytes <= maxLarge && open < apps/2 // no more of them than is needed
	})
	a := r.dial()
	a.Gets("GET / HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("x", 60<<10)+"\r\n\r\n", 200, "")
	if _, bytes := kept(); bytes > maxLarge {
		t.Errorf("%d bytes are kept for unfinished heads, want %d at most", bytes, maxLarge)
	}
	for _, a := range all {
		_ = a.Conn.Close()
	}
	wiretest.Eventually(t, "nothing is counted any more", func() bool { return r.server.large.Load() == 0 })
}

// What counts as an unfinished head is only that: apps whose large heads were read, or
// refused, and that stay, take nothing of the bound from others.
func TestHeadsThatWereReadDoNotCountAsUnfinished(t *testing.T) {
	for _, tc := range []struct{ name, text string }{
		{"refused", "GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + long(70<<10)},
		{"without the rest of its body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nX-Large: " + long(57<<10) + "\r\n\r\n" + long(3<<10)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			began := make(chan struct{}, 1)
			r := serve(t, func(_ http.ResponseWriter, in *http.Request) {
				began <- struct{}{}
				_, _ = io.Copy(io.Discard, in.Body)
			})
			for range 200 {
				r.dial().Say(tc.text)
				select { // its head has been read
				case <-began:
				case <-r.refused:
				}
			}
			if bytes := r.server.large.Load(); bytes > maxLarge/4 {
				t.Errorf("%d bytes count as unfinished heads, of a bound of %d", bytes, maxLarge)
			}
			a := r.dial()
			a.Say("GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + long(3<<10))
			time.Sleep(20 * time.Millisecond)
			a.Say("\r\n\r\n")
			<-began
			a.Want("GET", 200, "")
		})
	}
}

// What still comes of a refused upload is read without its head.
func TestLingeringConnectionsKeepNoHead(t *testing.T) {
	const apps, size = 200, 60 << 10
	r := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	before := heap()
	for range apps {
		a := r.dial()
		a.Say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nX-Large: " + strings.Repeat("x", size) + "\r\n\r\nbegin")
	}
	wiretest.Eventually(t, "all linger", func() bool {
		r.server.mu.Lock()
		defer r.server.mu.Unlock()
		n := 0
		for c := range r.server.conns {
			if c.state.Load() == lingering {
				n++
			}
		}
		return n == apps
	})
	if grown := heap() - before; grown > apps*size/4 {
		t.Errorf("%d connections keep %d bytes, with heads of %d each", apps, grown, size)
	}
}

// heap is what is reachable.
func heap() int64 {
	runtime.GC()
	runtime.GC() // sync.Pool keeps for one more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
