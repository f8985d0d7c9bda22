package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
)

// The shell's codes for a command that cannot be run.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// runCommand runs the command to its end and returns its exit code.
//
// The command has a process group of its own. On Ctrl-C the terminal signals
// the whole foreground group; were the command in it, it would get the signal
// twice, from the terminal and from us, and could take the second one for the
// order to stop at once. What we pass on goes to its group, as the terminal
// would have done it: "go run" and shells rely on that.
func runCommand(p process, opts options, base string, failed <-chan error) int {
	cmd := exec.Command(opts.command[0], opts.command[1:]...)
	cmd.Env = commandEnv(p.env, opts, base)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, p.stdout, p.stderr
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(p.stderr, "monite-sim: start the command: %v\n", err)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return exitNotFound
		}
		return exitNotExecutable
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the code is read from ProcessState
		close(ended)
	}()
	for {
		select {
		case sig := <-p.signals:
			signalGroup(cmd, sig)
		case err := <-failed:
			fmt.Fprintf(p.stderr, "monite-sim: %v\n", err)
			failed = nil // the command decides when to end
		case <-ended:
			return exitCode(cmd.ProcessState)
		}
	}
}

// commandEnv points the command at the simulator.
func commandEnv(env []string, opts options, base string) []string {
	// Real credentials have no business here, and two sources are an error.
	replaced := []string{
		"MONITE_API_URL", "MONITE_CLIENT_ID", "MONITE_CLIENT_SECRET", "MONITE_CLIENT_ID_FILE", "MONITE_CLIENT_SECRET_FILE",
	}
	var out []string
	for _, variable := range env {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains(replaced, name) {
			out = append(out, variable)
		}
	}
	out = append(out, "MONITE_API_URL="+base,
		"MONITE_CLIENT_ID="+opts.config.ClientID, "MONITE_CLIENT_SECRET="+opts.config.ClientSecret)
	for _, name := range []string{"MONITE_ALLOWED_ENTITY_IDS", "MONITE_ALLOWED_ENTITY_USER_IDS"} {
		if lookup(env, name) == "" {
			out = append(out, name+"=*")
		}
	}
	return out
}
