//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// The test binary plays three parts: the tests, monite-proxy itself (so that
// signals and processes are real), and the command that it runs.
func TestMain(m *testing.M) {
	switch os.Getenv("PROXY_TEST_PART") {
	case "proxy":
		_ = os.Setenv("PROXY_TEST_PART", "command")
		main()
	case "command":
		os.Exit(playCommand())
	}
	os.Exit(m.Run())
}

// playCommand prints every signal that it gets, until SIGTERM; then it still calls
// the API, as an app does that ends its work, and exits with 7.
func playCommand() int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1)
	fmt.Println("group", syscall.Getpgrp())
	for received := range signals {
		fmt.Println("signal", received)
		if received == syscall.SIGTERM {
			break
		}
	}
	response, err := http.Get(os.Getenv("MONITE_API_URL") + "/entities")
	if err != nil {
		fmt.Println("the sidecar is gone:", err)
		return 1
	}
	_ = response.Body.Close()
	fmt.Println("last call:", response.StatusCode)
	return 7
}

// runs prepares "monite-proxy run -- args" against a simulator.
func runs(t *testing.T, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	upstream := httptest.NewServer(monitetest.New(monitetest.Config{}))
	t.Cleanup(upstream.Close)
	cmd := exec.Command(os.Args[0], append([]string{"run", "-timeout", "20s", "--"}, args...)...)
	cmd.Env = append(os.Environ(), "PROXY_TEST_PART=proxy", "MONITE_CLIENT_ID="+monitetest.DemoClientID,
		"MONITE_CLIENT_SECRET="+monitetest.DemoClientSecret,
		"MONITE_API_URL="+upstream.URL)
	cmd.Env = append(cmd.Env, environment...)
	return cmd
}

func output(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	_ = cmd.Run()
	return out.String(), trouble.String(), cmd.ProcessState.ExitCode()
}

func TestRunGivesTheCommandTheSidecarAndNoCredentials(t *testing.T) {
	secrets := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(secrets, name)
		wiretest.Must(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	cmd := runs(t, []string{"MONITE_CLIENT_SECRET=", "MONITE_CLIENT_SECRET_FILE=" + write("secret", monitetest.DemoClientSecret),
		"MONITE_APP_TOKEN=0123456789abcdef", "NOTIFY_SOCKET=",
		"MONITE_ENTITY_ID=" + monitetest.DemoEntityID, "HTTP_PROXY=http://127.0.0.1:1", "NO_PROXY=intern"},
		"sh", "-c", `env; curl -sS -o /dev/null -w 'status=%{http_code}\n' -H "X-Monite-Proxy-Token: $MONITE_APP_TOKEN" "$MONITE_API_URL/payables"`)
	stdout, stderr, code := output(t, cmd)
	lines := strings.Split(stdout, "\n")
	for _, want := range []string{"status=200", "MONITE_APP_TOKEN=0123456789abcdef", "NO_PROXY=intern,localhost,127.0.0.1,::1",
		"MONITE_ENTITY_ID=" + monitetest.DemoEntityID} {
		if !slices.Contains(lines, want) {
			t.Errorf("the command lacks %s", want)
		}
	}
	for _, never := range []string{monitetest.DemoClientID, monitetest.DemoClientSecret, "MONITE_CLIENT", secrets, "NOTIFY_SOCKET"} {
		if strings.Contains(stdout, never) {
			t.Errorf("the command has %q", never)
		}
	}
	if code != 0 || stderr != "" || !strings.Contains(stdout, "MONITE_API_URL=http://127.0.0.1:") || !strings.Contains(stdout, "/v1\n") {
		t.Errorf("exit code %d, standard error %q, environment:\n%s", code, stderr, stdout)
	}
}

func TestRunEndsWithTheCodeOfTheCommand(t *testing.T) {
	taken := wiretest.Loopback(t).Addr().String()
	for name, c := range map[string]struct {
		environment, args []string
		code              int
		says              string
	}{
		"success":           {nil, []string{"true"}, 0, ""},
		"failure":           {nil, []string{"sh", "-c", "exit 42"}, 42, ""},
		"killed":            {nil, []string{"sh", "-c", "kill -9 $$"}, 137, ""},
		"terminated":        {nil, []string{"sh", "-c", "kill -TERM $$"}, 143, ""},
		"not found":         {nil, []string{"no-such-command"}, 127, "no-such-command"},
		"not executable":    {nil, []string{"/dev/null"}, 126, "/dev/null"},
		"no command":        {nil, nil, 2, "want a command"},
		"bad configuration": {[]string{"MONITE_ENTITY_ID=mine"}, []string{"echo", "started"}, 2, "MONITE_ENTITY_ID"},
		"a socket":          {[]string{"MONITE_LISTEN_ADDR=unix:/tmp/x.sock"}, []string{"echo", "started"}, 2, "cannot name a unix socket"},
		"port in use":       {[]string{"MONITE_LISTEN_ADDR=" + taken}, []string{"echo", "started"}, 1, "another program has this port"},
		"wrong secret": {[]string{"MONITE_CLIENT_SECRET=00000000-0000-4000-8000-000000000000"}, []string{"echo", "started"}, 1,
			"was not started: the token endpoint refused"},
		"upstream not there": {[]string{"MONITE_API_URL=http://127.0.0.1:1", "MONITE_LOG_LEVEL=error"}, []string{"echo", "started"}, 1,
			"not ready after 20s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := runs(t, c.environment, c.args...)
			if name == "upstream not there" {
				cmd.Args[3] = "300ms"
				c.says = "not ready after 300ms"
			}
			stdout, stderr, code := output(t, cmd)
			if code != c.code || !strings.Contains(stderr, c.says) || strings.Contains(stdout, "started") {
				t.Errorf("exit code %d, want %d with %q; standard output %q, error %q", code, c.code, c.says, stdout, stderr)
			}
		})
	}
}

func TestRunLeavesStandardInputAndOutputToTheCommand(t *testing.T) {
	cmd := runs(t, nil, "cat")
	cmd.Stdin = strings.NewReader("from a pipe")
	if stdout, stderr, code := output(t, cmd); stdout != "from a pipe" || code != 0 {
		t.Errorf("%q, exit code %d, error %q", stdout, code, stderr)
	}
}

// As the terminal signals the whole group on Ctrl-C, and as Kubernetes signals
// process 1 alone.
func TestRunPassesSignalsOnOnceAndOutlivesTheCommand(t *testing.T) {
	cmd := runs(t, nil, os.Args[0])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	wiretest.Must(t, err)
	wiretest.Must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	lines := bufio.NewScanner(stdout)
	next := func() string {
		if !lines.Scan() {
			t.Fatalf("output ended: %v", lines.Err())
		}
		return lines.Text()
	}
	if got := next(); !strings.HasPrefix(got, "group ") || got == fmt.Sprint("group ", cmd.Process.Pid) {
		t.Fatalf("first line = %q, want a group that is not %d", got, cmd.Process.Pid)
	}
	for _, number := range []syscall.Signal{syscall.SIGINT, syscall.SIGUSR1, syscall.SIGINT, syscall.SIGTERM} {
		wiretest.Must(t, syscall.Kill(-cmd.Process.Pid, number))
		if got, want := next(), fmt.Sprint("signal ", number); got != want {
			t.Fatalf("the command got %q, want %q", got, want)
		}
	}
	if got := next(); got != "last call: 200" {
		t.Errorf("after SIGTERM: %q", got)
	}
	if rest, _ := io.ReadAll(stdout); len(rest) > 0 {
		t.Errorf("more output: %s", rest)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit code = %d, want the command's 7", code)
	}
}

func TestRunStopsWhileItIsNotReady(t *testing.T) {
	cmd := runs(t, []string{"MONITE_API_URL=http://127.0.0.1:1"}, "echo", "started")
	var trouble bytes.Buffer
	pipe, err := cmd.StderrPipe()
	wiretest.Must(t, err)
	wiretest.Must(t, cmd.Start())
	lines := bufio.NewReader(io.TeeReader(pipe, &trouble))
	if _, err := lines.ReadString('\n'); err != nil { // the first mint has failed
		t.Fatal(err)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_, _ = io.Copy(io.Discard, lines)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 143 || !strings.Contains(trouble.String(), "was not started: signal: terminated") {
		t.Errorf("exit code %d, want 143; standard error %s", code, trouble.String())
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in 10 s: " + what)
		}
	}
}
