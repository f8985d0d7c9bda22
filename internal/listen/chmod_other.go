//go:build unix && !linux

package listen

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// chmodSocket changes the mode of the socket that made describes, and does not
// follow a link.
func chmodSocket(path string, made fs.FileInfo, mode fs.FileMode) error {
	now, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if now.Mode().Type() != fs.ModeSocket || !os.SameFile(made, now) {
		return fmt.Errorf("chmod %s: it is not the socket that was opened there", filepath.Clean(path))
	}
	return unix.Fchmodat(unix.AT_FDCWD, path, uint32(mode.Perm()), unix.AT_SYMLINK_NOFOLLOW)
}
