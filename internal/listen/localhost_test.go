package listen

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

var anyPortOfLocalhost = config.Listen{Network: "tcp", Address: "127.0.0.1:0", Localhost: true}

// needsIPv6 skips on a host without ::1.
func needsIPv6(t *testing.T) {
	t.Helper()
	probe, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no ::1: %v", err)
	}
	_ = probe.Close()
}

func TestLocalhostIsBothLoopbackAddressesWithOnePort(t *testing.T) {
	needsIPv6(t)
	l, err := Open(anyPortOfLocalhost, Options{})
	wiretest.Must(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.NotFoundHandler()}
	served := make(chan error, 1)
	go func() { served <- l.Serve(server) }()
	addresses := l.Addresses()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if want := []string{"127.0.0.1:" + port, "[::1]:" + port}; strings.Join(addresses, " ") != strings.Join(want, " ") {
		t.Errorf("Addresses() = %v, want %v", addresses, want)
	}
	for _, address := range addresses {
		response, err := http.Get("http://" + address)
		wiretest.Must(t, err)
		_ = response.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	l.Stop()
	if err := <-served; err != nil {
		t.Errorf("Serve() = %v, want nil after Stop", err)
	}
	for _, address := range addresses {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			t.Errorf("%s takes connections after Stop", address)
		}
	}
}

// To serve 127.0.0.1 alone would hand the apps that take ::1 for localhost to the
// process that has it.
func TestLocalhostWhoseSecondAddressIsTakenIsAnError(t *testing.T) {
	needsIPv6(t)
	other, err := net.Listen("tcp", "[::1]:0")
	wiretest.Must(t, err)
	defer func() { _ = other.Close() }()
	_, port, _ := net.SplitHostPort(other.Addr().String())
	l, err := Open(config.Listen{Network: "tcp", Address: "127.0.0.1:" + port, Localhost: true}, Options{})
	if err == nil {
		_ = l.Close()
		t.Fatal("no error")
	}
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "localhost is 127.0.0.1 and ::1") {
		t.Errorf("error %q does not say which address is taken", err)
	}
	if first, err := net.Listen("tcp", "127.0.0.1:"+port); err != nil {
		t.Errorf("127.0.0.1 was left open: %v", err)
	} else {
		_ = first.Close()
	}
}

// The server of a Serve that was paused gets nothing more, the next one gets what
// has connected meanwhile.
func TestPauseHandsTheSocketsToTheNextServer(t *testing.T) {
	needsIPv6(t)
	l, err := Open(anyPortOfLocalhost, Options{})
	wiretest.Must(t, err)
	named := func(name string) *http.Server {
		return &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(name))
		})}
	}
	serve := func(server *http.Server) chan error {
		served := make(chan error, 1)
		go func() { served <- l.Serve(server) }()
		return served
	}
	first := serve(named("first"))
	asked := func(conn net.Conn) string {
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
		var all strings.Builder
		buffer := make([]byte, 512)
		for {
			n, err := conn.Read(buffer)
			all.Write(buffer[:n])
			if err != nil {
				break
			}
		}
		_ = conn.Close()
		_, body, _ := strings.Cut(all.String(), "\r\n\r\n")
		return body
	}
	dial := func(i int) net.Conn {
		conn, err := net.Dial("tcp", l.Addresses()[i])
		wiretest.Must(t, err)
		return conn
	}
	for i := range 2 {
		if got := asked(dial(i)); got != "first" {
			t.Errorf("before Pause: %q responds", got)
		}
	}
	l.Pause(false)
	if err := <-first; err != nil {
		t.Errorf("Serve() = %v, want nil after Pause", err)
	}
	between := []net.Conn{dial(0), dial(1)}
	second := serve(named("second"))
	for _, conn := range append(between, dial(0), dial(1)) {
		if got := asked(conn); got != "second" {
			t.Errorf("after Pause: %q responds", got)
		}
	}
	l.Stop()
	if err := <-second; err != nil {
		t.Errorf("Serve() = %v, want nil after Stop", err)
	}
}
