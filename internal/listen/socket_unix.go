//go:build unix

package listen

import (
	"errors"
	"io/fs"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

var umask sync.Mutex // guards the process's umask while a socket is made

// listenWithMode sets the umask for the moment in which the socket is made. A
// chmod afterwards would come too late, and a symbolic link could lead it
// elsewhere. Another file that is made at this moment gets fewer permissions than
// it asked for, never more.
func listenWithMode(path string, mode fs.FileMode) (*net.UnixListener, error) {
	umask.Lock()
	defer umask.Unlock()
	old := unix.Umask(int(^mode & 0o777))
	defer unix.Umask(old)
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// noSuchAddress reports whether the host does not have the address.
func noSuchAddress(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EPROTONOSUPPORT)
}

func isSocketWith(mode fs.FileMode, info fs.FileInfo) bool { return info.Mode() == fs.ModeSocket|mode }
