package socket

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// pair is a connection and its other end.
func pair(t testing.TB, network string) (near, far net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	on, err := net.Listen(network, address)
	wiretest.Must(t, err)
	defer func() { _ = on.Close() }()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := on.Accept()
		accepted <- conn
	}()
	if near, err = net.Dial(network, on.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far = <-accepted; far == nil {
		t.Fatal("not accepted")
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

var networks = []string{"tcp", "unix"}

func TestBytesArrive(t *testing.T) {
	for _, network := range networks {
		near, far := pair(t, network)
		// More than the buffers of both sides hold: Write has to wait and go on.
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
		var writing sync.WaitGroup
		writing.Go(func() {
			if n, err := Of(near).Write(sent); n != len(sent) || err != nil {
				t.Errorf("%s: Write() = %d, %v", network, n, err)
			}
			_ = near.(interface{ CloseWrite() error }).CloseWrite()
		})
		got, err := io.ReadAll(Of(far))
		writing.Wait()
		if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
			t.Errorf("%s: read %d bytes of %d, %v", network, len(got), len(sent), err)
		}
	}
}

// TestErrorsAreThoseOfPackageNet runs each case with Of(conn) and with conn.
func TestErrorsAreThoseOfPackageNet(t *testing.T) {
	type outcome struct {
		n    int
		text string
		is   []bool
	}
	for name, try := range map[string]func(near, far net.Conn, s io.ReadWriter) (int, error){
		"the end": func(_, far net.Conn, s io.ReadWriter) (int, error) {
			_ = far.Close()
			return s.Read(make([]byte, 8))
		},
		"no room": func(_, far net.Conn, s io.ReadWriter) (int, error) {
			_ = far.Close()
			return s.Read(nil)
		},
		"a read deadline": func(near, _ net.Conn, s io.ReadWriter) (int, error) {
			_ = near.SetReadDeadline(time.Now().Add(time.Millisecond))
			return s.Read(make([]byte, 8))
		},
		"a deadline that has passed": func(near, _ net.Conn, s io.ReadWriter) (int, error) {
			_ = near.SetDeadline(time.Unix(1, 0))
			return s.Write([]byte("x"))
		},
		"closed before": func(near, _ net.Conn, s io.ReadWriter) (int, error) {
			_ = near.Close()
			return s.Write([]byte("x"))
		},
		"closed meanwhile": func(near, _ net.Conn, s io.ReadWriter) (int, error) {
			time.AfterFunc(time.Millisecond, func() { _ = near.Close() })
			return s.Read(make([]byte, 8))
		},
		"a reset": func(_, far net.Conn, s io.ReadWriter) (int, error) {
			if tcp, ok := far.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = far.Close()
			return s.Read(make([]byte, 8))
		},
		"our own end": func(near, _ net.Conn, s io.ReadWriter) (int, error) {
			_ = near.(interface{ CloseWrite() error }).CloseWrite()
			return s.Write([]byte("x"))
		},
	} {
		for _, network := range networks {
			run := func(of func(net.Conn) io.ReadWriter) outcome {
				near, far := pair(t, network)
				n, err := try(near, far, of(near))
				if err == nil {
					return outcome{n: n}
				}
				var op string
				if e, ok := errors.AsType[*net.OpError](err); ok {
					op = e.Op + " " + e.Net + " " + e.Err.Error()
				} else {
					op = err.Error()
				}
				timeout, ok := err.(net.Error) //nolint:errorlint // as its users do
				return outcome{n, op, []bool{
					err == io.EOF, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed), //nolint:errorlint // io.EOF must be bare
					errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), ok && timeout.Timeout(),
				}}
			}
			got, want := run(Of), run(func(nc net.Conn) io.ReadWriter { return nc })
			if got.n != want.n || got.text != want.text || !equal(got.is, want.is) {
				t.Errorf("%s, %s:\n got %+v\nwant %+v", name, network, got, want)
			}
		}
	}
}

func equal(a, b []bool) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// What the kernel took before the deadline counts: who sent half of a request
// must know it.
func TestAWriteThatIsCutShortSaysHowMuchLeft(t *testing.T) {
	near, far := pair(t, "tcp")
	go func() {
		_, _ = far.Read(make([]byte, 1)) // some have left; nobody reads the others
		_ = near.SetWriteDeadline(time.Unix(1, 0))
	}()
	n, err := Of(near).Write(make([]byte, 64<<20))
	if n == 0 || n == 64<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write() = %d, %v", n, err)
	}
	_ = near.Close()
	got, err := io.Copy(io.Discard, far)
	if got != int64(n-1) || err != nil {
		t.Errorf("%d bytes arrived, %v; %d were said to have left", got+1, err, n)
	}
}

func TestReadsAndWritesOfManyGoroutinesDoNotMix(t *testing.T) {
	near, far := pair(t, "tcp")
	s, other := Of(near), Of(far)
	const each, n = 200, 8
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for range each {
				if _, err := s.Write(bytes.Repeat([]byte{byte('a' + i)}, 512)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var mu sync.Mutex // guards counts
	counts := map[byte]int{}
	for range 3 {
		all.Go(func() {
			room := make([]byte, 512)
			for {
				read, err := other.Read(room)
				mu.Lock()
				for _, c := range room[:read] {
					counts[c]++
				}
				whole := 0
				for _, count := range counts {
					whole += count
				}
				mu.Unlock()
				if whole == each*n*512 {
					_ = far.SetReadDeadline(time.Unix(1, 0)) // wakes the others
				}
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	for i := range n {
		if got := counts[byte('a'+i)]; got != each*512 {
			t.Errorf("%c: %d bytes, want %d", 'a'+i, got, each*512)
		}
	}
}

// A wrapper may count or encrypt: it must not be passed by.
func TestWhatWrapsASocketIsUsed(t *testing.T) {
	near, _ := pair(t, "tcp")
	wrapped := struct{ *net.TCPConn }{near.(*net.TCPConn)}
	if got := Of(wrapped); got != io.ReadWriter(wrapped) {
		t.Errorf("Of() = %T", got)
	}
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if got := Of(a); got != io.ReadWriter(a) {
		t.Errorf("Of() of a pipe = %T", got)
	}
}

// A wait for a buffer ends with bytes, with the end, or with the deadline, as that of
// Read does.
func TestReadLate(t *testing.T) {
	for _, network := range networks {
		near, far := pair(t, network)
		s := Of(near)
		var writing sync.WaitGroup
		writing.Go(func() { _, _ = far.Write([]byte("hello")) })
		p, n, err := ReadLate(s)
		if writing.Wait(); err != nil || string(p[:n]) != "hello" || len(p) != Buffer {
			t.Errorf("%s: %q of a buffer of %d, %v", network, p[:n], len(p), err)
		}
		GiveBack(p)
		_ = near.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, n, err := ReadLate(s); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %d bytes, %v, want the deadline", network, n, err)
		}
		_ = near.SetReadDeadline(time.Time{})
		_ = far.Close()
		if _, n, err := ReadLate(s); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %d bytes, %v, want the end", network, n, err)
		}
	}
}
