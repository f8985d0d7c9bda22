package strict

import (
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// deadline is one direction's, moved seldom (socket.Extend).
type deadline struct {
	set func(time.Time) error

	mu  sync.Mutex // guards now
	now time.Time  // what is set; zero: none
}

// allow makes the deadline come not before limit from now, and not much later.
func (d *deadline) allow(limit time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	d.now, err = socket.Extend(d.now, time.Now(), limit, d.set)
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
	if limit := time.Until(when); !when.IsZero() && limit > 0 {
		return d.allow(limit)
	}
	return d.at(when)
}
