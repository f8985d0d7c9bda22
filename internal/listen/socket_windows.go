package listen

import (
	"errors"
	"io/fs"
	"net"

	"golang.org/x/sys/windows"
)

// listenWithMode ignores mode: on Windows the directory's permissions decide.
func listenWithMode(path string, _ fs.FileMode) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

func isSocketWith(fs.FileMode, fs.FileInfo) bool { return true }

// chmodSocket does nothing: a socket has no mode here.
func chmodSocket(string, fs.FileInfo, fs.FileMode) error { return nil }

// noSuchAddress reports whether the host does not have the address.
func noSuchAddress(err error) bool {
	return errors.Is(err, windows.WSAEADDRNOTAVAIL) || errors.Is(err, windows.WSAEAFNOSUPPORT)
}
