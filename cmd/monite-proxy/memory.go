package main

import (
	"context"
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// limitMemory tells the runtime what the container may use, so that it collects
// garbage harder before the kernel would end the process. GOMEMLIMIT wins.
//
// GOGC stays as it is: the heap of a busy sidecar is 4 MiB. Letting it grow to 16
// would save a few per cent of CPU for more memory than all the rest uses.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return // the runtime has read it
	}
	if limit := containerMemory(os.DirFS("/")); limit > 0 {
		debug.SetMemoryLimit(limit / 10 * 9) // the rest is for what the runtime does not count
	}
}

// noMemoryLimit is the least that cgroup v1 says where there is no limit.
const noMemoryLimit = 1 << 50

// startGarbage is the time for which the garbage from start-up is kept.
const startGarbage = 500 * time.Millisecond

// giveBack returns to the system the memory that only the start needed: about a
// third of the heap, and half of the program. An idle sidecar would otherwise not
// collect for minutes.
func giveBack(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(startGarbage):
		debug.FreeOSMemory()
		unmapProgram()
	}
}

const (
	// trafficPause is the time without a request after which the memory that requests
	// needed is returned.
	trafficPause = 5 * time.Second
	// worthCollecting is the number of requests that makes it worthwhile.
	worthCollecting = 100
)

// pauses gives memory back after a pause in traffic: a sidecar that has nothing to do
// would not collect for minutes, and its stacks and buffers would stay. Without
// traffic no timer runs.
type pauses struct {
	requests atomic.Int64 // since memory was given back
	last     atomic.Int64 // the end of the last one, ns
	armed    atomic.Bool
	collect  func() // nil: debug.FreeOSMemory
}

// seen is told of each request that has ended.
func (p *pauses) seen(ended time.Time) {
	p.last.Store(ended.UnixNano())
	if p.requests.Add(1) >= worthCollecting && !p.armed.Load() && p.armed.CompareAndSwap(false, true) {
		time.AfterFunc(trafficPause, p.look)
	}
}

func (p *pauses) look() {
	if idle := time.Duration(time.Now().UnixNano() - p.last.Load()); idle < trafficPause {
		time.AfterFunc(trafficPause-idle, p.look)
		return
	}
	p.requests.Store(0)
	p.armed.Store(false)
	if p.collect != nil {
		p.collect()
		return
	}
	debug.FreeOSMemory()
}

// containerMemory returns the least limit among those of the process's cgroup and
// its parents, of both versions; 0 without one. In a container the group's own
// directory is usually the root, whatever /proc/self/cgroup calls it.
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
