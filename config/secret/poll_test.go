package secret

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// Below, time is the bubble's: without fsnotify the Watcher
// uses nothing but a timer.
func noNotify() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }

func TestPollAloneWorksWhenNotifyCannotStart(t *testing.T) {
	path, f := newFile(t, "old")
	synctest.Test(t, func(t *testing.T) {
		var got []Reload
		w := &Watcher{Files: []*File{f}, OnReload: func(r Reload) { got = append(got, r) }, newNotify: noNotify}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = w.Run(ctx) })
		defer func() { cancel(); running.Wait() }()
		synctest.Wait()
		if len(got) != 1 || got[0].WatchFailed == nil {
			t.Fatalf("reports = %+v, want one that says that nothing is watched", got)
		}
		wiretest.Must(t, os.WriteFile(path, []byte("new"), 0o600))
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if f.Current().Reveal() != "old" {
			t.Errorf("the value changed before the poll")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if f.Current().Reveal() != "new" || len(got) != 2 || !changed(got[1]) {
			t.Errorf("after 31 s: value %s, reports %+v, want the change", f.Current().Reveal(), got)
		}
	})
}

func TestLastingFailureIsReportedOnce(t *testing.T) {
	path, f := newFile(t, "old")
	wiretest.Must(t, os.WriteFile(path, nil, 0o600))
	synctest.Test(t, func(t *testing.T) {
		failures := 0
		w := &Watcher{Files: []*File{f}, OnReload: func(r Reload) { failures += len(r.Failed) }, newNotify: noNotify}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := w.Run(ctx); err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
		if failures != 1 {
			t.Errorf("%d reports of one lasting failure, want 1", failures)
		}
	})
}

func TestCheckReadsAtOnceAndWithoutRun(t *testing.T) {
	path, f := newFile(t, "old")
	reports := 0
	w := &Watcher{Files: []*File{f}, OnReload: func(Reload) { reports++ }}
	if w.Check() || reports != 0 {
		t.Errorf("Check() of an unchanged file: %d reports, want false and none", reports)
	}
	wiretest.Must(t, os.WriteFile(path, []byte("new"), 0o600))
	if !w.Check() || reports != 1 || f.Current().Reveal() != "new" {
		t.Errorf("Check() after a change: %d reports, value %s, want true, 1, new", reports, f.Current().Reveal())
	}
}

func TestReportsComeOneAtATimeFromManyChecks(t *testing.T) {
	path, f := newFile(t, "v")
	var inside, reports int // not guarded: the race detector is part of the test
	w := &Watcher{Files: []*File{f}, OnReload: func(Reload) {
		inside++
		if inside != 1 {
			t.Errorf("%d callbacks at once", inside)
		}
		runtime.Gosched()
		reports++
		inside--
	}}
	var checks sync.WaitGroup
	for i := range 8 {
		checks.Go(func() {
			for j := range 20 {
				_ = os.WriteFile(path, fmt.Appendf(nil, "v%d-%d", i, j), 0o600)
				w.Check()
			}
		})
	}
	checks.Wait()
	if reports == 0 {
		t.Error("no report was given")
	}
}
