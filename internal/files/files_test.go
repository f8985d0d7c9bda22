package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyRegularFilesWithinTheLimitAreRead(t *testing.T) {
	directory := t.TempDir()
	path := func(name string, bytes int) string {
		at := filepath.Join(directory, name)
		if err := os.WriteFile(at, make([]byte, bytes), 0o600); err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, tc := range []struct {
		path string
		want string
	}{
		{path("empty", 0), ""},
		{path("full", 64<<10), ""},
		{path("above", 64<<10+1), "it is larger than 64 KiB"},
		{directory, "it is a directory"},
		{os.DevNull, "it is not a regular file"},
	} {
		content, err := Read(tc.path, 64<<10)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tc.want || err != nil && content != nil {
			t.Errorf("Read(%s) = %d bytes, %q, want %q", filepath.Base(tc.path), len(content), got, tc.want)
		}
	}
	if _, err := Read(path("large", 1<<20+1), 1<<20); err == nil || err.Error() != "it is larger than 1 MiB" {
		t.Errorf("err = %v", err)
	}
}

func TestErrorsHaveTheErrnoAndNotThePath(t *testing.T) {
	_, err := Read(filepath.Join(t.TempDir(), "missing"), 1024)
	if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "missing") {
		t.Errorf("err = %v", err)
	}
}
