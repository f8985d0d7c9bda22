package proxy

import (
	"strconv"
	"time"
)

// appendMilliseconds writes d in milliseconds, to the microsecond and without
// zeros at the end: 12, 1.5, 0.042. Negative ones do not occur. A request has
// six; strconv.AppendFloat takes four times as long (BenchmarkMilliseconds).
func appendMilliseconds(b []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	b = strconv.AppendInt(b, us/1000, 10)
	rest := us % 1000
	if rest == 0 {
		return b
	}
	b = append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}
