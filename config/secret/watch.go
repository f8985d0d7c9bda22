package secret

import (
	"context"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/monite-proxy/monite-proxy/config/watch"
)

// Watcher follows files and reports what became of them. Fill the exported
// fields, then call Run; do not change them afterwards.
type Watcher struct {
	// Files are the files to follow, each once. None: Run only waits.
	Files []*File
	// OnReload is called when reading the files again brought a change, a new failure
	// or a recovery. Calls come in order, one at a time. It must be quick: the next
	// round of reading waits for it. Nil: changes are not reported.
	OnReload func(Reload)
	// PollEvery is the interval at which the files are read again even without an
	// event, for mounts on which inotify stays silent. Default (zero) 30 s.
	PollEvery time.Duration
	// Settle is the quiet time after an event before a directory's files are read, so
	// that no file is read half written. A directory that never rests is read after
	// 20 times this. Default (zero) 50 ms.
	Settle time.Duration

	newNotify func() (*fsnotify.Watcher, error) // tests; nil: fsnotify.NewWatcher

	mu      sync.Mutex       // one round of reading, and its report, at a time
	failing map[*File]string // guarded by mu: the failure that was reported
}

// Reload is the result of reading all files again.
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

// Run follows the files until ctx ends. It returns nil then, and has left no
// goroutine behind.
func (w *Watcher) Run(ctx context.Context) error {
	files := watch.Files{
		Check: func() { w.Check() }, Trouble: w.reportWatch,
		PollEvery: w.PollEvery, Settle: w.Settle, NewNotify: w.newNotify,
	}
	for _, f := range w.Files {
		files.Paths = append(files.Paths, f.path)
	}
	files.Run(ctx)
	return nil
}

// Check reads all files again now, and reports whether one has a new value.
// It may be called at any time and from any goroutine, but not by OnReload.
func (w *Watcher) Check() (changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	report := w.reload()
	if len(report.Changed)+len(report.Recovered)+len(report.Failed) > 0 {
		w.tell(report)
	}
	return len(report.Changed) > 0
}

func (w *Watcher) reportWatch(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(Reload{WatchFailed: err})
}

func (w *Watcher) tell(report Reload) {
	if w.OnReload != nil {
		w.OnReload(report)
	}
}
