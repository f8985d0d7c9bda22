package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Read returns the content of a regular file of at most limit bytes, a multiple of
// 1024. It never blocks on what is not a regular file. The error is the system's
// errno or a fixed text, and never holds the path: whether to name that, or only
// the variable it came from, is for the caller to decide.
func Read(path string, limit int64) ([]byte, error) {
	// O_NONBLOCK: opening a named pipe would otherwise wait for a writer, and with
	// it the start of the process. It means nothing for a regular file.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, withoutPath(err)
	case info.IsDir():
		return nil, errors.New("it is a directory")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return nil, withoutPath(err)
	case int64(len(content)) > limit:
		return nil, errors.New("it is larger than " + size(limit))
	}
	return content, nil
}

func withoutPath(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return errors.New("it cannot be read")
}

func size(bytes int64) string {
	if bytes%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}
