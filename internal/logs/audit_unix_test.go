//go:build unix

package logs

import (
	"path/filepath"
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
