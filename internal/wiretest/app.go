package wiretest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// App is a client that sees raw bytes.
type App struct {
	net.Conn
	Reader *bufio.Reader
	t      testing.TB
}

// Dial connects to the server under test. The connection closes with the test,
// and no operation on it takes longer than Patience.
func Dial(t testing.TB, network, address string) *App {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(Patience))
	return NewApp(t, conn)
}

// NewApp is an App on a connection that is already open.
func NewApp(t testing.TB, conn net.Conn) *App {
	return &App{Conn: conn, Reader: bufio.NewReader(conn), t: t}
}

// Say writes text as it is.
func (a *App) Say(text string) {
	a.t.Helper()
	if _, err := io.WriteString(a.Conn, text); err != nil {
		a.t.Fatalf("the app cannot write: %v", err)
	}
}

// Response reads one whole response to a request with method. An error is one
// of the connection or of the framing.
func (a *App) Response(method string) (*http.Response, string, error) {
	response, err := http.ReadResponse(a.Reader, &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

// WantStatus reads one whole response and checks its status.
func (a *App) WantStatus(method string, status int) (*http.Response, string) {
	a.t.Helper()
	response, body, err := a.Response(method)
	if err != nil {
		a.t.Fatalf("response: %v", err)
	}
	if response.StatusCode != status {
		a.t.Fatalf("status = %d, want %d; body %s", response.StatusCode, status, body)
	}
	return response, body
}

// Want reads one whole response and checks its status and its body.
func (a *App) Want(method string, status int, body string) *http.Response {
	a.t.Helper()
	response, got := a.WantStatus(method, status)
	if got != body {
		a.t.Fatalf("body = %q, want %q", got, body)
	}
	return response
}

// Gets says request, reads one whole response, and checks its status and its body.
func (a *App) Gets(request string, status int, body string) *http.Response {
	a.t.Helper()
	a.Say(request)
	method, _, _ := strings.Cut(request, " ")
	return a.Want(method, status, body)
}

// Head reads the head of one response as it stands on the wire.
func (a *App) Head() (text string) {
	a.t.Helper()
	for !strings.HasSuffix(text, "\r\n\r\n") {
		line, err := a.Reader.ReadString('\n')
		if err != nil {
			a.t.Fatalf("head: %v", err)
		}
		text += line
	}
	return text
}

// IsOpen reports whether the server keeps the connection, and says nothing on it.
func (a *App) IsOpen() bool {
	_ = a.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := a.Reader.Peek(1)
	_ = a.SetReadDeadline(time.Now().Add(Patience))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// Closed checks that the connection ends without a further byte.
func (a *App) Closed() {
	a.t.Helper()
	n, err := a.Reader.Read(make([]byte, 1))
	if n != 0 || err == nil {
		a.t.Fatalf("the connection gave %d bytes, %v; want its end", n, err)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		a.t.Fatal("the connection stays open")
	}
}
