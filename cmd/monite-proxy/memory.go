package main

import (
	"context"
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// limitMemory tells the runtime what the container may use, so that it collects
// garbage harder before the kernel would end the process. GOMEMLIMIT wins.
//
// GOGC stays as it is: the heap of a busy sidecar is 4 MiB, and letting it grow
// to 16 buys a few per cent of CPU for more memory than the rest uses.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return // the runtime has read it
	}
	if limit := containerMemory(os.DirFS("/")); limit > 0 {
		debug.SetMemoryLimit(limit / 10 * 9) // the rest is for what the runtime does not count
	}
}

// noMemoryLimit is what cgroup v1 says where there is no limit, or more.
const noMemoryLimit = 1 << 50

// The garbage of a start is 3 MiB, most of it of the roots. It would be collected
// before the first answer.
const (
	startGarbage   = 500 * time.Millisecond // how long it is kept
	startGCPercent = 400                    // so long, the heap may grow to 16 MiB
	usualGCPercent = 100
)

// putOffCollection keeps the first collection out of the start. GOGC wins.
func putOffCollection() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(startGCPercent)
	}
}

// giveBack ends that, and returns to the system what only the start has needed,
// a third of the heap: a sidecar that has nothing to do would not collect it for
// minutes, and would keep the pages for longer.
func giveBack(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(startGarbage):
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(usualGCPercent)
		}
		debug.FreeOSMemory()
	}
}

// containerMemory returns the least limit among those of the process's cgroup
// and its parents, of both versions; 0: none. In a container the group's own
// directory is mostly the root, whatever /proc/self/cgroup calls it.
func containerMemory(root fs.FS) (least int64) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0 // not Linux
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		base, file := "sys/fs/cgroup", "memory.max"
		if fields[0] != "0" {
			if fields[1] != "memory" {
				continue
			}
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for at := path.Join("/", fields[2]); ; at = path.Dir(at) {
			if limit := readLimit(root, path.Join(base, at, file)); limit > 0 && (least == 0 || limit < least) {
				least = limit
			}
			if at == "/" {
				break
			}
		}
	}
	return least
}

func readLimit(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || limit >= noMemoryLimit { // "max"
		return 0
	}
	return limit
}
