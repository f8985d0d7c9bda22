package watch

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestReadWaitsUntilTheDirectoryIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSettle(50 * time.Millisecond)
		for range 10 {
			s.restart()
			select {
			case <-s.timer.C:
				t.Fatal("read while events came every 40 ms")
			case <-time.After(40 * time.Millisecond):
			}
		}
		last := time.Now()
		<-s.timer.C
		if waited := time.Since(last); waited != 10*time.Millisecond {
			t.Errorf("read %v after the last event, want 50ms", waited+40*time.Millisecond)
		}
	})
}

func TestBusyDirectoryIsReadNevertheless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := newSettle(50 * time.Millisecond)
		for range 1000 {
			s.restart()
			select {
			case <-s.timer.C:
				if waited := time.Since(start); waited != time.Second {
					t.Errorf("first read after %v, want 1s", waited)
				}
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		t.Error("events every 10 ms put the read off for ever")
	})
}
