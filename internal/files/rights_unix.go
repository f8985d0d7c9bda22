//go:build unix

package files

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// NoFollow has os.OpenFile refuse a symbolic link.
const NoFollow = syscall.O_NOFOLLOW

// Writable reports whether this process may make files in the folder, or write the
// file. It changes nothing.
func Writable(path string) bool { return unix.Access(path, unix.W_OK) == nil }

// OwnedByUs reports whether the file belongs to the user of this process.
func OwnedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
