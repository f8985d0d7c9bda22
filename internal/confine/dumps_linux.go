package confine

import (
	"errors"

	"golang.org/x/sys/unix"
)

// NoDumps keeps the memory of the process to itself: no core file, and only root may
// trace it or read its /proc/PID/mem and /proc/PID/environ.
//
// Both are needed: the limit alone does not stop a core that is piped into a program,
// as systemd-coredump has it, and only the process itself can make itself dumpable
// again.
func NoDumps() error {
	return errors.Join(
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
	)
}
