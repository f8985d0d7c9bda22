//go:build unix

package logs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pipe that nobody reads would hold up the start, and each write.
func TestAuditPipeThatNobodyReadsIsRefusedAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := openAuditFile(path); err == nil {
		t.Error("opened")
	}
}

// Whoever may write to the directory could lead the lines into any file of this
// user: the client secret would end as one.
func TestAuditFileIsNoLinkAndNobodyElses(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(path, secret string) error
		want string // of the reason; empty: it opens
	}{
		"nothing":            {func(string, string) error { return nil }, ""},
		"a file of ours":     {func(path, _ string) error { return os.WriteFile(path, nil, 0o640) }, ""},
		"a link to a secret": {func(path, secret string) error { return os.Symlink(secret, path) }, "symbolic link"},
		"a link to nothing":  {func(path, _ string) error { return os.Symlink(path+"2", path) }, "symbolic link"},
		"the secret":         {func(path, secret string) error { return os.Link(secret, path) }, "a file that the configuration reads"},
		"open to every user": {func(path, _ string) error { return errors.Join(os.WriteFile(path, nil, 0o666), os.Chmod(path, 0o666)) }, "every user"},
		"of another user": {func(path, _ string) error {
			return errors.Join(os.WriteFile(path, nil, 0o644), os.Chown(path, 65534, 65534))
		}, "another user"},
		"a directory instead": {func(path, _ string) error { return os.Mkdir(path, 0o700) }, "directory"},
	} {
		dir := t.TempDir()
		path, secret := filepath.Join(dir, "audit"), filepath.Join(dir, "secret")
		if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := tc.make(path, secret); err != nil {
			if name == "of another user" {
				continue // only root can make one
			}
			t.Fatal(err)
		}
		a, err := openAuditFile(path, secret)
		if err == nil {
			_, _ = a.Write([]byte("line\n"))
			a.close()
		}
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		if text, _ := os.ReadFile(secret); string(text) != "secret" {
			t.Errorf("%s: the secret's file is %q", name, text)
		}
	}
}
