package logs

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxPendingLog limits what is kept for a slow reader of the log. A line that
	// does not fit is dropped and counted: a request never waits for a log line.
	maxPendingLog = 512 << 10
	// muchLog ends the pause between two writes early.
	muchLog = 64 << 10
	// logPause is the time for which lines are gathered after a write. The first line
	// after a quiet time goes out at once.
	logPause = 50 * time.Millisecond
	// lastFlush bounds the wait for the reader at the end of the process.
	lastFlush = 500 * time.Millisecond
)

// Writer takes lines and writes them from a goroutine of its own. The log has
// one, and the audit file another.
type Writer struct {
	out     io.Writer
	trouble func(error)   // see Start
	wake    chan struct{} // something is pending
	much    chan struct{} // more than muchLog is
	once    sync.Once
	stop    chan struct{} // closed by Close, once
	done    chan struct{}
	dropped atomic.Int64 // lines

	mu      sync.Mutex // guards pending
	pending []byte
}

// Start starts a Writer; Close ends it. trouble is told of the first write that
// fails, and with nil of the next that succeeds. It may be nil, and must not write
// to the Writer.
func Start(out io.Writer, trouble func(error)) *Writer {
	w := &Writer{out: out, trouble: trouble, wake: make(chan struct{}, 1), much: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// Write takes one line. It neither blocks nor fails.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	fits := len(w.pending)+len(line) <= maxPendingLog
	if fits {
		w.pending = append(w.pending, line...)
	}
	much := len(w.pending) > muchLog
	w.mu.Unlock()
	if !fits {
		w.dropped.Add(1)
		return len(line), nil
	}
	notify(w.wake)
	if much {
		notify(w.much)
	}
	return len(line), nil
}

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *Writer) run() {
	defer close(w.done)
	var spare []byte
	reported, failing := int64(0), false
	for stopped := false; !stopped; {
		select {
		case <-w.wake:
		case <-w.stop:
			stopped = true
		}
		w.mu.Lock()
		lines := w.pending
		w.pending = spare[:0]
		w.mu.Unlock()
		if len(lines) > 0 {
			n, err := w.out.Write(lines)
			if err != nil {
				w.dropped.Add(int64(bytes.Count(lines[min(n, len(lines)):], []byte("\n"))))
			}
			if w.trouble != nil && (err != nil) != failing {
				w.trouble(err)
			}
			failing = err != nil
		}
		// Anyone who reads on after a gap must learn of it. A full disk takes no line
		// about the gap either: it is told when the disk takes lines again.
		if now := w.dropped.Load(); now != reported {
			if _, err := fmt.Fprintf(w.out, `{"level":"warn","dropped":%d,"message":"log lines were dropped: they could not be written in time"}`+"\n", now-reported); err == nil {
				reported = now
			}
		}
		if spare = lines; cap(spare) > maxPendingLog/4 {
			spare = nil // after a burst
		}
		select {
		case <-time.After(logPause):
		case <-w.much:
		case <-w.stop:
		}
	}
}

// Dropped is the number of lines that could not be written in time.
func (w *Writer) Dropped() int64 { return w.dropped.Load() }

// Close writes what is pending, if the reader takes it soon enough. A second
// signal may call it while the first one's drain ends.
func (w *Writer) Close() {
	w.once.Do(func() { close(w.stop) })
	select {
	case <-w.done:
	case <-time.After(lastFlush):
	}
}
