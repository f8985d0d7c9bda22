package secret

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/monite-proxy/monite-proxy/internal/files"
)

// maxFile limits how much of a file is read, in bytes. A larger one cannot hold a
// secret.
const maxFile = 64 << 10

// FileError says why a file gave no secret. It never holds content.
type FileError struct {
	Path string
	Err  error // a fixed text, or the system's errno
}

func (e *FileError) Error() string { return fmt.Sprintf("secret file %s: %v", e.Path, e.Err) }

// Unwrap makes errors.Is(err, fs.ErrNotExist) work.
func (e *FileError) Unwrap() error { return e.Err }

// File is a secret that lives in a file and may change there. Once opened it
// always has a value: a file that goes away or goes bad keeps the last good
// one. Its methods may be called from any goroutine.
type File struct {
	path    string
	current atomic.Pointer[String]
	turn    sync.Mutex // one Reload at a time, so that a slow read cannot put an older value back
}

// swap is held for writing while files that changed together take their new
// values, and for reading by Together. One lock for all files: it is held for
// a few stores, a few times a day.
var swap sync.RWMutex

// OpenFile reads the secret in the file at path. One trailing line break is
// not part of it. The error is a *FileError.
func OpenFile(path string) (*File, error) {
	// A later change of the working directory must not lead elsewhere.
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, &FileError{Path: path, Err: errors.New("the working directory is gone")}
	}
	f := &File{path: absolute}
	value, err := f.read()
	if err != nil {
		return nil, err
	}
	f.current.Store(&value)
	return f, nil
}

// Path returns the absolute path of the file.
func (f *File) Path() string { return f.path }

// Current returns the last good value. It is one atomic load.
func (f *File) Current() String { return *f.current.Load() }

// Reload reads the file again and reports whether the value is another one.
// When the file has no good value the last one stays, and the error, a
// *FileError, says why.
func (f *File) Reload() (changed bool, err error) {
	f.turn.Lock()
	defer f.turn.Unlock()
	value, err := f.read()
	if err != nil {
		return false, err
	}
	swap.Lock()
	defer swap.Unlock()
	return f.take(value), nil
}

// Together returns the values of two files as of one moment: never the old
// value of one and the new value of the other, when a Watcher reloaded both.
func Together(a, b *File) (String, String) {
	swap.RLock()
	defer swap.RUnlock()
	return a.Current(), b.Current()
}

// take makes value the current one. The caller holds swap and f.turn.
func (f *File) take(value String) (changed bool) {
	if f.Current().Equal(value) {
		return false
	}
	f.current.Store(&value)
	return true
}

func (f *File) read() (String, error) {
	content, err := files.Read(f.path, maxFile)
	if err != nil {
		return String{}, &FileError{Path: f.path, Err: err}
	}
	text := trimLineBreak(string(content))
	if err := checkText(text); err != nil {
		return String{}, &FileError{Path: f.path, Err: err}
	}
	return New(text), nil
}

// trimLineBreak takes exactly one line break off the end: editors and echo add one.
// More than one is a mistake, which checkText reports.
func trimLineBreak(text string) string {
	text, found := strings.CutSuffix(text, "\n")
	if found {
		text = strings.TrimSuffix(text, "\r")
	}
	return text
}
