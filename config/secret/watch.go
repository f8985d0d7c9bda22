package secret

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watcher follows files and reports what became of them. Fill the exported
// fields, then call Run; do not change them afterwards.
//
// It watches the directories and not the files: Kubernetes changes a mounted
// Secret by renaming the symbolic link "..data" beside them, and most editors
// rename a new file over the old one. Both leave a watch on the file itself
// with an inode that nobody writes any more.
type Watcher struct {
	// Files are the files to follow, each once. None: Run only waits.
	Files []*File
	// OnReload is told what a re-read brought, if it brought something: a
	// change, a new failure, a recovery. Calls come in order, one at a time.
	// Nil: nobody is told.
	OnReload func(Reload)
	// PollEvery is how often the files are read again although nothing was
	// seen, for mounts on which inotify stays silent. Default (zero) 30 s.
	PollEvery time.Duration
	// Settle is how long a directory must be quiet after an event before its
	// files are read, so that a file is not read half written. A directory
	// that never rests is read after 20 times this. Default (zero) 50 ms.
	Settle time.Duration

	newNotify func() (*fsnotify.Watcher, error) // tests; nil: fsnotify.NewWatcher

	reading sync.Mutex // one round of reading at a time
	reports reports

	failing   map[*File]string // guarded by reading: the failure that was reported
	watchFail string           // guarded by reading: likewise, of the watch
}

// Reload is what one re-read of all files brought.
type Reload struct {
	// Changed are the files that have a new value.
	Changed []*File
	// Recovered are the files that had failed and are good again, changed or not.
	Recovered []*File
	// Failed holds a *FileError for each file that has begun to fail, or fails
	// in another way than before. Its last good value stays in use.
	Failed []error
	// WatchFailed says that a directory cannot be watched (the limits of
	// inotify, a directory that is gone), so that only the poll is left.
	WatchFailed error
}

func (r Reload) empty() bool {
	return len(r.Changed) == 0 && len(r.Recovered) == 0 && len(r.Failed) == 0 && r.WatchFailed == nil
}

// Run follows the files until ctx ends. It returns nil then, and has left no
// goroutine behind.
func (w *Watcher) Run(ctx context.Context) error {
	var events <-chan fsnotify.Event
	var troubles <-chan error
	notify, err := w.openNotify()
	if err != nil {
		w.reportWatch(fmt.Errorf("watch secret files: %w", err))
	} else {
		defer closeNotify(notify)
		events, troubles = notify.Events, notify.Errors
	}
	w.watchDirectories(notify)
	// What changed between OpenFile and the watch made no event.
	w.Check()

	poll := time.NewTicker(orDefault(w.PollEvery, 30*time.Second))
	defer poll.Stop()
	settle := newSettle(orDefault(w.Settle, 50*time.Millisecond))
	defer settle.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-events:
			if !open {
				events = nil
				continue
			}
			settle.restart()
		case _, open := <-troubles:
			if !open {
				troubles = nil
				continue
			}
			// Most likely an overflow: events are lost, so look.
			settle.restart()
		case <-settle.timer.C:
			settle.done()
			w.Check()
		case <-poll.C:
			// A directory that was removed and made again has lost its watch.
			w.watchDirectories(notify)
			w.Check()
		}
	}
}

// Check reads all files again now, and reports whether one has a new value.
// It may be called at any time and from any goroutine, OnReload included.
func (w *Watcher) Check() (changed bool) {
	w.reading.Lock()
	report := w.reload()
	w.reports.add(report)
	w.reading.Unlock()
	w.reports.deliver(w.OnReload)
	return len(report.Changed) > 0
}

func (w *Watcher) openNotify() (*fsnotify.Watcher, error) {
	if w.newNotify != nil {
		return w.newNotify()
	}
	return fsnotify.NewWatcher()
}

// closeNotify returns when fsnotify's goroutine has ended: it closes Events last.
func closeNotify(notify *fsnotify.Watcher) {
	_ = notify.Close()
	for range notify.Events {
	}
}

// watchDirectories is repeated with every poll. Adding a directory that is
// watched already changes nothing.
func (w *Watcher) watchDirectories(notify *fsnotify.Watcher) {
	if notify == nil {
		return
	}
	var directories []string
	for _, f := range w.Files {
		directories = append(directories, filepath.Dir(f.path))
	}
	slices.Sort(directories)
	var failed error
	for _, directory := range slices.Compact(directories) {
		if err := notify.Add(directory); err != nil && failed == nil {
			failed = fmt.Errorf("watch directory %s: %w", directory, withoutPath(err))
		}
	}
	w.reportWatch(failed)
}

// reportWatch tells of each kind of trouble once, not with every poll.
func (w *Watcher) reportWatch(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	w.reading.Lock()
	if text != w.watchFail {
		w.watchFail = text
		w.reports.add(Reload{WatchFailed: err})
	}
	w.reading.Unlock()
	w.reports.deliver(w.OnReload)
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}

// settleTimer fires when events have paused.
type settleTimer struct {
	timer *time.Timer
	quiet time.Duration
	since time.Time // of the first event that was not acted on; zero: none
}

func newSettle(quiet time.Duration) *settleTimer {
	timer := time.NewTimer(quiet)
	timer.Stop()
	return &settleTimer{timer: timer, quiet: quiet}
}

func (s *settleTimer) restart() {
	now := time.Now()
	if s.since.IsZero() {
		s.since = now
	}
	s.timer.Reset(min(s.quiet, max(0, s.since.Add(20*s.quiet).Sub(now))))
}

func (s *settleTimer) done() { s.since = time.Time{} }
