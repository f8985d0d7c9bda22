package monitetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/resources"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// Fault is one kind of trouble and whom it meets.
type Fault struct {
	// Method matches the request's method; empty matches all.
	Method string `json:"method,omitempty"`
	// Path is a prefix of the path, or "token" for the token endpoint. Empty
	// matches everything but the token endpoint.
	Path string `json:"path,omitempty"`
	// Route matches one published operation, such as
	// "POST /v1/payables/{payable_id}/mark_as_paid"; empty matches all.
	Route string `json:"route,omitempty"`
	// Nonce matches the nonce of the request; empty matches all.
	Nonce string `json:"nonce,omitempty"`
	// Event matches the action of a webhook's event, such as "payable.paid";
	// empty matches all. It is for the effects on webhooks.
	Event string `json:"event,omitempty"`
	// Share is the part of the matching requests that is struck, such as 0.1,
	// by chance that Config.Seed makes repeatable. Zero means all.
	Share float64 `json:"share,omitempty"`
	// Skip lets that many matching requests pass first.
	Skip int `json:"skip,omitempty"`
	// Times limits how often it strikes. Zero means until it is cleared.
	Times int `json:"times,omitempty"`
	// After lets the request be executed first. Without it nothing is
	// executed, no token is looked at and no body is read.
	After bool `json:"after,omitempty"`
	// Effect defaults to EffectAnswer if Status is set, else EffectDelay.
	Effect Effect `json:"effect,omitempty"`
	// Delay comes before the effect. In JSON a string such as "1.5s".
	Delay Duration `json:"delay,omitempty"`
	// Status, Header and Body are for EffectAnswer, Body also for EffectRaw and
	// Status for EffectExpired.
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
	if f.Effect == EffectExpired && f.Status == 0 {
		f.Status = http.StatusUnauthorized
	}
	_, isWebhook := webhookEffects[f.Effect]
	switch {
	case !isWebhook && !slices.Contains(eitherEffects, f.Effect) && !slices.Contains(afterEffects, f.Effect):
		return fmt.Errorf("unknown effect %q; known are %v, %v, %v, %v and %v", f.Effect, eitherEffects, afterEffects,
			EffectWebhookLose, EffectWebhookRepeat, EffectWebhookReorder)
	case f.Route != "" && !published(f.Route):
		return fmt.Errorf("route %q: must be a published operation, such as \"POST /v1/payables\"", f.Route)
	case f.Share < 0 || f.Share > 1:
		return fmt.Errorf("share %v: must be 0 (all) to 1", f.Share)
	case f.Event != "" && !isWebhook:
		return errors.New("event is for the effects on webhooks")
	case f.Effect == EffectExpired && f.Status != 400 && f.Status != 401 && f.Status != 403:
		return fmt.Errorf("status %d: the status for an expired token is 400, 401 or 403", f.Status)
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

// published reports whether there is such an operation.
func published(route string) bool {
	return slices.ContainsFunc(schema.Published().Operations, func(op schema.Operation) bool { return op.Method+" "+op.Template == route })
}

func (f *Fault) matches(r *http.Request, route string) bool {
	if _, isWebhook := webhookEffects[f.Effect]; isWebhook {
		return false
	}
	if f.Route != "" {
		return f.Route == route && (f.Nonce == "" || f.Nonce == nonce(r))
	}
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

	mu     sync.Mutex // guards faults and chance
	faults []*Fault
	chance *rand.Rand
}

// reseed begins the chance again: the same seed strikes the same requests.
func (l *faultList) reseed(seed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seed == 0 {
		seed = rand.Uint64()
	}
	l.chance = rand.New(rand.NewPCG(seed, seed))
}

// mischief returns what is to happen to the webhook of an event.
func (l *faultList) mischief(event string) resources.Mischief {
	if !l.any.Load() {
		return ""
	}
	struck := l.first(func(f *Fault) bool {
		_, isWebhook := webhookEffects[f.Effect]
		return isWebhook && (f.Event == "" || f.Event == event)
	})
	if struck == nil {
		return ""
	}
	return webhookEffects[struck.Effect]
}

// take returns the first fault that strikes r, and counts it.
func (l *faultList) take(r *http.Request, route string) *Fault {
	if !l.any.Load() {
		return nil
	}
	return l.first(func(f *Fault) bool { return f.matches(r, route) })
}

func (l *faultList) first(matches func(f *Fault) bool) *Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, f := range l.faults {
		if !matches(f) || f.Share > 0 && l.chance.Float64() >= f.Share {
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

// Inject adds faults behind the existing ones; the first that matches a request
// strikes it. It panics if a fault makes no sense.
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
