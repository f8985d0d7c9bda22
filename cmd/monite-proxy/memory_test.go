package main

import (
	"context"
	"runtime"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

func TestMemoryLimitIsThatOfTheContainer(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no cgroups":                {nil, 0},
		"version 2, in a container": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "67108864\n"}, 64 << 20},
		"version 2, no limit":       {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		"version 2, on a host": {map[string]string{"proc/self/cgroup": "0::/a.slice/b.service\n",
			"sys/fs/cgroup/a.slice/b.service/memory.max": "max\n", "sys/fs/cgroup/a.slice/memory.max": "1000\n"}, 1000},
		"version 2, the parent's less": {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "3000\n",
			"sys/fs/cgroup/a/memory.max": "2000\n"}, 2000},
		"version 2, path of the host": {map[string]string{"proc/self/cgroup": "0::/kubepods/pod1/abc\n", "sys/fs/cgroup/memory.max": "5000\n"}, 5000},
		"version 2, path outside":     {map[string]string{"proc/self/cgroup": "0::/../x\n", "sys/fs/cgroup/memory.max": "6000\n"}, 6000},
		"version 1": {map[string]string{"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "7000\n"}, 7000},
		"version 1, no limit": {map[string]string{"proc/self/cgroup": "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"both": {map[string]string{"proc/self/cgroup": "4:memory:/\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "7000\n", "sys/fs/cgroup/memory.max": "6000\n"}, 6000},
		"garbage": {map[string]string{"proc/self/cgroup": "x\n0::\n", "sys/fs/cgroup/memory.max": "-5\n"}, 0},
	} {
		root := fstest.MapFS{}
		for file, text := range c.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := containerMemory(root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestMemoryOfTheStartIsGivenBackOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		giveBack(t.Context())
		runtime.ReadMemStats(&after)
		if took := time.Since(begin); took != startGarbage {
			t.Errorf("it took %v", took)
		}
		if after.NumForcedGC != before.NumForcedGC+1 {
			t.Errorf("forced collections = %d", after.NumForcedGC-before.NumForcedGC)
		}
	})
}

func TestASidecarThatStopsAtOnceGivesNothingBack(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	giveBack(ctx)
	if runtime.ReadMemStats(&after); after.NumForcedGC != before.NumForcedGC {
		t.Error("it did")
	}
}
