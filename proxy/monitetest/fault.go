package monitetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Effect is what a fault does.
type Effect string

// The effects. Those that need the real answer are after execution by nature.
const (
	// EffectAnswer sends Status, Header and Body instead of the real answer.
	// It is the default when Status is set.
	EffectAnswer Effect = "answer"
	// EffectDelay waits for Delay and goes on as usual. It is the default when
	// Status is not set.
	EffectDelay Effect = "delay"
	// EffectHang sends nothing until the client goes away.
	EffectHang Effect = "hang"
	// EffectFIN closes the connection without an answer, in good order.
	EffectFIN Effect = "fin"
	// EffectRST closes it by a reset (SO_LINGER 0).
	EffectRST Effect = "rst"
	// EffectRaw writes Body to the connection, byte for byte, and closes it.
	EffectRaw Effect = "raw"

	// EffectTruncate sends half of the answer under the full Content-Length,
	// then closes with FIN; EffectTruncateRST likewise with RST.
	EffectTruncate    Effect = "truncate"
	EffectTruncateRST Effect = "truncate_rst"
	// EffectStall sends half of the answer, then nothing until the client goes away.
	EffectStall Effect = "stall"
	// EffectBrokenChunk sends half of the answer in one chunk, then what is no chunk.
	EffectBrokenChunk Effect = "broken_chunk"
	// EffectDrip sends the answer one byte per Delay.
	EffectDrip Effect = "drip"
	// EffectEndless sends the answer's head, and a JSON body that does not end.
	EffectEndless Effect = "endless"
	// EffectGzip sends the answer compressed, unasked.
	EffectGzip Effect = "gzip"
	// EffectHTML sends a page with status 200 instead of the answer.
	EffectHTML Effect = "html"

	// EffectTokenCRLF puts CR LF and a header line into the access token.
	EffectTokenCRLF Effect = "token_crlf"
	// EffectTokenDuplicateKeys sends every key of the token answer twice.
	EffectTokenDuplicateKeys Effect = "token_duplicate_keys"
	// EffectTokenExpiresIn sends Value, which is raw JSON, as expires_in; an
	// empty Value leaves it out. The token itself is good.
	EffectTokenExpiresIn Effect = "token_expires_in"
)

// always lists the effects by when they can strike: before or after the
// execution, or only after it.
var (
	eitherEffects = []Effect{EffectAnswer, EffectDelay, EffectHang, EffectFIN, EffectRST, EffectRaw, EffectHTML}
	afterEffects  = []Effect{
		EffectTruncate, EffectTruncateRST, EffectStall, EffectBrokenChunk, EffectDrip, EffectEndless, EffectGzip,
		EffectTokenCRLF, EffectTokenDuplicateKeys, EffectTokenExpiresIn,
	}
)

// Fault is one kind of trouble and whom it meets.
type Fault struct {
	// Method matches the request's method; empty matches all.
	Method string `json:"method,omitempty"`
	// Path is a prefix of the path, or "token" for the token endpoint. Empty
	// matches everything but the token endpoint.
	Path string `json:"path,omitempty"`
	// Nonce matches the nonce of the request; empty matches all.
	Nonce string `json:"nonce,omitempty"`
	// Skip lets that many matching requests pass first.
	Skip int `json:"skip,omitempty"`
	// Times is how often it strikes. Zero means until it is cleared.
	Times int `json:"times,omitempty"`
	// After lets the request be executed first. Without it nothing is
	// executed, no token is looked at and no body is read.
	After bool `json:"after,omitempty"`
	// Effect defaults to EffectAnswer if Status is set, else EffectDelay.
	Effect Effect `json:"effect,omitempty"`
	// Delay comes before the effect. In JSON a string such as "1.5s".
	Delay Duration `json:"delay,omitempty"`
	// Status, Header and Body are for EffectAnswer, and Body for EffectRaw.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"headers,omitempty"`
	Body   string            `json:"body,omitempty"`
	// Value is for EffectTokenExpiresIn.
	Value string `json:"value,omitempty"`
}

// Duration is a time.Duration that JSON writes as "1.5s".
type Duration time.Duration

// MarshalText writes the duration as time.Duration.String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

func (f *Fault) after() bool { return f.After || slices.Contains(afterEffects, f.Effect) }

// normalise fills in the default effect and says what is wrong.
func (f *Fault) normalise() error {
	if f.Effect == "" {
		f.Effect = EffectDelay
		if f.Status != 0 {
			f.Effect = EffectAnswer
		}
	}
	switch {
	case !slices.Contains(eitherEffects, f.Effect) && !slices.Contains(afterEffects, f.Effect):
		return fmt.Errorf("unknown effect %q; known are %v and %v", f.Effect, eitherEffects, afterEffects)
	case f.Effect == EffectAnswer && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d: must be 200 to 599 (use the effect raw for others)", f.Status)
	case f.Skip < 0 || f.Times < 0 || f.Delay < 0:
		return errors.New("skip, times and delay must not be negative")
	case f.Effect == EffectDelay && f.Delay == 0:
		return errors.New("a delay is wanted, or a status, or an effect")
	case f.Effect == EffectDrip && f.Delay == 0:
		return errors.New("drip needs a delay: the pause between two bytes")
	case f.Effect == EffectTokenExpiresIn && f.Value != "" && !json.Valid([]byte(f.Value)):
		return fmt.Errorf("value %q must be JSON", f.Value)
	case f.Path != "" && f.Path != "token" && !strings.HasPrefix(f.Path, "/"):
		return fmt.Errorf("path %q: must begin with / or be \"token\"", f.Path)
	}
	return nil
}

func (f *Fault) matches(r *http.Request) bool {
	if f.Method != "" && f.Method != r.Method {
		return false
	}
	if f.Nonce != "" && f.Nonce != nonce(r) {
		return false
	}
	switch f.Path {
	case "":
		return r.URL.Path != tokenPath
	case "token":
		return r.URL.Path == tokenPath
	}
	return strings.HasPrefix(r.URL.Path, f.Path)
}

// faultList is the injected faults, in order.
type faultList struct {
	any atomic.Bool // false: the lock need not be taken

	mu     sync.Mutex // guards faults
	faults []*Fault
}

// take returns the first fault that strikes r, and counts it.
func (l *faultList) take(r *http.Request) *Fault {
	if !l.any.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, f := range l.faults {
		if !f.matches(r) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		struck := *f
		if f.Times == 1 {
			l.faults = slices.Delete(l.faults, i, i+1)
			l.any.Store(len(l.faults) > 0)
		} else if f.Times > 1 {
			f.Times--
		}
		return &struck
	}
	return nil
}

// Inject adds faults behind those that are there; the first that matches a
// request strikes it. It panics if a fault makes no sense.
func (s *Simulator) Inject(faults ...Fault) {
	if err := s.inject(faults); err != nil {
		panic("monitetest: " + err.Error())
	}
}

func (s *Simulator) inject(faults []Fault) error {
	added := make([]*Fault, len(faults))
	for i := range faults {
		f := faults[i]
		if err := f.normalise(); err != nil {
			return fmt.Errorf("fault %d: %w", i, err)
		}
		added[i] = &f
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.faults = append(s.faults.faults, added...)
	s.faults.any.Store(len(s.faults.faults) > 0)
	return nil
}

// Faults returns the faults that are left, with what remains of their counts.
func (s *Simulator) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	left := []Fault{}
	for _, f := range s.faults.faults {
		left = append(left, *f)
	}
	return left
}

// ClearFaults removes all faults. What hangs already goes on hanging.
func (s *Simulator) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.faults = nil
	s.faults.any.Store(false)
}
