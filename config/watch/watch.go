// Package watch tells when files may have changed.
//
// It watches the directories and not the files: Kubernetes changes a mounted Secret
// or ConfigMap by renaming the symbolic link "..data" beside them, and most editors
// rename a new file over the old one. Both leave a watch on the file itself with an
// inode that no longer changes.
package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Files are files to follow. Fill the fields, then call Run.
type Files struct {
	// Paths are the absolute paths of the files.
	Paths []string
	// Check looks at all of them again: at the start, after events, with every
	// poll. It decides what has changed.
	Check func()
	// Trouble is told when a directory cannot be watched (the limits of inotify, a
	// directory that is gone), so that only the poll is left: of each kind of trouble
	// once, not with every poll.
	Trouble func(error)
	// PollEvery is the interval at which Check is called even without an event, for
	// mounts on which inotify stays silent. Default (zero) 30 s.
	PollEvery time.Duration
	// Settle is the quiet time after an event before Check is called, so that no file
	// is read half written. A directory that never rests is checked after 20 times
	// this. Default (zero) 50 ms.
	Settle time.Duration
	// NewNotify makes the watcher; nil: fsnotify.NewWatcher.
	NewNotify func() (*fsnotify.Watcher, error)

	told string // of the trouble; empty: there is none
}

// Run follows the files until ctx ends, and has left no goroutine behind then.
func (w *Files) Run(ctx context.Context) {
	var events <-chan fsnotify.Event
	var troubles <-chan error
	newNotify := w.NewNotify
	if newNotify == nil {
		newNotify = fsnotify.NewWatcher
	}
	notify, err := newNotify()
	if err != nil {
		w.tell(err)
	} else {
		defer closeNotify(notify)
		events, troubles = notify.Events, notify.Errors
	}
	w.watchDirectories(notify)
	// What changed before the watch made no event.
	w.Check()

	poll := time.NewTicker(cmp.Or(w.PollEvery, 30*time.Second))
	defer poll.Stop()
	settle := newSettle(cmp.Or(w.Settle, 50*time.Millisecond))
	defer settle.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
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

// closeNotify returns when fsnotify's goroutine has ended: it closes Events last.
func closeNotify(notify *fsnotify.Watcher) {
	_ = notify.Close()
	for range notify.Events {
	}
}

// watchDirectories is repeated with every poll. Adding a directory that is
// watched already changes nothing.
func (w *Files) watchDirectories(notify *fsnotify.Watcher) {
	if notify == nil {
		return
	}
	var directories []string
	for _, path := range w.Paths {
		directories = append(directories, filepath.Dir(path))
	}
	slices.Sort(directories)
	var failed error
	for _, directory := range slices.Compact(directories) {
		if err := notify.Add(directory); err != nil && failed == nil {
			if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
				err = pathErr.Err
			}
			failed = fmt.Errorf("watch directory %s: %w", directory, err)
		}
	}
	w.tell(failed)
}

func (w *Files) tell(trouble error) {
	text := ""
	if trouble != nil {
		text = trouble.Error()
	}
	if text != w.told && trouble != nil {
		w.Trouble(trouble)
	}
	w.told = text
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
