// Command monite-sim is a simulated Monite API for development and CI.
//
// It serves the package proxy/monitetest on a socket; with "-- command" it
// also runs a command against it, and ends with that command. Run it with -h.
//
//	main.go       the process: arguments, environment, signals
//	options.go    flags and variables, checked all at once
//	usage.go      the text of -h
//	run.go        serve until a signal or the end of the command
//	command.go    the command after "--"; command_*.go its process group
//	demo.go       -demo: requests to try, printed once the command is ready
package main

import (
	"os"
	"os/signal"
)

func main() {
	// Wide enough that no signal is lost between two reads.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded...)
	os.Exit(run(process{
		args: os.Args[1:], env: os.Environ(), signals: signals,
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}))
}
