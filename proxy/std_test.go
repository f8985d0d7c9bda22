package proxy

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

func TestStdServerTellsWhetherTheAppHasTheResponse(t *testing.T) {
	serve := func(t *testing.T, on net.Listener, handler http.HandlerFunc) {
		server := NewServer(handler, "", nil)
		served := make(chan error, 1)
		go func() { served <- server.Serve(on) }()
		t.Cleanup(func() {
			_ = server.Close()
			if err := <-served; err != http.ErrServerClosed {
				t.Errorf("Serve() = %v", err)
			}
		})
	}
	onTaken := func(_ http.ResponseWriter, in *http.Request, taken func(bool)) {
		in.Context().Value(connKey{}).(tellsTaken).OnTaken(taken)
	}
	wiretest.Taken(t, serve, onTaken)
	wiretest.TakenAhead(t, serve, onTaken)
}

// An app that asked for the end of its connection, and stays, keeps nobody from stopping.
func TestStdServerThatStopsDoesNotWaitForApps(t *testing.T) {
	for name, stop := range map[string]struct {
		by   func(*StdServer) error
		want bool
	}{
		"Shutdown": {func(s *StdServer) error { return s.Shutdown(t.Context()) }, true},
		"Close":    {(*StdServer).Close, false},
	} {
		on := wiretest.Loopback(t)
		taken := make(chan bool, 2)
		server := NewServer(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
			in.Context().Value(connKey{}).(tellsTaken).OnTaken(func(ok bool) { taken <- ok })
		}), "", nil)
		var served sync.WaitGroup
		served.Go(func() { _ = server.Serve(on) })
		a := wiretest.Dial(t, "tcp", on.Addr().String())
		a.Gets(head("POST", "/", "Content-Length: 0", "Connection: close")+"\r\n", 200, "")
		a.Closed() // it lingers
		begun := time.Now()
		if err := stop.by(server); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := <-taken; got != stop.want {
			t.Errorf("%s: taken = %v", name, got)
		}
		if took := time.Since(begun); took > stdLinger/2 {
			t.Errorf("%s took %v", name, took)
		}
		served.Wait()
	}
}

// Most clients read a response only when they have sent all. A refusal reaches them
// nevertheless, by what refuses: the guard, an identity, or the path.
func TestStdServerReadsTheRestOfARefusedUpload(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	r := newRigOf(t, "std", o.URL, func(c *Config, _ *upstream.Transport) { c.MaxBodyBytes = 1 << 20 })
	const piece, pieces = 64 << 10, 12
	for name, request := range map[string]string{
		"a host of another":  "POST /v1/x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: %d\r\n",
		"no path of the API": "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n",
		"an unknown user":    "POST /v1/x HTTP/1.1\r\nHost: localhost\r\n" + identity.HeaderUser + ": " + userB + "\r\nContent-Length: %d\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := r.dial()
			a.Say(fmt.Sprintf(request, piece*pieces) + "\r\n")
			for i := range pieces {
				if _, err := a.Conn.Write(make([]byte, piece)); err != nil {
					t.Fatalf("piece %d: %v", i, err)
				}
				<-time.After(70 * time.Millisecond)
			}
			if response, text, err := a.Response("POST"); err != nil || response.StatusCode/100 != 4 {
				t.Errorf("%v %s, %v, want the refusal", response, text, err)
			}
		})
	}
}

func TestStdServerSaysHowLongItKeepsAConnection(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	r := newRigOf(t, "std", o.URL)
	for request, want := range map[string]string{
		get("/v1/x"):                      "timeout=595",
		post("/v1/x", "{}"):               "timeout=595",
		get("/x"):                         "", // refused, and the connection ends
		get("/v1/x", "Connection: close"): "",
	} {
		if response, _, err := r.say(request); err != nil || response.Header.Get("Keep-Alive") != want {
			t.Errorf("%.40q: %v, %v, want Keep-Alive %q", request, response, err, want)
		}
	}
}
