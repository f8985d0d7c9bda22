package redisstore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// realServer starts a redis-server on a unix socket, and ends it with the test.
func realServer(t testing.TB, options ...string) (socket string) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed (apt-get install redis-server)")
	}
	dir, err := os.MkdirTemp("", "redis") // t.TempDir() may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	args := append([]string{"--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir}, options...)
	command := exec.Command(program, args...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = os.RemoveAll(dir)
	})
	for range 200 {
		if on, err := redis.Dial("unix", socket); err == nil {
			_ = on.Close()
			return socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("redis-server does not start")
	return ""
}

// direct is a connection for tests that plant and look.
func direct(t testing.TB, socket string) redis.Conn {
	t.Helper()
	on, err := redis.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = on.Close() })
	return on
}

func do(t testing.TB, on redis.Conn, command string, args ...any) any {
	t.Helper()
	reply, err := on.Do(command, args...)
	if err != nil {
		t.Fatalf("%s %v: %v", command, args, err)
	}
	return reply
}

func (s *script) direct(on redis.Conn, keys []string, args ...any) (any, error) {
	call := []any{s.text, len(keys)}
	for _, key := range keys {
		call = append(call, key)
	}
	return on.Do("EVAL", append(call, args...)...)
}

var _ = context.Background
var _ = fmt.Sprint
