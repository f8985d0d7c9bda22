package secret

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// mount is a directory as the kubelet makes it for a Secret volume:
//
//	id      -> ..data/id
//	secret  -> ..data/secret
//	..data  -> ..2026_01_01_1
type mount struct {
	t      *testing.T
	dir    string
	number int
}

func newMount(t *testing.T, content map[string]string) *mount {
	m := &mount{t: t, dir: t.TempDir()}
	m.swap(content)
	for name := range content {
		wiretest.Must(m.t, os.Symlink(filepath.Join("..data", name), m.path(name)))
	}
	return m
}

func (m *mount) path(name string) string { return filepath.Join(m.dir, name) }

// swap does what the kubelet's AtomicWriter does: a new timestamped directory,
// a link to it under another name, that link renamed over ..data, the old
// directory removed.
func (m *mount) swap(content map[string]string) {
	m.number++
	name := fmt.Sprintf("..2026_01_01_%d", m.number)
	wiretest.Must(m.t, os.Mkdir(m.path(name), 0o755))
	for file, text := range content {
		wiretest.Must(m.t, os.WriteFile(filepath.Join(m.path(name), file), []byte(text), 0o644))
	}
	old, _ := os.Readlink(m.path("..data"))
	wiretest.Must(m.t, os.Symlink(name, m.path("..data_tmp")))
	wiretest.Must(m.t, os.Rename(m.path("..data_tmp"), m.path("..data")))
	if old != "" {
		wiretest.Must(m.t, os.RemoveAll(m.path(old)))
	}
}

// newFile writes a file and opens it.
func newFile(t *testing.T, content string) (path string, f *File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "secret")
	wiretest.Must(t, os.WriteFile(path, []byte(content), 0o600))
	return path, mustOpen(t, path)
}

func mustOpen(t *testing.T, path string) *File {
	t.Helper()
	f, err := OpenFile(path)
	wiretest.Must(t, err)
	return f
}

// follow runs w until the test ends and returns the channel of its reports.
func follow(t *testing.T, w *Watcher) <-chan Reload {
	t.Helper()
	got := make(chan Reload, 1000)
	w.OnReload = func(r Reload) { got <- r }
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return got
}

// await returns the first report that want accepts.
func await(t *testing.T, reports <-chan Reload, what string, want func(Reload) bool) Reload {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case r := <-reports:
			if want(r) {
				return r
			}
		case <-limit:
			t.Fatalf("no report of %s within 10 s", what)
		}
	}
}

func changed(r Reload) bool   { return len(r.Changed) > 0 }
func failed(r Reload) bool    { return len(r.Failed) > 0 }
func recovered(r Reload) bool { return len(r.Recovered) > 0 }

// watched makes a Watcher whose poll cannot be what finds a change.
func watched(files ...*File) *Watcher {
	return &Watcher{Files: files, PollEvery: time.Hour, Settle: 20 * time.Millisecond}
}

// ready waits until the watch stands: a file that is written until its change
// is seen. Events before the watch are covered by the first Check.
func ready(t *testing.T, reports <-chan Reload, path string) {
	t.Helper()
	wiretest.Must(t, os.WriteFile(path, []byte("ready"), 0o600))
	await(t, reports, "the first change", changed)
}
