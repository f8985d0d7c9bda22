//go:build (linux && ((!amd64 && !arm64) || race)) || darwin || freebsd || netbsd || openbsd || dragonfly

package socket

import "syscall"

// Peek looks whether fd has something to read, without waiting. It returns
// syscall.EAGAIN if not, and 0 bytes without an error at the end.
func Peek(fd uintptr, p []byte) (n int, err error) {
	for {
		n, _, err = syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT) //nolint:gosec // a descriptor
		if err != syscall.EINTR {                                                       //nolint:errorlint // a bare errno
			return max(n, 0), err
		}
	}
}
