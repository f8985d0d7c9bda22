package logs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader is the other end of the log: it can stand still, and go away.
type reader struct {
	mu    sync.Mutex
	text  bytes.Buffer
	gate  chan struct{} // nil: takes everything at once
	gone  bool
	calls int
}

func (r *reader) Write(p []byte) (int, error) {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.gone {
		return 0, errors.New("broken pipe")
	}
	return r.text.Write(p)
}

func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func TestFirstLineAfterQuietGoesOutAtOnceAndTheRestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		w := Start(r, nil)
		_, _ = w.Write([]byte("first\n"))
		synctest.Wait()
		if got := r.String(); got != "first\n" {
			t.Errorf("log = %q before any time has passed", got)
		}
		for range 100 {
			_, _ = w.Write([]byte("more\n"))
		}
		time.Sleep(2 * logPause)
		if got := strings.Count(r.String(), "more\n"); got != 100 || r.calls != 2 {
			t.Errorf("lines = %d in %d writes, want 100 in 2", got, r.calls)
		}
		w.Close()
	})
}

func TestLogReaderThatStandsStillBlocksNobodyAndDropsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		w := Start(r, nil)
		line := []byte(strings.Repeat("x", 1023) + "\n")
		begin := time.Now()
		for range 3 * maxPendingLog / len(line) {
			_, _ = w.Write(line)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("writing lines took %v of a blocked reader's time", took)
		}
		dropped := w.Dropped()
		if dropped < int64(maxPendingLog/len(line)) {
			t.Errorf("dropped = %d lines, want most of two thirds", dropped)
		}
		close(r.gate)
		time.Sleep(time.Second)
		written := int64(strings.Count(r.String(), "x\n"))
		if total := written + dropped; total != int64(3*maxPendingLog/len(line)) {
			t.Errorf("written %d + dropped %d = %d lines, want all accounted for", written, dropped, total)
		}
		if !strings.Contains(r.String(), `"message":"log lines were dropped`) {
			t.Error("the log does not say that lines are missing")
		}
		w.Close()
	})
}

func TestPendingLinesAreWrittenAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		w := Start(r, nil)
		_, _ = w.Write([]byte("one\n"))
		synctest.Wait()
		_, _ = w.Write([]byte("last\n"))
		w.Close()
		if got := r.String(); got != "one\nlast\n" {
			t.Errorf("log = %q", got)
		}
	})
}

func TestEndDoesNotWaitForALogReaderThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gate: make(chan struct{})}
		w := Start(r, nil)
		_, _ = w.Write([]byte("line\n"))
		begin := time.Now()
		w.Close()
		if took := time.Since(begin); took != lastFlush {
			t.Errorf("close took %v, want %v", took, lastFlush)
		}
		close(r.gate)
	})
}

func TestLinesForALogReaderThatIsGoneAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{gone: true}
		w := Start(r, nil)
		_, _ = w.Write([]byte("one\n"))
		_, _ = w.Write([]byte("two\n"))
		time.Sleep(time.Second)
		if got := w.Dropped(); got != 2 {
			t.Errorf("dropped = %d, want 2", got)
		}
		w.Close()
	})
}

// What a full disk does not take is said where it is missing, once there is room.
func TestGapIsToldWhenTheReaderIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		r.setGone(true)
		var told []string
		w := Start(r, func(err error) { told = append(told, fmt.Sprint(err)) })
		for range 3 {
			_, _ = w.Write([]byte("lost\n"))
			time.Sleep(time.Second)
		}
		r.setGone(false)
		for range 2 {
			_, _ = w.Write([]byte("kept\n"))
			time.Sleep(time.Second)
		}
		w.Close()
		if got := r.String(); strings.Count(got, "kept") != 2 || strings.Count(got, `"dropped":3,`) != 1 {
			t.Errorf("the reader got %q", got)
		}
		if got := strings.Join(told, ", "); got != "broken pipe, <nil>" {
			t.Errorf("trouble = %q, want one failure and one end of it", got)
		}
	})
}

func (r *reader) setGone(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = gone
}
