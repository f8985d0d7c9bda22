//go:build unix

package main

import "syscall"

// maxDescriptors is how many files this process may have open.
func maxDescriptors() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<20 {
		return 1 << 20
	}
	return int64(limit.Cur) //nolint:gosec,unconvert // its type differs between systems
}
