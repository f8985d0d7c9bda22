package strict

import "time"

const (
	// crowdSample is the number of connections that are examined to find one that
	// makes room. With thousands of them a sample is as good as all, and cheaper.
	crowdSample = 256
	// headPatience is the time without a whole head after which a connection makes
	// room ahead of those that have had a request.
	headPatience = time.Second
	// bodyPatience is the same for one that is behind with its body.
	bodyPatience = 5 * time.Second
	// maxLarge bounds the bytes that all connections of a server keep of heads which are
	// not whole yet, beyond what each keeps in any case. 128 of the largest heads fit.
	maxLarge = 8 << 20
	// crowdMargin is for connections whose request is just about to end.
	crowdMargin = 4
)

// makeRoom closes one connection if there are MaxConns: one that has sent no whole
// head or is behind with its body, or else the one that has been idle longest. A
// connection whose request is under way stays, so there may be a quarter more of them,
// and a few, for a while. It reports whether there is room for one more. s.mu is held.
func (s *Server) makeRoom() bool {
	if s.MaxConns <= 0 || len(s.conns) < s.MaxConns {
		return true
	}
	var victim *conn
	var class, since int64
	now, left := time.Now().UnixNano(), crowdSample
	for c := range s.conns {
		if left--; left < 0 {
			break
		}
		itsClass, itsSince := c.silence(now)
		if itsClass > class || itsClass == class && itsClass > 0 && itsSince < since {
			victim, class, since = c, itsClass, itsSince
		}
	}
	if victim == nil {
		victim = s.waiting()
	}
	if victim != nil {
		victim.giveWay()
	}
	return victim != nil || len(s.conns) < s.MaxConns+s.MaxConns/4+crowdMargin
}

// forgetHead closes the connection whose unfinished head, a large one, has been waited
// for longest, unless another call has made room meanwhile.
func (s *Server) forgetHead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.large.Load() <= maxLarge {
		return
	}
	var victim *conn
	left := crowdSample
	for c := range s.conns {
		if left--; left < 0 {
			break
		}
		if c.large.Load() > 0 && c.state.Load() == partial && (victim == nil || c.since.Load() < victim.since.Load()) {
			victim = c
		}
	}
	if victim != nil && victim.giveWay() {
		// Now: until its goroutine ends, each head that grows would cost another one.
		s.large.Add(-victim.large.Swap(0))
	}
}

// waiting returns, if every connection is young or has a request under way, the one
// that has been waited for longest, one with part of a head first: a flood of
// connections must not take the descriptors of other listeners. s.mu is held.
func (s *Server) waiting() (victim *conn) {
	left, half := crowdSample, false
	for c := range s.conns {
		if left--; left < 0 {
			break
		}
		state := c.state.Load()
		if state != partial && (half || state != fresh && state != inBody) {
			continue
		}
		if victim == nil || state == partial && !half || c.since.Load() < victim.since.Load() {
			victim, half = c, state == partial
		}
	}
	return victim
}

// silence says how readily c makes room, 0 for not at all, and since when it has
// been silent.
func (c *conn) silence(now int64) (class, since int64) {
	since = c.since.Load()
	switch state := c.state.Load(); {
	case state == lingering, (state == fresh || state == partial) && now-since > int64(headPatience), state == inBody && now-since > int64(bodyPatience):
		return 2, since
	case state == idle:
		return 1, since
	}
	return 0, 0
}

// giveWay closes c, unless a request has come meanwhile.
func (c *conn) giveWay() (closed bool) {
	for _, state := range [...]int32{fresh, partial, inBody, idle, lingering} {
		if c.state.CompareAndSwap(state, closing) {
			_ = c.nc.Close()
			return true
		}
	}
	return false
}
