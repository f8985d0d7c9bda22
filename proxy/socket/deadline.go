package socket

import "time"

// Extend makes sure that a deadline comes no sooner than limit after now, and
// returns the one that is set from then on. set is the connection's method,
// current what it was called with last; the zero time means none.
//
// Setting a deadline costs a lock and a timer, several times per request, so it is
// set rarely: a new one allows a sixteenth more than asked, and is left alone while
// it still gives what is asked. A limit of 60 s fires after 60 to 64 s.
func Extend(current, now time.Time, limit time.Duration, set func(time.Time) error) (time.Time, error) {
	want, slack := now.Add(limit), limit/16
	if !current.Before(want) && !current.After(want.Add(slack)) {
		return current, nil
	}
	want = want.Add(slack)
	return want, set(want)
}
