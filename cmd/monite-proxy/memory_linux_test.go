package main

import (
	"os"
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
