package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// In a container without an init, whoever is left behind becomes a child of
// process 1, which has to wait for it.
func TestRunAsProcessOneLeavesNoZombies(t *testing.T) {
	cmd := runs(t, nil, "sh", "-c", "for i in 1 2 3; do (sh -c 'sleep 0.2; exit 3' &); done; echo begun; cat; exit 5")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	stdin, err := cmd.StdinPipe()
	wiretest.Must(t, err)
	stdout, err := cmd.StdoutPipe()
	wiretest.Must(t, err)
	if err := cmd.Start(); err != nil {
		t.Skip("no process namespace can be made here: ", err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "begun\n" {
		t.Fatalf("%q, %v", line, err)
	}
	// The three and their sleeps have gone, and the command alone is left.
	waitFor(t, "one child, and no zombie", func() bool {
		states := childrenOf(t, cmd.Process.Pid)
		return len(states) == 1 && states[0] != "Z"
	})
	_ = stdin.Close()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		t.Errorf("exit code = %d, want the command's 5", code)
	}
}

func childrenOf(t *testing.T, parent int) (states []string) {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(after); len(fields) > 1 && fields[1] == fmt.Sprint(parent) {
			states = append(states, fields[0])
		}
	}
	return states
}
