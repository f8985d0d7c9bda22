package e2e

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shortDir is a directory whose name leaves room in sockaddr_un.
func shortDir(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "mp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return directory
}

// overSocket sends one request over a unix socket.
func overSocket(path, method, target string) (answer, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
	in, err := http.NewRequest(method, "http://localhost"+target, nil)
	if err != nil {
		return answer{}, err
	}
	response, err := client.Do(in)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func TestUnixSockets(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	directory := shortDir(t)
	data, admin := filepath.Join(directory, "data.sock"), filepath.Join(directory, "admin.sock")
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+data, "MONITE_ADMIN_ADDR", "unix:"+admin)

	for _, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGTERM} {
		s := start(t, e) // over what the one before has left: after SIGKILL, sockets
		s.waitFor("readiness", func() bool {
			a, err := overSocket(admin, "GET", "/readyz")
			return err == nil && a.Status == http.StatusOK
		})
		for _, path := range []string{data, admin} {
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != fs.ModeSocket|0o600 {
				t.Errorf("%s: %v, %v, want a socket with mode 0600", path, info.Mode(), err)
			}
		}
		if a, err := overSocket(data, "GET", "/v1/entities"); err != nil || a.Status != http.StatusOK {
			t.Errorf("over the socket: %d %s, %v", a.Status, a.Body, err)
		}
		for _, command := range [][]string{{"health"}, {"wait", "-timeout", "5s"}} {
			if code, output := runCommand(t, e, command...); code != 0 {
				t.Errorf("%v over the socket: exit code = %d\n%s", command, code, output)
			}
		}
		s.signal(end)
		if end == syscall.SIGKILL {
			<-s.ended
			continue
		}
		if code := s.exitCode(5 * time.Second); code != 0 {
			t.Errorf("exit code = %d, want 0", code)
		}
		for _, path := range []string{data, admin} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%s is still there after the end", path)
			}
		}
	}
}

// Requests in the queue of a socket are answered as those of a port are.
func TestSIGTERMAnswersWhatWaitsInASocketsQueue(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerSlowly)
	path := filepath.Join(shortDir(t), "data.sock")
	for _, connections := range []int{1, 1, 1, 20} {
		s := start(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+path, "GOMAXPROCS", "1")).ready()
		s.freeze()
		waiting := make(chan outcome, connections)
		for range connections {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			sendGet(conn, "/v1/entities")
			go func() {
				defer func() { _ = conn.Close() }()
				a, err := readAnswer(conn)
				waiting <- outcome{a, err}
			}()
		}
		s.signal(syscall.SIGTERM)
		s.signal(syscall.SIGCONT)
		for range connections {
			if o := <-waiting; o.err != nil || o.answer.Status != http.StatusOK {
				t.Errorf("one of %d connections: %d, %v", connections, o.answer.Status, o.err)
			}
		}
		if code := s.exitCode(5 * time.Second); code != 0 {
			t.Errorf("exit code = %d, want 0", code)
		}
	}
}

func TestSocketReplacesNothingThatIsInUse(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	listen := func(t *testing.T, path string) {
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
	}
	tests := map[string]struct {
		prepare func(t *testing.T, path string)
		says    string
	}{
		"a regular file": {func(t *testing.T, path string) { writeFile(t, path, "precious") }, "not a socket"},
		"a directory": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a socket"},
		"a symbolic link": {func(t *testing.T, path string) {
			listen(t, path+"2")
			if err := os.Symlink(path+"2", path); err != nil {
				t.Fatal(err)
			}
		}, "not a socket"},
		"a live socket":                 {listen, "another process listens there"},
		"a live socket with full queue": {listenFull, "another process listens there"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(shortDir(t), "s")
			test.prepare(t, path)
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			code, output := runCommand(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+path))
			if code != 1 || !strings.Contains(output, test.says) || !strings.Contains(output, path) {
				t.Errorf("exit code = %d, want 1 and %q; output:\n%s", code, test.says, output)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("it was replaced: %v", err)
			}
		})
	}
}

// listenFull listens and lets connections wait until the queue takes no more.
func listenFull(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		conn, err := net.DialTimeout("unix", path, 100*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the queue takes all")
}
