package strict

import (
	"fmt"
	"os"
	"time"
)

const (
	// A body holds a place that others wait for. It may have us wait for bodyGrace,
	// the usual limit of a pause, and beyond that a second for each leastRate bytes.
	bodyGrace = 60 * time.Second
	leastRate = 100
)

// errTooSlow is a timeout for callers that check.
var errTooSlow = fmt.Errorf("strict: the body comes too slowly: %w", os.ErrDeadlineExceeded)

// pace watches how fast a body comes.
type pace struct {
	waited time.Duration
	bytes  int64
}

// behind is how much longer the body has been waited for than its bytes are worth.
func (p *pace) behind() time.Duration {
	return max(0, p.waited-time.Duration(p.bytes)*time.Second/leastRate)
}

// took is told of a read from the app. It reports whether the body is fast enough.
func (p *pace) took(waited time.Duration, n int) bool {
	p.waited += waited
	p.bytes += int64(n)
	return p.waited <= bodyGrace+time.Duration(p.bytes/leastRate)*time.Second
}
