package redisstore

import (
	"context"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// Config says where the server is, and which client id asks.
type Config struct {
	// Addresses are host:port, tried in order, or the one path of a unix socket. With
	// Master they are those of the Sentinels that know the server by that name.
	Addresses []string
	Unix      bool
	Master    string
	// Database is a number from 0.
	Database int
	// User is the one to log in as. Empty: the server's default user.
	User string
	// Password is asked at each new connection: files change. Nil: none.
	Password func() secret.String
	// TLS: 1.2 or later. RootCAs nil: the system's.
	TLS     bool
	RootCAs *x509.CertPool
	// Where is the part of that which may be shown.
	Where string
	// Origin of upstream: tokens of two origins are kept apart.
	Origin      string
	Credentials Credentials
	// MintsPerSecond is the budget of all processes together. 0 or less: none.
	MintsPerSecond int
	// OnEvent is called for what the metrics count, with no lock held. May be nil.
	OnEvent func(Event)
	// OnChange is called when the state is another one, or why. May be nil.
	OnChange func(Status)
}

// Event is one thing that happened. One field is set.
type Event struct {
	// Answer to a question: found, claimed, busy, paced, verdict, free, late, poison,
	// aside, slow, down.
	Answer string
	// Told: stored, older, late, failed.
	Told string
	// Exchange is the duration of one.
	Exchange time.Duration
}

// Status describes a Store, without secrets.
type Status struct {
	State     string // up, down, aside; unknown before the first exchange
	Where     string // the URL without user and password
	Since     time.Time
	LastError string // a word; empty: none since the start
	RetryIn   time.Duration
	// Offset is the server's clock minus this host's.
	Offset time.Duration
}

// state is shown to operators.
type state struct {
	config Config

	mu        sync.Mutex // guards what follows
	now       string
	since     time.Time
	lastError string
	why       string // of the present state
	offset    time.Duration
}

// Status returns what can be shown now.
func (s *Store) Status() Status {
	retry, _ := s.breaker.retryIn(time.Now())
	status := s.state.status()
	status.RetryIn = retry
	return status
}

func (s *state) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view()
}

// view is the Status without RetryIn. mu is held.
func (s *state) view() Status {
	now := s.now
	if now == "" {
		now = "unknown"
	}
	return Status{State: now, Where: s.config.Where, Since: s.since, LastError: s.lastError, Offset: s.offset}
}

func (s *state) event(e Event) {
	if s.config.OnEvent != nil {
		s.config.OnEvent(e)
	}
}

func (s *state) answer(word string)           { s.event(Event{Answer: word}) }
func (s *state) told(word string)             { s.event(Event{Told: word}) }
func (s *state) exchanged(took time.Duration) { s.event(Event{Exchange: max(took, 1)}) }

func (s *state) isAside() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now == "aside"
}

// up: the server has responded. far: its clock is too far off.
func (s *state) up(far bool, offset time.Duration) {
	now, why := "up", ""
	if far {
		now, why = "aside", "clock"
	}
	s.change(now, why, &offset)
}

// failed counts a question or an outcome that failed, and returns err.
func (s *state) failed(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
	case kindOf(err) == "timeout":
		s.answer("slow")
	default:
		s.answer("down")
	}
	return s.down(err)
}

// down returns err. The end of the cache says nothing of the server.
func (s *state) down(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	s.change("down", kindOf(err), nil)
	return err
}

func (s *state) change(now, why string, offset *time.Duration) {
	s.mu.Lock()
	if offset != nil {
		s.offset = *offset
	}
	if why != "" {
		s.lastError = why
	}
	if s.now == now && s.why == why {
		s.mu.Unlock()
		return
	}
	if s.now != now {
		s.since = time.Now()
	}
	s.now, s.why = now, why
	view := s.view()
	s.mu.Unlock()
	if s.config.OnChange != nil {
		s.config.OnChange(view)
	}
}
