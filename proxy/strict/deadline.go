package strict

import (
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// deadline is that of one direction, moved rarely (socket.Extend).
type deadline struct {
	set func(time.Time) error

	mu  sync.Mutex // guards now
	now time.Time  // what is set; zero: none
}

// allow makes the deadline come not before limit from now, and not much later.
func (d *deadline) allow(limit time.Duration) error { return d.allowFrom(time.Now(), limit) }

func (d *deadline) allowFrom(now time.Time, limit time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	d.now, err = socket.Extend(d.now, now, limit, d.set)
	return err
}

// at sets it exactly; zero: none.
func (d *deadline) at(when time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = when
	return d.set(when)
}

// asked is for a handler, which names a time.
func (d *deadline) asked(when time.Time) error {
	now := time.Now()
	if limit := when.Sub(now); !when.IsZero() && limit > 0 {
		return d.allowFrom(now, limit)
	}
	return d.at(when)
}
