package e2e

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const processCanary = "CANARY-7d41e2-in-the-process"

// startAsStranger starts the sidecar as a user other than root, in a directory
// that it may write to and with cores allowed. As root it changes the user.
func startAsStranger(t *testing.T, e env) (s *sidecar, directory string) {
	t.Helper()
	directory = openDir(t, 0o777)
	wrapper := []string{"sh", "-c", `cd "$0" && ulimit -c unlimited; exec "$@"`, directory}
	if os.Geteuid() == 0 {
		setpriv, err := exec.LookPath("setpriv")
		if err != nil {
			t.Skip("NOT TESTED: setpriv is not installed")
		}
		// Others must be able to reach the program.
		if err := os.Chmod(binaries, 0o755); err != nil {
			t.Fatal(err)
		}
		wrapper = append(wrapper, setpriv, fmt.Sprintf("--reuid=%d", stranger), fmt.Sprintf("--regid=%d", stranger), "--clear-groups")
	}
	return startUnder(t, e, wrapper...), directory
}

// asTheSame runs do as the user that startAsStranger starts the sidecar as.
func asTheSame(t *testing.T, do func()) {
	if os.Geteuid() != 0 {
		do()
		return
	}
	asUser(t, stranger, do)
}

func TestProcessIsClosedToItsOwnUser(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	s, _ := startAsStranger(t, defaultEnv(url).with("MONITE_CLIENT_SECRET", processCanary))
	s.ready()
	asTheSame(t, func() {
		for _, file := range []string{"environ", "mem", "maps", "fd/0"} {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file)); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("the same user reads /proc/PID/%s: %d bytes, %v", file, len(text), err)
			}
		}
	})
	// A process of this user that hides nothing: the test is able to look.
	open := exec.Command("sleep", "30")
	if os.Geteuid() == 0 {
		open.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	}
	if err := open.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Process.Kill(); _ = open.Wait() }()
	asTheSame(t, func() {
		if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", open.Process.Pid)); err != nil {
			t.Errorf("another process of that user: %v", err)
		}
	})
}

// Not dumpable, a process that is not root finds much of its own /proc owned by
// root.
func TestProcessStillMeasuresItself(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	s, _ := startAsStranger(t, defaultEnv(url))
	s.ready()
	for _, name := range []string{
		"process_open_fds", "process_max_fds", "process_resident_memory_bytes", "process_start_time_seconds", "process_virtual_memory_bytes",
	} {
		if s.metricValue(name) <= 0 {
			t.Errorf("%s is missing", name)
		}
	}
	if s.metricValue("process_start_time_seconds") < float64(time.Now().Add(-time.Minute).Unix()) {
		t.Errorf("process_start_time_seconds = %f, want it within the last minute", s.metricValue("process_start_time_seconds"))
	}
}

func TestNoCoreAndNoSecretInATraceback(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGSEGV} {
		url := script(t, mintToken(processCanary+"-token", 1800), answerOK)
		s, directory := startAsStranger(t, defaultEnv(url).with(
			"MONITE_CLIENT_SECRET", processCanary, "MONITE_APP_TOKEN", processCanary, "GOTRACEBACK", "crash",
			"MONITE_CONFINE", "off")) // confined, it could write no file at all
		s.ready()
		if a := s.mustCall("GET", "/v1/entities", "", "X-Monite-Proxy-Token", processCanary); a.Status != http.StatusOK {
			t.Fatalf("status = %d", a.Status)
		}
		s.signal(sig)
		s.exitCode(10 * time.Second)
		if status, ok := s.state.Sys().(syscall.WaitStatus); ok && status.CoreDump() {
			t.Errorf("%v: a core was dumped", sig)
		}
		if left, _ := os.ReadDir(directory); len(left) != 0 {
			t.Errorf("%v: left behind: %v", sig, left)
		}
		text := s.log.String()
		if !strings.Contains(text, "goroutine ") {
			t.Errorf("%v: no traceback, so nothing is proven", sig)
		}
		for name, form := range map[string]string{
			"plain": "CANARY-7d41e2", "hex": hex.EncodeToString([]byte("CANARY-7d41e2")), "base64": base64.StdEncoding.EncodeToString([]byte("CANARY-7d41")),
		} {
			if strings.Contains(text, form) {
				t.Errorf("%v: the traceback holds the canary, %s", sig, name)
			}
		}
	}
	if _, directory := coreOfAnother(t); directory != "" {
		t.Logf("control: another process did leave a core in %s", filepath.Base(directory))
	} else {
		t.Log("NOT PROVEN: on this system no process leaves a core in its directory")
	}
}

// coreOfAnother has a process die that does not protect itself.
func coreOfAnother(t *testing.T) (core, directory string) {
	t.Helper()
	directory = openDir(t, 0o777)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	dying := exec.CommandContext(ctx, "sh", "-c", `ulimit -c unlimited; kill -ABRT $$`)
	dying.Dir = directory
	_ = dying.Run()
	left, _ := os.ReadDir(directory)
	if len(left) == 0 {
		return "", ""
	}
	return left[0].Name(), directory
}

func TestEveryThreadHasGivenUpItsRights(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	url := script(t, nil, answerOK)
	s := start(t, defaultEnv(url).with("MONITE_CONFINE", "require")).ready()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.cmd.Process.Pid))
	if err != nil || len(threads) < 2 {
		t.Fatalf("threads: %q, %v", threads, err)
	}
	for _, path := range threads {
		status, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(status), "NoNewPrivs:\t1\n") {
			t.Errorf("%s: it may gain rights", path)
		}
	}
}
