//go:build !unix

package main

import (
	"os"
	"os/exec"
)

var passedOn = []os.Signal{os.Interrupt}

type child struct{ cmd *exec.Cmd }

func startChild(args, environment []string) (*child, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = environment
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return &child{cmd}, cmd.Start()
}

func (c *child) signal(received os.Signal) { _ = c.cmd.Process.Signal(received) }

func (c *child) wait() int {
	_ = c.cmd.Wait() // the code is read from ProcessState
	return c.cmd.ProcessState.ExitCode()
}
