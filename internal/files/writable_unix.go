//go:build unix

package files

import "golang.org/x/sys/unix"

// Writable reports whether this process may make files in the folder, or write the
// file. It changes nothing.
func Writable(path string) bool { return unix.Access(path, unix.W_OK) == nil }
