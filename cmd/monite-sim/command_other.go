//go:build !unix

package main

import (
	"os"
	"os/exec"
)

var forwarded = []os.Signal{os.Interrupt}

func ownGroup(*exec.Cmd) {}

func signalGroup(cmd *exec.Cmd, sig os.Signal) { _ = cmd.Process.Signal(sig) }

func exitCode(state *os.ProcessState) int { return state.ExitCode() }
