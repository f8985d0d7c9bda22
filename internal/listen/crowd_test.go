package listen

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// crowded serves with a Crowd, and returns the server's address.
func crowded(t *testing.T, crowd *Crowd, handler http.HandlerFunc) string {
	t.Helper()
	l, err := Open(config.Listen{Network: "tcp", Address: "127.0.0.1:0"}, Options{})
	wiretest.Must(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: handler, ConnState: crowd.Observe}
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Serve(server) }()
	t.Cleanup(func() {
		l.Stop()
		<-done
		_ = server.Close()
	})
	return l.Addr().String()
}

// answers asks on a new connection, and keeps it.
func answers(t *testing.T, address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	return nil
}

func (c *Crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.at)
}

func TestSilentConnectionsMakeRoomForNewOnes(t *testing.T) {
	for name, beginning := range map[string]string{"silent": "", "an unfinished head": "GET / HTTP/1.1\r\nHost: loc"} {
		crowd := &Crowd{Max: 10}
		address := crowded(t, crowd, func(http.ResponseWriter, *http.Request) {})
		for range 50 {
			conn, err := net.Dial("tcp", address)
			wiretest.Must(t, err)
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, beginning)
		}
		wiretest.Eventually(t, "the crowd to fit", func() bool { return crowd.size() == crowd.Max })
		for i := range 3 * crowd.Max {
			if err := answers(t, address); err != nil {
				t.Fatalf("%s: request %d: %v", name, i, err)
			}
		}
		if got := crowd.size(); got > crowd.Max {
			t.Errorf("%s: %d connections, want %d at most", name, got, crowd.Max)
		}
	}
}

// A write that is under way is not cut off for a newcomer; a status that nobody
// reads is.
func TestFullCrowdOfActiveConnections(t *testing.T) {
	for _, cut := range []bool{false, true} {
		crowd := &Crowd{Max: 4, CutActive: cut}
		end := make(chan struct{})
		address := crowded(t, crowd, func(_ http.ResponseWriter, in *http.Request) {
			if in.URL.Path == "/long" {
				select {
				case <-end:
				case <-in.Context().Done():
				}
			}
		})
		ended := make([]chan error, crowd.Max)
		for i := range ended {
			ended[i] = make(chan error, 1)
			go func() {
				response, err := http.Get(fmt.Sprint("http://", address, "/long"))
				if err == nil {
					_ = response.Body.Close()
				}
				ended[i] <- err
			}()
		}
		wiretest.Eventually(t, "all to be active", func() bool {
			crowd.mu.Lock()
			defer crowd.mu.Unlock()
			return crowd.active.Len() == crowd.Max
		})
		if err := answers(t, address); (err == nil) != cut {
			t.Errorf("CutActive %t: the newcomer: %v", cut, err)
		}
		close(end)
		failed := 0
		for _, one := range ended {
			if <-one != nil {
				failed++
			}
		}
		if want := map[bool]int{false: 0, true: 1}[cut]; failed != want {
			t.Errorf("CutActive %t: %d requests were cut off, want %d", cut, failed, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestSharesNeverUseMoreDescriptorsThanThereAre(t *testing.T) {
	for _, all := range []int{64, 128, 256, 1024, 4096, 65536, 1 << 20} {
		for _, inFlight := range []int{1, 512, 20_000} {
			for _, listeners := range []int{1, 2, 10} {
				s := sharesOf(all, inFlight, listeners)
				if s.App < 4 || s.Admin < 4 || s.Vend < 4 || s.Upstream < 1 {
					t.Errorf("%d descriptors, %d in flight, %d listeners: %+v: nothing is left for one of them", all, inFlight, listeners, s)
				}
				used := listeners*s.App + s.Admin + s.Vend + s.Upstream
				if most := all - min(all/4, reserved); used > most && s.App > 4 {
					t.Errorf("%d descriptors, %d in flight, %d listeners: %+v use %d of %d", all, inFlight, listeners, s, used, most)
				}
			}
		}
	}
	if got := sharesOf(1<<20, 512, 1); got.App != maxConns || got.Admin != maxAdminConns || got.Vend != maxVendConns || got.Upstream != 512 {
		t.Errorf("without a limit: %+v", got)
	}
}
