package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram takes the pages of the program's file out of the process's memory. Those
// that are used again are mapped again from the page cache, a few at a time; those that
// only the start needed, more than half, are not.
func unmapProgram() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = maps.Close() }()
	for _, m := range unchanged(maps, program) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
	}
}

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// unchanged finds the read-only mappings of program in smaps, see proc_pid_smaps(5), whose
// pages are all as in the file: those that a loader has relocated would be lost.
func unchanged(smaps io.Reader, program string) (found []mapping) {
	var m mapping
	ours, changed := false, false
	end := func() {
		if ours && !changed {
			found = append(found, m)
		}
	}
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case !strings.HasSuffix(fields[0], ":"): // the first line of the next mapping
			end()
			_, err := fmt.Sscanf(fields[0], "%x-%x", &m.from, &m.to)
			ours = err == nil && (fields[1] == "r-xp" || fields[1] == "r--p") && strings.HasSuffix(line, " "+program)
			changed = false
		case (fields[0] == "Anonymous:" || fields[0] == "Swap:") && fields[1] != "0":
			changed = true
		}
	}
	end()
	return found
}
