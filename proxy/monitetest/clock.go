package monitetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// clock is the simulator's own time: real time and what it was moved by.
type clock struct {
	real   func() time.Time
	offset atomic.Int64 // nanoseconds
	moving sync.Mutex   // one move at a time
}

func (c *clock) now() time.Time { return c.real().Add(time.Duration(c.offset.Load())) }

func (c *clock) set(offset time.Duration) { c.offset.Store(int64(offset)) }

func (s *Simulator) now() time.Time { return s.clock.now() }

// Now is the simulator's time.
func (s *Simulator) Now() time.Time { return s.now() }

// Advance moves the simulator's clock forward and does what is then due:
// tokens end, recognitions finish, invoices fall due, reminders go out. Below
// zero it does nothing.
func (s *Simulator) Advance(by time.Duration) { _ = s.SetClock(s.now().Add(by)) }

// SetClock moves the clock to a time. It cannot go back: what has happened
// would not be undone. Its last day is the last of 2199.
//
// The clock stops wherever something happens by itself, and what happens carries
// that time: an invoice that a recurrence issues on the way is due 30 days after its
// own day, and may be overdue in the end.
func (s *Simulator) SetClock(to time.Time) error {
	s.clock.moving.Lock()
	defer s.clock.moving.Unlock()
	switch {
	case to.Before(s.now()):
		return errors.New("the clock cannot go back; POST /_sim/reset begins again")
	case to.Year() > lastYear:
		return fmt.Errorf("the clock ends with the year %d", lastYear)
	}
	s.api.Catch()
	for next := s.api.Next(); next.Before(to); next = s.api.Next() {
		s.moveTo(next)
	}
	s.moveTo(to)
	return nil
}

// lastYear keeps the clock's offset within a time.Duration.
const lastYear = 2199

func (s *Simulator) moveTo(to time.Time) {
	s.clock.offset.Add(int64(max(0, to.Sub(s.now()))))
	s.api.Catch()
}
