package listen

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// chmodSocket changes the mode of the socket that made describes. The descriptor
// is of whatever has the name now; it is looked at first and changed then, and no
// name leads elsewhere in between.
func chmodSocket(path string, made fs.FileInfo, mode fs.FileMode) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	held := os.NewFile(uintptr(fd), path)
	defer func() { _ = held.Close() }()
	now, err := held.Stat()
	if err != nil {
		return err
	}
	if now.Mode().Type() != fs.ModeSocket || !os.SameFile(made, now) {
		return fmt.Errorf("chmod %s: it is not the socket that was opened there", path)
	}
	// fchmod does not take such a descriptor (open(2), O_PATH), its name in /proc does.
	return os.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}
