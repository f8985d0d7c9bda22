package secret_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	wiretest.Must(t, os.WriteFile(path, []byte(content), 0o600))
}

// opened writes a file and opens it.
func opened(t *testing.T, content string) (path string, f *secret.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "secret")
	write(t, path, content)
	return path, open(t, path)
}

func open(t *testing.T, path string) *secret.File {
	t.Helper()
	f, err := secret.OpenFile(path)
	wiretest.Must(t, err)
	return f
}

func mustBe(t *testing.T, f *secret.File, want string) {
	t.Helper()
	if got := f.Current().Reveal(); got != want {
		t.Errorf("Current() = %q, want %q", got, want)
	}
}

func TestOpenFileTrimsExactlyOneLineBreak(t *testing.T) {
	tests := []struct{ name, content, want, problem string }{
		{"none", canary, canary, ""},
		{"lf", canary + "\n", canary, ""},
		{"crlf", canary + "\r\n", canary, ""},
		{"two lf", canary + "\n\n", "", "it has a line break in it"},
		{"two crlf", canary + "\r\n\r\n", "", "it has a line break in it"},
		{"cr", canary + "\r", "", "it has a line break in it"},
		{"only lf", "\n", "", "it is empty"},
		{"leading lf", "\n" + canary, "", "it has a line break in it"},
		{"trailing space", canary + " \n", "", "it has a space in it"},
	}
	for _, tc := range tests {
		path := filepath.Join(t.TempDir(), "secret")
		write(t, path, tc.content)
		f, err := secret.OpenFile(path)
		got, problem := "", ""
		if err != nil {
			problem = errors.Unwrap(err).Error()
			mustHide(t, tc.name, err.Error())
		} else {
			got = f.Current().Reveal()
		}
		if got != tc.want || problem != tc.problem {
			t.Errorf("%s: OpenFile() = %q, problem %q, want %q, %q", tc.name, got, problem, tc.want, tc.problem)
		}
	}
}

// badFiles make a path unusable; each keeps the canary out of what it leaves
// only where that is the point.
var badFiles = []struct {
	name string
	make func(t *testing.T, path string)
	want string
}{
	{"missing", func(*testing.T, string) {}, "no such file or directory"},
	{"empty", func(t *testing.T, path string) { write(t, path, "") }, "it is empty"},
	{"directory", func(t *testing.T, path string) { mkdir(t, path) }, "it is a directory"},
	{"named pipe", func(t *testing.T, path string) {
		wiretest.Must(t, syscall.Mkfifo(path, 0o600))
	}, "it is not a regular file"},
	{"dangling link", func(t *testing.T, path string) { symlink(t, path+".gone", path) }, "no such file or directory"},
	{"over 64 KiB", func(t *testing.T, path string) { write(t, path, strings.Repeat(canary, 6000)) }, "it is larger than 64 KiB"},
	{"over 8 KiB", func(t *testing.T, path string) { write(t, path, strings.Repeat(canary, 1000)) }, "it is longer than 8192 bytes"},
	{"binary", func(t *testing.T, path string) { write(t, path, "\x7fELF\x00"+canary) }, "it has a control byte in it"},
	{"quotes", func(t *testing.T, path string) { write(t, path, `"`+canary+`"`) }, "it has quotes around it"},
	{"byte order mark", func(t *testing.T, path string) { write(t, path, "\ufeff"+canary) }, "it starts with a byte order mark"},
	{"crlf inside", func(t *testing.T, path string) { write(t, path, canary+"\r\n"+canary) }, "it has a line break in it"},
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	wiretest.Must(t, os.Mkdir(path, 0o700))
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	wiretest.Must(t, os.Symlink(target, path))
}

func TestBadFileIsRefusedAtStart(t *testing.T) {
	for _, tc := range badFiles {
		path := filepath.Join(t.TempDir(), "secret")
		tc.make(t, path)
		_, err := secret.OpenFile(path)
		mustFail(t, tc.name, err, path, tc.want)
	}
}

func TestBadFileKeepsTheOldValueAtRunTime(t *testing.T) {
	for _, tc := range badFiles {
		path, f := opened(t, "old\n")
		wiretest.Must(t, os.Remove(path))
		tc.make(t, path)
		changed, err := f.Reload()
		if changed {
			t.Errorf("%s: Reload() says changed", tc.name)
		}
		mustFail(t, tc.name, err, path, tc.want)
		mustBe(t, f, "old")
	}
}

func mustFail(t *testing.T, name string, err error, path, want string) {
	t.Helper()
	fileErr, ok := errors.AsType[*secret.FileError](err)
	if !ok {
		t.Fatalf("%s: error = %v, want a *FileError", name, err)
	}
	if fileErr.Path != path || fileErr.Err.Error() != want || !strings.Contains(err.Error(), path) {
		t.Errorf("%s: error = %v, want %q for %s", name, err, want, path)
	}
	mustHide(t, name, err.Error())
}

func TestUnreadableFileKeepsTheOldValue(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	path, f := opened(t, "old")
	wiretest.Must(t, os.Chmod(path, 0))
	if _, err := f.Reload(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Reload() = %v, want permission denied", err)
	}
	mustBe(t, f, "old")
}

func TestReloadReportsAChangeOnce(t *testing.T) {
	path, f := opened(t, "old")
	write(t, path, "new\n")
	if changed, err := f.Reload(); !changed || err != nil {
		t.Errorf("Reload() = %v, %v, want true, nil", changed, err)
	}
	mustBe(t, f, "new")
	write(t, path, "new")
	if changed, err := f.Reload(); changed || err != nil {
		t.Errorf("Reload() of the same value = %v, %v, want false, nil", changed, err)
	}
}

func TestReloadNeverPutsAnOlderValueBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	write(t, path, "v")
	f := open(t, path)
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = f.Reload()
				}
			}
		})
	}
	for i := range 150 {
		value := fmt.Sprintf("v%d", i)
		write(t, path+"~", value)
		wiretest.Must(t, os.Rename(path+"~", path))
		if _, err := f.Reload(); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			runtime.Gosched()
			mustBe(t, f, value)
		}
	}
	close(stop)
	others.Wait()
}

func TestFileIsFoundAfterAChangeOfDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "secret", "old")
	f := open(t, "secret")
	write(t, "secret", "new")
	t.Chdir(t.TempDir())
	if changed, err := f.Reload(); !changed || err != nil {
		t.Errorf("Reload() = %v, %v, want true, nil", changed, err)
	}
	if !filepath.IsAbs(f.Path()) {
		t.Errorf("Path() = %q, want an absolute path", f.Path())
	}
}

func TestMissingFileIsErrNotExist(t *testing.T) {
	_, err := secret.OpenFile(filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenFile() = %v, want fs.ErrNotExist", err)
	}
}
