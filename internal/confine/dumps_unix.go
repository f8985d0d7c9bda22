//go:build unix && !linux

package confine

import "syscall"

// NoDumps has no core file written.
func NoDumps() error { return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
