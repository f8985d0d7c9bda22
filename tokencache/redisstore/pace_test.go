package redisstore

import (
	"testing"
	"time"
)

func TestRequestsOfAllReplicasArePaced(t *testing.T) {
	socket := realServer(t)
	one, other := storeOn(t, "unix:"+socket).Pace(20), storeOn(t, "unix:"+socket).Pace(20)
	if storeOn(t, "unix:"+socket).Pace(0) != nil {
		t.Error("no limit asks")
	}
	refused := 0
	var last time.Duration
	for i := range 60 {
		wait, err := []func() (time.Duration, error){
			func() (time.Duration, error) { return one(t.Context()) }, func() (time.Duration, error) { return other(t.Context()) },
		}[i%2]()
		if err != nil {
			t.Skipf("the machine is too slow for 10 ms: %v", err)
		}
		if wait > time.Second {
			refused++
			continue
		}
		if wait < last-50*ms {
			t.Errorf("turn %d comes in %v, the one before it in %v", i, wait, last)
		}
		last = wait
	}
	// Three at once, then one in 50 ms for a second.
	if refused < 30 || refused > 38 {
		t.Errorf("%d of 60 come after more than a second, want some 37", refused)
	}
	on := direct(t, socket)
	keys := do(t, on, "KEYS", "*:r").([]any)
	do(t, on, "SET", keys[0], "nan")
	if wait, err := one(t.Context()); err == nil && wait != 0 {
		t.Errorf("after nonsense: %v", wait)
	}
}
