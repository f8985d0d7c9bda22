package main

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsGivenBackInAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		p := pauses{collect: func() { at = append(at, time.Since(began)) }}
		traffic := func(requests int) {
			for range requests {
				time.Sleep(10 * time.Millisecond)
				p.seen(time.Now())
			}
		}
		traffic(10 * worthCollecting) // ten seconds without a pause
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(at) != 1 || at[0] != 10*worthCollecting*10*time.Millisecond+trafficPause {
			t.Errorf("given back after %v, want once, %v after the last request", at, trafficPause)
		}
		traffic(worthCollecting - 1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(at) != 1 {
			t.Errorf("given back %d times, the second time for a few requests", len(at))
		}
		traffic(1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(at) != 2 {
			t.Errorf("given back %d times, want twice", len(at))
		}
	})
}
