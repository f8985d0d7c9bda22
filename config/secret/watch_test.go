package secret

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKubernetesSwapIsSeenAsOneChange(t *testing.T) {
	m := newMount(t, map[string]string{"id": "id-1\n", "secret": "secret-1\n"})
	id, sec := mustOpen(t, m.path("id")), mustOpen(t, m.path("secret"))
	reports := follow(t, watched(id, sec))
	for round := 2; round < 6; round++ {
		m.swap(map[string]string{"id": fmt.Sprintf("id-%d\n", round), "secret": fmt.Sprintf("secret-%d\n", round)})
		r := await(t, reports, "the swap", changed)
		if len(r.Changed) != 2 {
			t.Errorf("round %d: %d files changed in one report, want 2", round, len(r.Changed))
		}
		gotID, gotSecret := Together(id, sec)
		if gotID.Reveal() != fmt.Sprintf("id-%d", round) || gotSecret.Reveal() != fmt.Sprintf("secret-%d", round) {
			t.Errorf("round %d: Together() = %s, %s", round, gotID.Reveal(), gotSecret.Reveal())
		}
	}
}

func TestTogetherNeverMixesTwoVersions(t *testing.T) {
	m := newMount(t, map[string]string{"id": "v0", "secret": "v0"})
	id, sec := mustOpen(t, m.path("id")), mustOpen(t, m.path("secret"))
	// Many files between the two, so that taking the new values takes a while.
	files := []*File{id}
	for range 50 {
		files = append(files, mustOpen(t, m.path("id")))
	}
	w := watched(append(files, sec)...)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if a, b := Together(id, sec); !a.Equal(b) {
					t.Errorf("Together() = %s, %s: two versions", a.Reveal(), b.Reveal())
					return
				}
			}
		})
	}
	// Checks run while the directory is swapped under them.
	var writer sync.WaitGroup
	writer.Go(func() {
		for round := range 100 {
			v := fmt.Sprintf("v%d", round)
			m.swap(map[string]string{"id": v, "secret": v})
		}
	})
	for range 100 {
		w.Check()
	}
	writer.Wait()
	close(stop)
	readers.Wait()
}

func TestPartialWriteIsReadWhenItHasSettled(t *testing.T) {
	path, f := newFile(t, "old")
	w := watched(f)
	w.Settle = 200 * time.Millisecond // the writes below leave no such pause
	reports := follow(t, w)
	ready(t, reports, path)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	wiretest.Must(t, err)
	want := strings.Repeat("new-", 500)
	for i := range want {
		if _, err := file.WriteString(want[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	wiretest.Must(t, file.Close())
	r := await(t, reports, "the write", func(Reload) bool { return true })
	if got := f.Current().Len(); !changed(r) || failed(r) || got != len(want) {
		t.Errorf("first report %+v, %d bytes, want all %d at once", r, got, len(want))
	}
}

func TestDeletedFileKeepsServingAndRecovers(t *testing.T) {
	path, f := newFile(t, "old")
	reports := follow(t, watched(f))
	ready(t, reports, path)
	wiretest.Must(t, os.Remove(path))
	r := await(t, reports, "the deletion", failed)
	if !errors.Is(r.Failed[0], os.ErrNotExist) || !strings.Contains(r.Failed[0].Error(), path) {
		t.Errorf("Failed = %v, want the path and that it does not exist", r.Failed)
	}
	if got := f.Current().Reveal(); got != "ready" {
		t.Errorf("Current() while deleted = %q, want the old value", got)
	}
	wiretest.Must(t, os.WriteFile(path, []byte("ready"), 0o600))
	r = await(t, reports, "the return", recovered)
	if changed(r) {
		t.Errorf("the same value returned, but the report says changed")
	}
}

func TestEditorRenameIsSeen(t *testing.T) {
	path, f := newFile(t, "old")
	reports := follow(t, watched(f))
	ready(t, reports, path)
	// Twice: the second is lost by whoever watches the file's first inode.
	for _, value := range []string{"one", "two"} {
		wiretest.Must(t, os.WriteFile(path+"~", []byte(value), 0o600))
		wiretest.Must(t, os.Rename(path+"~", path))
		await(t, reports, "the rename", changed)
		if got := f.Current().Reveal(); got != value {
			t.Errorf("Current() = %q, want %q", got, value)
		}
	}
}

func TestRemovedDirectoryIsFollowedAgainByThePoll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mount")
	path := filepath.Join(dir, "secret")
	writeAll := func(value string) {
		t.Helper()
		wiretest.Must(t, os.MkdirAll(dir, 0o700))
		wiretest.Must(t, os.WriteFile(path, []byte(value), 0o600))
	}
	writeAll("old")
	f := mustOpen(t, path)
	w := &Watcher{Files: []*File{f}, PollEvery: 20 * time.Millisecond, Settle: 5 * time.Millisecond}
	reports := follow(t, w)
	ready(t, reports, path)
	wiretest.Must(t, os.RemoveAll(dir))
	await(t, reports, "the missing directory", func(r Reload) bool { return r.WatchFailed != nil })
	writeAll("new")
	await(t, reports, "the new directory", changed)
	if got := f.Current().Reveal(); got != "new" {
		t.Errorf("Current() = %q, want new", got)
	}
}
