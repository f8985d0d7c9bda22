//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal is the one that the process was started in; nil without one, and under
// nohup.
type terminal struct{ file *os.File }

// openTerminal comes before SIGHUP is handled, and before the process is confined.
func openTerminal() *terminal {
	if signal.Ignored(syscall.SIGHUP) {
		return nil
	}
	file, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	return &terminal{file}
}

// closed reports whether the terminal has gone: its SIGHUP ends the process, that of
// an operator reloads.
func (t *terminal) closed() bool {
	if t == nil {
		return false
	}
	_, err := unix.IoctlGetInt(int(t.file.Fd()), unix.TIOCGPGRP)
	return err != nil
}
