package proxy

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestStdServerTellsWhetherTheAppHasTheResponse(t *testing.T) {
	wiretest.Taken(t, func(t *testing.T, on net.Listener, handler http.HandlerFunc) {
		server := NewServer(handler, "", nil)
		served := make(chan error, 1)
		go func() { served <- server.Serve(on) }()
		t.Cleanup(func() {
			_ = server.Close()
			if err := <-served; err != http.ErrServerClosed {
				t.Errorf("Serve() = %v", err)
			}
		})
	}, func(_ http.ResponseWriter, in *http.Request, taken func(bool)) {
		in.Context().Value(connKey{}).(tellsTaken).OnTaken(taken)
	})
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
		on, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		taken := make(chan bool, 2)
		server := NewServer(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
			in.Context().Value(connKey{}).(tellsTaken).OnTaken(func(ok bool) { taken <- ok })
		}), "", nil)
		var served sync.WaitGroup
		served.Go(func() { _ = server.Serve(on) })
		a := wiretest.Dial(t, "tcp", on.Addr().String())
		a.Say(head("POST", "/", "Content-Length: 0", "Connection: close") + "\r\n")
		a.Want("POST", 200, "")
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
