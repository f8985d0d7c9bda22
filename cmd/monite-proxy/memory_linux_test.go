package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// fileKiB is the part of the process's memory that is pages of files.
func fileKiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMostOfTheProgramLeavesTheMemory(t *testing.T) {
	before := fileKiB(t)
	unmapProgram()
	if after := fileKiB(t); after > before*3/4 {
		t.Errorf("%d KiB of %d are left", after, before)
	}
}

func TestOnlyUnchangedReadOnlyMappingsOfTheProgramAreUnmapped(t *testing.T) {
	smaps := `00400000-00b44000 r-xp 00000000 fe:00 17 /bin/a
Rss: 6544 kB
Anonymous: 0 kB
Swap: 0 kB
VmFlags: rd ex mr mw me
00b44000-01341000 r--p 00744000 fe:00 17    /bin/a
Anonymous:             4 kB
Swap: 0 kB
01341000-013d1000 rw-p 00f41000 fe:00 17 /bin/a
Anonymous: 0 kB
02000000-02001000 r--p 00000000 fe:00 17 /bin/a
Anonymous: 4 kB
c000000000-c000800000 rw-p 00000000 00:00 0
Anonymous: 0 kB
c000800000-c000900000 r--p 00000000 fe:00 17 /bin/a
Anonymous: 0 kB
Swap: 4 kB
c001000000-c001001000 r--p 00000000 fe:00 18 /lib/a
Anonymous: 0 kB
c002000000-c002001000 r--p 00000000 fe:00 17 /bin/a
Anonymous: 0 kB
Swap: 0 kB
`
	want := []mapping{{0x400000, 0xb44000}, {0xc002000000, 0xc002001000}}
	if got := unchanged(strings.NewReader(smaps), "/bin/a"); !slices.Equal(got, want) {
		t.Errorf("%x", got)
	}
}

// As a loader does that relocates, and protects what it has relocated.
func TestPagesThatDifferFromTheProgramsFileStay(t *testing.T) {
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	page, err := syscall.Mmap(int(program.Fd()), 0, os.Getpagesize(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(page) }()
	page[0]++
	want := page[0]
	if err := syscall.Mprotect(page, syscall.PROT_READ); err != nil {
		t.Fatal(err)
	}
	unmapProgram()
	if page[0] != want {
		t.Error("it was dropped")
	}
}
