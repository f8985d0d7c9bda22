package listen

import (
	"io/fs"
	"net"
)

// listenWithMode ignores mode: on Windows the directory's permissions decide.
func listenWithMode(path string, _ fs.FileMode) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

func ownedByUs(fs.FileInfo) bool { return true }

func isSocketWith(fs.FileMode, fs.FileInfo) bool { return true }
