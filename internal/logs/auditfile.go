package logs

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/monite-proxy/monite-proxy/internal/files"
)

// auditFile is appended to, and opened again once it was moved away. Only its
// Writer writes to it, so no request waits for a disk.
type auditFile struct {
	path  string
	never []string // files that it must not be: those with the secrets

	mu   sync.Mutex // guards all below
	file *os.File
	torn bool // the last write was short: the next line begins a new one
}

func openAuditFile(path string, never ...string) (*auditFile, error) {
	a := &auditFile{path: path, never: never}
	return a, a.reopen()
}

// reopen follows a rotation. If it fails, the old file stays in use.
func (a *auditFile) reopen() error {
	// Without O_NONBLOCK, opening a pipe without a reader would never return. A link
	// at that name could lead into any file that this user may write to.
	file, err := os.OpenFile(a.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK|files.NoFollow, 0o600)
	if err != nil {
		if info, lerr := os.Lstat(a.path); lerr == nil && info.Mode().Type() == fs.ModeSymlink {
			err = errors.New("it is a symbolic link")
		}
		return err
	}
	if err := a.check(file); err != nil {
		_ = file.Close()
		return err
	}
	a.mu.Lock()
	old := a.file
	a.file, a.torn = file, false
	a.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	return nil
}

// check looks at the file that was opened, before anything is written to it. A
// device, such as /dev/null, may belong to any user.
func (a *auditFile) check(file *os.File) error {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	for _, path := range a.never {
		if other, err := os.Stat(path); err == nil && os.SameFile(info, other) {
			return errors.New("it is a file that the configuration reads")
		}
	}
	switch {
	case !files.OwnedByUs(info):
		return errors.New("it belongs to another user")
	case info.Mode()&0o002 != 0:
		return errors.New("every user may write to it")
	}
	return nil
}

// Write appends whole lines.
func (a *auditFile) Write(lines []byte) (int, error) {
	n, err := a.append(lines)
	if n == 0 && errors.Is(err, os.ErrClosed) {
		return a.append(lines) // reopen closed it just before the write
	}
	return n, err
}

func (a *auditFile) append(lines []byte) (n int, err error) {
	a.mu.Lock()
	file, torn := a.file, a.torn
	a.mu.Unlock()
	if torn {
		if _, err := file.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
	}
	n, err = file.Write(lines)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == file {
		// A full disk takes a part of what it is given.
		a.torn = n > 0 && lines[n-1] != '\n'
	}
	return n, err
}

func (a *auditFile) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.file.Close()
}
