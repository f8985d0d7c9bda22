package redisstore

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// realServer starts a redis-server on a unix socket, and ends it with the test.
func realServer(t testing.TB, options ...string) (socket string) {
	t.Helper()
	program := wiretest.RedisProgram(t)
	dir, err := os.MkdirTemp("", "redis") // t.TempDir() may be too long for a socket
	wiretest.Must(t, err)
	socket = filepath.Join(dir, "s")
	args := append([]string{"--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir}, options...)
	command := exec.Command(program, args...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	wiretest.Must(t, command.Start())
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
	wiretest.Must(t, err)
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

// at is a Config for a URL, as package config would make it.
func at(t testing.TB, text string) Config {
	t.Helper()
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return Config{Addresses: []string{path}, Unix: true}
	}
	scheme, rest, _ := strings.Cut(text, "://")
	info, hosts, found := strings.Cut(rest, "@")
	if !found {
		info, hosts = "", rest
	}
	hosts, path, _ := strings.Cut(hosts, "/")
	config := Config{Addresses: strings.Split(hosts, ","), TLS: strings.HasPrefix(scheme, "rediss")}
	if strings.HasSuffix(scheme, "+sentinel") {
		config.Master, path, _ = strings.Cut(path, "/")
	}
	config.Database, _ = strconv.Atoi(path)
	user, password, _ := strings.Cut(info, ":")
	password, err := url.PathUnescape(password)
	wiretest.Must(t, err)
	config.User, config.Password = user, func() secret.String { return secret.New(password) }
	return config
}
