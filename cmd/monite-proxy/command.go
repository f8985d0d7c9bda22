package main

import (
	"fmt"
	"io"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // at run time, or the drain timed out
	exitUsage   = 2 // bad configuration or usage
)

// command runs what the arguments name and returns the exit code.
func command(args []string, stdout, stderr io.Writer) int {
	name := "serve"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "serve":
		return withoutArguments("serve", args, stdout, stderr, func() int { return serve(stderr) })
	case "run":
		return runFor(args, stderr)
	case "check":
		return withoutArguments("check", args, stdout, stderr, func() int { return check(stdout, stderr) })
	case "doctor":
		return examine(args, stdout, stderr)
	case "status":
		return status(args, stdout, stderr)
	case "health":
		return health(args, stdout, stderr)
	case "wait":
		return wait(args, stdout, stderr)
	case "shutdown":
		return withoutArguments("shutdown", args, stdout, stderr, func() int { return shutdown(stdout, stderr) })
	case "version", "-v", "-version", "--version":
		return withoutArguments("version", args, stdout, stderr, func() int { return printVersion(stdout) })
	case "help", "-h", "-help", "--help":
		return help(args, stdout, stderr)
	default:
		_, _ = fmt.Fprintf(stderr, "monite-proxy: no command %q; 'monite-proxy help' lists them\n", name)
		return exitUsage
	}
}

func withoutArguments(name string, args []string, stdout, stderr io.Writer, run func() int) int {
	if len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		return help([]string{name}, stdout, stderr)
	}
	if len(args) > 0 {
		_, _ = fmt.Fprintln(stderr, "monite-proxy: this command takes no arguments; everything is set by environment variables, see 'monite-proxy help'")
		return exitUsage
	}
	return run()
}
