package strict

import (
	"sync"
	"time"
)

// deadline is one direction's. To move it costs a lock and a timer, several
// times per request, so it is moved seldom: one that is set allows a sixteenth
// more than asked, and is left alone while it still gives what is asked. A
// limit of 60 s fires after 60 to 64 s.
type deadline struct {
	set func(time.Time) error

	mu  sync.Mutex // guards now
	now time.Time  // what is set; zero: none
}

// allow makes the deadline come not before limit from now, and not much later.
func (d *deadline) allow(limit time.Duration) error {
	want, slack := time.Now().Add(limit), limit/16
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.now.Before(want) && !d.now.After(want.Add(slack)) {
		return nil
	}
	d.now = want.Add(slack)
	return d.set(d.now)
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
