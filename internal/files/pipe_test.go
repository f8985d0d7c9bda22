//go:build unix

package files

import (
	"path/filepath"
	"syscall"
	"testing"
)

func TestNamedPipeIsRefusedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := Read(path, 1024); err == nil || err.Error() != "it is not a regular file" {
		t.Errorf("err = %v", err)
	}
}
