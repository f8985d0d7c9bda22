package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// The test binary plays three parts: the tests, monite-sim itself (so that
// signals are real), and the command that monite-sim runs.
func TestMain(m *testing.M) {
	switch os.Getenv("SIM_TEST_PART") {
	case "sim":
		os.Setenv("SIM_TEST_PART", "command")
		main()
	case "command":
		os.Exit(command())
	}
	os.Exit(m.Run())
}

// command prints its group and every signal that it gets, until SIGTERM; then
// it still calls the API, as a sidecar does that drains, and exits with 7.
func command() int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	fmt.Println("group", syscall.Getpgrp())
	for sig := range signals {
		fmt.Println("signal", sig)
		if sig == syscall.SIGTERM {
			break
		}
	}
	response, err := http.Get(os.Getenv("MONITE_API_URL") + "/_sim/healthz")
	if err != nil {
		fmt.Println("simulator is gone:", err)
		return 1
	}
	response.Body.Close()
	fmt.Println("drained through the simulator")
	return 7
}

func TestSignalsReachCommandOnceAndSimulatorOutlivesIt(t *testing.T) {
	sim := exec.Command(os.Args[0], "-listen", "127.0.0.1:0", "--", os.Args[0])
	sim.Env = append(os.Environ(), "SIM_TEST_PART=sim")
	sim.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := sim.StdoutPipe()
	wiretest.Must(t, err)
	wiretest.Must(t, sim.Start())
	defer func() { _ = sim.Process.Kill() }()
	lines := bufio.NewScanner(stdout)
	next := func() string {
		if !lines.Scan() {
			t.Fatalf("output ended: %v", lines.Err())
		}
		return lines.Text()
	}
	if got := next(); !strings.Contains(got, "on http://127.0.0.1:") {
		t.Fatalf("first line = %q, want the address", got)
	}
	if got := next(); got == fmt.Sprint("group ", sim.Process.Pid) || !strings.HasPrefix(got, "group ") {
		t.Fatalf("second line = %q, want a group that is not %d", got, sim.Process.Pid)
	}
	// As the terminal does on Ctrl-C: to the whole group.
	signalAll := func(sig syscall.Signal) {
		wiretest.Must(t, syscall.Kill(-sim.Process.Pid, sig))
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGINT, syscall.SIGTERM} {
		signalAll(sig)
		if got, want := next(), fmt.Sprint("signal ", sig); got != want {
			t.Fatalf("command got %q, want %q", got, want)
		}
	}
	if got := next(); got != "drained through the simulator" {
		t.Errorf("last line = %q", got)
	}
	if rest, _ := io.ReadAll(stdout); len(rest) > 0 {
		t.Errorf("more output: %s", rest)
	}
	_ = sim.Wait()
	if got := sim.ProcessState.ExitCode(); got != 7 {
		t.Errorf("exit code = %d, want the command's 7", got)
	}
}
