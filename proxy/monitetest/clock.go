package monitetest

import (
	"errors"
	"sync/atomic"
	"time"
)

// clock is the simulator's own time: real time and what it was moved by.
type clock struct {
	real   func() time.Time
	offset atomic.Int64 // nanoseconds
}

func (c *clock) now() time.Time { return c.real().Add(time.Duration(c.offset.Load())) }

func (c *clock) set(offset time.Duration) { c.offset.Store(int64(offset)) }

func (s *Simulator) now() time.Time { return s.clock.now() }

// Now is the simulator's time.
func (s *Simulator) Now() time.Time { return s.now() }

// Advance moves the simulator's clock forward and does what is then due:
// tokens end, recognitions finish, invoices fall due, reminders go out.
func (s *Simulator) Advance(by time.Duration) {
	s.clock.offset.Add(int64(by))
	s.api.Catch()
}

// SetClock moves the clock to a time. It cannot go back: what has happened
// would not be undone.
func (s *Simulator) SetClock(to time.Time) error {
	by := to.Sub(s.now())
	if by < 0 {
		return errors.New("the clock cannot go back; POST /_sim/reset begins again")
	}
	s.Advance(by)
	return nil
}
