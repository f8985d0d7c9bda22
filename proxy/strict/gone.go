package strict

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"time"
)

// parked is the time for which a request runs before its app is watched. Most are
// over by then, and never pay for it.
const parked = 100 * time.Millisecond

// gone watches for the end of a connection whose request is under way and has
// been read whole: by a read that is to find nothing. What it finds instead, a
// request sent ahead, stays in the buffer, and the watch is over.
type gone struct {
	c     *conn
	timer *time.Timer
	done  sync.Cond // reading became false

	mu      sync.Mutex // guards all below
	ahead   bool       // the next request was sent before this one had its response
	wanted  bool
	reading bool
	aborted bool // by rest: its deadline does not count as an end
	broken  bool // an end was found
	reset   bool // it did not end properly
}

func (g *gone) init(c *conn) {
	g.c = c
	g.done.L = &g.mu
}

// watch begins, after a while. It is called once per request, when the buffer is no
// longer in use.
func (g *gone) watch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wanted = true
	g.ahead = len(bytes.TrimLeft(g.c.buf[g.c.r:g.c.w], "\r\n")) > 0 // an empty line is not a request
	// What was taken makes room: into a buffer that a body has filled to its end
	// nothing could be read.
	if c := g.c; c.w == len(c.buf) || c.r == c.w {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if g.timer == nil {
		g.timer = time.AfterFunc(parked, g.read)
	} else {
		g.timer.Reset(parked)
	}
}

// read runs in a goroutine of the timer.
//
// A timer that fires late may find the watch of the next request: it then reads
// sooner than it needs to, which does no harm.
func (g *gone) read() {
	g.mu.Lock()
	if !g.wanted || g.reading || g.c.w == len(g.c.buf) {
		g.mu.Unlock()
		return
	}
	g.reading = true
	_ = g.c.reads.at(time.Time{}) // the one for the head, if any
	room := g.c.buf[g.c.w:]
	g.mu.Unlock()

	n, err := g.c.stream.Read(room)

	g.mu.Lock()
	g.c.w += n
	g.wanted, g.reading = false, false
	if err != nil && !(g.aborted && errors.Is(err, os.ErrDeadlineExceeded)) {
		g.broken, g.reset = true, !ended(err)
	}
	broken := g.broken
	g.done.Broadcast()
	g.mu.Unlock()
	if broken {
		g.c.cancelRequest()
	}
}

// rest ends the watch. It reports whether the app is still there, as far as is
// known.
func (g *gone) rest() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timer != nil {
		g.timer.Stop()
	}
	g.wanted = false
	if !g.reading {
		return !g.broken
	}
	g.aborted = true
	_ = g.c.reads.at(time.Unix(1, 0))
	for g.reading {
		g.done.Wait()
	}
	g.aborted = false
	_ = g.c.reads.at(time.Time{})
	return !g.broken
}
