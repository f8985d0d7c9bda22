//go:build linux && (amd64 || arm64) && !race

package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// Of returns where the bytes of nc are read and written. What else there is to
// a connection stays with nc. As with nc, Read and Write may be called by any
// goroutine.
func Of(nc net.Conn) io.ReadWriter {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn: // nothing that wraps one, and would be passed by
	default:
		return nc
	}
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return nc
	}
	s := &stream{nc: nc, raw: raw}
	s.in.try, s.out.try = s.in.read, s.out.write
	return s
}

type stream struct {
	nc      net.Conn
	raw     syscall.RawConn
	in, out half
}

// half is one direction, and the call that is under way in it.
type half struct {
	try func(fd uintptr) (done bool) // made once: a closure per call would allocate

	mu     sync.Mutex // held by a call; guards the rest
	late   bool       // of ReadLate: each try takes p from buffers
	p      []byte     // what is left of it, or of the caller's
	n      int
	failed syscall.Errno
}

// most limits what one call asks of the kernel, as in package net: some kernels fail
// above it.
const most = 1 << 30

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	_, n, err := s.in.do(p, false, s.raw.Read)
	return n, s.readError(n, err)
}

func (s *stream) readLate() (p []byte, n int, err error) {
	p, n, err = s.in.do(nil, true, s.raw.Read)
	return p, n, s.readError(n, err)
}

func (s *stream) readError(n int, err error) error {
	switch {
	case err != nil:
		return s.opError("read", err)
	case n == 0:
		return io.EOF
	}
	return nil
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	_, n, err := s.out.do(p, false, s.raw.Write)
	if err != nil {
		return n, s.opError("write", err)
	}
	return n, nil
}

func (h *half) do(p []byte, late bool, wait func(func(uintptr) bool) error) (rest []byte, n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.p, h.late, h.n, h.failed = p, late, 0, 0
	err = wait(h.try)
	rest, n, h.p = h.p, h.n, nil
	if err == nil && h.failed != 0 {
		err = h.failed
	}
	return rest, n, err
}

func (h *half) read(fd uintptr) bool {
	if h.late {
		h.p = takeBuffer()
	}
	n, again := h.call(syscall.SYS_READ, fd)
	if again && h.late {
		GiveBack(h.p)
		h.p = nil
	}
	if again {
		return false
	}
	h.n = n
	return true
}

// write writes all of it, over as many calls as it takes.
func (h *half) write(fd uintptr) bool {
	for len(h.p) > 0 && h.failed == 0 {
		n, again := h.call(syscall.SYS_WRITE, fd)
		if again {
			return false
		}
		h.n += n
		h.p = h.p[n:]
	}
	return true
}

// call makes one. again: nothing can be done at the moment.
func (h *half) call(number, fd uintptr) (n int, again bool) {
	for {
		r, _, errno := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(h.p))), uintptr(min(len(h.p), most))) //nolint:gosec // as package syscall does
		switch errno {
		case 0:
			return int(r), false //nolint:gosec // not more than was asked for
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true
		default:
			h.failed = errno
			return 0, false
		}
	}
}

// opError wraps an error as package net would.
func (s *stream) opError(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // set above, bare
		err = os.NewSyscallError(op, errno)
	} else if raw, ok := errors.AsType[*net.OpError](err); ok { // "raw-read"
		err = raw.Err
	}
	return &net.OpError{Op: op, Net: s.nc.LocalAddr().Network(), Source: s.nc.LocalAddr(), Addr: s.nc.RemoteAddr(), Err: err}
}

// Peek looks whether fd has something to read, without waiting. It returns
// syscall.EAGAIN if not, and 0 bytes without an error at the end.
func Peek(fd uintptr, p []byte) (n int, err error) {
	for {
		r, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0) //nolint:gosec // as package syscall does
		switch errno {
		case 0:
			return int(r), nil //nolint:gosec // not more than was asked for
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
