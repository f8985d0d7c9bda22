//go:build unix

package main

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// passedOn are the signals that the command gets in our place.
var passedOn = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// child is the command that run was given.
type child struct {
	pid      int
	terminal bool // it has the terminal of this process
	changes  chan os.Signal
}

// startChild starts the command in a process group of its own. On Ctrl-C the
// terminal signals the foreground group, which must not hold us both: the command
// would get the signal twice.
func startChild(args, environment []string) (*child, error) {
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // the command comes from the user who runs us
	cmd.Env = environment
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c := &child{terminal: hasTerminal(), changes: make(chan os.Signal, 1)}
	if c.terminal {
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, int(os.Stdin.Fd())
	}
	signal.Notify(c.changes, syscall.SIGCHLD)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.pid = cmd.Process.Pid
	return c, nil
}

// hasTerminal reports whether we are in the foreground of the terminal that is our
// standard input.
func hasTerminal() bool {
	group, err := unix.IoctlGetInt(int(os.Stdin.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// signal reaches the whole group, as it would from a terminal. It does not report
// a child that has just ended.
func (c *child) signal(received os.Signal) {
	if number, ok := received.(syscall.Signal); ok {
		_ = syscall.Kill(-c.pid, number)
	}
}

// wait returns the exit code of the child, or 128 and the signal that ended it. As
// process 1 of a container we have the children of others too: wait4 takes all.
func (c *child) wait() int {
	for {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
			if err == syscall.EINTR {
				continue
			}
			if pid <= 0 {
				break
			}
			switch {
			case pid != c.pid:
			case status.Exited():
				return status.ExitStatus()
			case status.Signaled():
				return 128 + int(status.Signal())
			case status.Stopped() && c.terminal:
				c.stopWith()
			}
		}
		<-c.changes
	}
}

// stopWith stops this process as the terminal has stopped the child (Ctrl-Z), so
// that the shell takes the terminal back. After "fg" or "bg" both go on.
func (c *child) stopWith() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-continued // Kill may return before the process has stopped
	if hasTerminal() {
		_ = unix.IoctlSetPointerInt(int(os.Stdin.Fd()), unix.TIOCSPGRP, c.pid)
	}
	c.signal(syscall.SIGCONT)
}
