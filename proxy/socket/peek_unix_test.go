//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package socket

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestPeekTakesNothing(t *testing.T) {
	near, far := pair(t, "tcp")
	raw, err := near.(*net.TCPConn).SyscallConn()
	wiretest.Must(t, err)
	var one [1]byte
	look := func() (n int, err error) {
		_ = raw.Control(func(fd uintptr) { n, err = Peek(fd, one[:]) })
		return n, err
	}
	if n, err := look(); n != 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("quiet: Peek() = %d, %v", n, err)
	}
	_, _ = far.Write([]byte("ab"))
	_ = far.Close()
	room := make([]byte, 8)
	if n, err := near.Read(room[:1]); n != 1 || err != nil { // it has arrived
		t.Fatal(n, err)
	}
	if n, err := look(); n != 1 || err != nil || one[0] != 'b' {
		t.Errorf("with a byte: Peek() = %d, %v, %q", n, err, one)
	}
	if n, err := near.Read(room); n != 1 || err != nil || room[0] != 'b' {
		t.Errorf("Peek took something: Read() = %d, %v", n, err)
	}
	if _, err := near.Read(room); err != io.EOF { //nolint:errorlint // bare
		t.Fatal(err)
	}
	if n, err := look(); n != 0 || err != nil {
		t.Errorf("at the end: Peek() = %d, %v", n, err)
	}
}
