package e2e

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startOn starts the sidecar with a pipe for its output and returns the pipe's
// other end, from which the lines up to "listening" have been read.
func startOn(t *testing.T, e env) (*sidecar, *os.File) {
	t.Helper()
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	s := startWriting(t, e, theirs)
	_ = theirs.Close()
	for lines := bufio.NewReaderSize(ours, 1); s.Admin == "http://" || s.Admin == ""; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the log ended: %v", err)
		}
		_, _ = io.WriteString(s.log, line)
		s.Data, s.Admin = "http://"+s.logField("listen"), "http://"+s.logField("admin")
	}
	return s, ours
}

// goesOn wants more answers than a pipe holds lines, and a clean end.
func (s *sidecar) goesOn() {
	s.t.Helper()
	s.callMany(400)
	if got := s.probe("/readyz"); got != http.StatusOK {
		s.t.Errorf("/readyz = %d", got)
	}
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(5 * time.Second); code != 0 {
		s.t.Errorf("ended with %v, want 0", s.state)
	}
}

func (s *sidecar) callMany(n int) {
	s.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for i := range n {
		in, _ := http.NewRequest("GET", s.Data+"/v1/entities", nil)
		in.Header.Set("X-Request-Id", strings.Repeat("x", 128))
		response, err := client.Do(in)
		if err != nil {
			s.t.Fatalf("request %d: %v", i, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			s.t.Fatalf("request %d = %d", i, response.StatusCode)
		}
	}
}

func TestRequestsGoOnWithoutAReaderOfTheLog(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	t.Run("the reader is gone", func(t *testing.T) {
		s, reader := startOn(t, defaultEnv(url))
		_ = reader.Close()
		s.goesOn()
	})
	t.Run("the reader does not read", func(t *testing.T) {
		s, reader := startOn(t, defaultEnv(url))
		s.callMany(2400) // more than the pipe and the queue hold
		if !regexp.MustCompile(`(?m)^monite_proxy_log_lines_dropped_total [1-9]`).MatchString(s.admin("GET", "/metrics").Body) {
			t.Error("the dropped lines are not counted")
		}
		go func() { _, _ = io.Copy(s.log, reader) }() // it reads again
		s.waitFor("the log to go on", func() bool { return s.logged("log lines were dropped") })
		s.goesOn()
	})
	t.Run("closed from the start", func(t *testing.T) {
		e := defaultEnv(url).with("MONITE_LISTEN_ADDR", freePort(t), "MONITE_ADMIN_ADDR", freePort(t))
		cmd := exec.Command("/bin/sh", "-c", `exec "$0" <&- >&- 2>&-`, filepath.Join(binaries, "monite-proxy"))
		s := launch(t, e, cmd, nil)
		s.Data, s.Admin = "http://"+e["MONITE_LISTEN_ADDR"], "http://"+e["MONITE_ADMIN_ADDR"]
		s.ready().goesOn()
	})
}
