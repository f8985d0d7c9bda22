//go:build unix

package listen

import "golang.org/x/sys/unix"

// descriptors returns how many the process may have open. Go has raised the soft
// limit to the hard one at its start.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return fewDescriptors
	}
	return int(min(uint64(limit.Cur), manyDescriptors)) //nolint:unconvert // FreeBSD has a signed one
}
