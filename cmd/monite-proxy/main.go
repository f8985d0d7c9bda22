// Command monite-proxy is a sidecar: apps on the same host call
// http://localhost:8080/v1/... without credentials, and Monite responds.
//
// The life of the sidecar, in order:
//
//   - serve.go: what is loaded and opened before anything runs; banner.go: what
//     people are told then
//   - sidecar.go: the parts put together; credentials.go, shared.go, apps.go, probes.go,
//     vend.go and traces.go: one part each
//   - confine.go, memory.go: what the process gives up, and how much it may use;
//     memory_linux.go and memory_other.go: the pages of the program
//   - life.go: from open listeners to the exit code; notify.go: what the service
//     manager is told meanwhile
//   - drain.go: the end, in which no accepted request is lost; terminal_*.go: the end
//     of the terminal in which the sidecar was started
//
// runfor.go is the command run: the same life beside that of another command;
// child_unix.go and child_other.go: what each system knows of a child.
//
// main.go is this file. command.go finds the command by its name. The others have a file each: check.go,
// doctor.go, status.go, health.go, wait.go, shutdown.go, version.go and help.go.
package main

import "os"

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }
