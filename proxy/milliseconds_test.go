package proxy

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

func TestMillisecondsAreThoseOfAFloat(t *testing.T) {
	check := func(d time.Duration) {
		t.Helper()
		got := string(appendMilliseconds(nil, d))
		if want := strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', -1, 64); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for _, d := range []time.Duration{0, 1, time.Microsecond, 10 * time.Microsecond, 999 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, 12 * time.Second, 24 * time.Hour} {
		check(d)
	}
	for range 10000 {
		check(time.Duration(rand.Int64N(int64(time.Minute))))
	}
	if got := string(appendMilliseconds(nil, -time.Second)); got != "0" {
		t.Errorf("a negative one: %q", got)
	}
}

func BenchmarkMilliseconds(b *testing.B) {
	var room [24]byte
	b.ReportAllocs()
	for b.Loop() {
		appendMilliseconds(room[:0], 12345*time.Microsecond)
	}
}
