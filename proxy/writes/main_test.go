package writes

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// payment is a write without a body of its own.
func payment(id string) *Write {
	return &Write{
		Request:   Request{GrantType: "entity_user", EntityUserID: "u", EntityID: "e", Method: "POST", Target: approve},
		RequestID: id, Route: "/v1/payables/{payable_id}/approve_payment_operation",
	}
}

const (
	resource = "/v1/payables/11111111-2222-3333-4444-555555555555"
	approve  = resource + "/approve_payment_operation"
)

func keyed(id, key string) *Write {
	w := payment(id)
	w.Key = key
	return w
}

func onPurpose(id, of string) *Write {
	w := payment(id)
	w.RepeatOf = of
	return w
}

func newJournal(t *testing.T, change ...func(*Config)) *Journal {
	t.Helper()
	c := Config{Guard: 10 * time.Minute, KeyTTL: 24 * time.Hour, Patience: time.Minute}
	for _, f := range change {
		f(&c)
	}
	return New(c)
}

// sent begins w, which must be sent.
func sent(t *testing.T, j *Journal, w *Write) *Claim {
	t.Helper()
	d := j.Begin(context.Background(), w)
	if d.Verdict != Send {
		t.Fatalf("%s: verdict %d, want it to be sent", w.RequestID, d.Verdict)
	}
	return d.Claim
}

// is begins w, which must get this verdict.
func is(t *testing.T, j *Journal, w *Write, want Verdict) Decision {
	t.Helper()
	d := j.Begin(context.Background(), w)
	if d.Verdict != want {
		t.Fatalf("%s: verdict %d, want %d", w.RequestID, d.Verdict, want)
	}
	return d
}

// answered ends a write whose response the app has, or never gets.
func answered(c *Claim, delivered bool) {
	c.Answered(201, created("a"))
	c.Delivered(delivered)
}

// written is answered after the app's connection was there at first.
func written(c *Claim, delivered bool) {
	c.Answered(201, created("a"))
	c.Written(yes)
	c.Delivered(delivered)
}

func created(text string) *Response {
	return &Response{Status: 201, Fields: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(text)}
}

// shared is a Store of several processes, as a server would keep it.
type shared struct {
	mu      sync.Mutex
	records map[Name]sharedRecord
	down    bool // every call fails
	forget  bool // calls fail after they were done
	calls   int
}

type sharedRecord struct {
	Record
	at time.Time
}

var errDown = errors.New("the store does not respond")

func newShared() *shared { return &shared{records: map[Name]sharedRecord{}} }

func (s *shared) now(name Name) (Record, bool) {
	r, ok := s.records[name]
	age := time.Since(r.at)
	if ok && r.State == Pending && age >= r.Lapse {
		r.State, age = Unknown, age-r.Lapse
	}
	if ok && r.State != Pending && age >= r.TTL {
		delete(s.records, name)
		return Record{}, false
	}
	return r.Record, ok
}

func (s *shared) begin() (end func() error, ok bool) {
	s.mu.Lock()
	s.calls++
	return func() error {
		defer s.mu.Unlock()
		if s.down || s.forget {
			return errDown
		}
		return nil
	}, !s.down
}

func (s *shared) Claim(_ context.Context, name Name, mine Record, over ID) (Record, error) {
	end, ok := s.begin()
	found := mine
	if ok {
		there, exists := s.now(name)
		if exists && (there.Claim != over || there.State == Answered && !there.Delivered) {
			found = there
		} else {
			s.records[name] = sharedRecord{mine, time.Now()}
		}
	}
	return found, end()
}

func (s *shared) Settle(_ context.Context, name Name, record Record) error {
	end, ok := s.begin()
	if there, exists := s.now(name); ok && exists && there.Claim == record.Claim {
		record.taken = nil
		s.records[name] = sharedRecord{record, time.Now()}
	}
	return end()
}

func (s *shared) Release(_ context.Context, name Name, claim ID) error {
	end, ok := s.begin()
	if there, exists := s.now(name); ok && exists && there.Claim == claim {
		delete(s.records, name)
	}
	return end()
}

func (s *shared) Look(_ context.Context, name Name) (Record, bool, error) {
	end, _ := s.begin()
	r, ok := s.now(name)
	return r, ok, end()
}

// bubble runs test with both kinds of journals, whose decisions must be the same.
// Time is the bubble's.
func bubble(t *testing.T, test func(t *testing.T, j *Journal)) {
	for kind, change := range map[string]func(*Config){
		"memory": func(*Config) {},
		"shared": func(c *Config) { c.Shared = newShared() },
	} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newJournal(t, change)) })
		})
	}
}

// replicas runs test with two journals that share a store. Time is the bubble's.
func replicas(t *testing.T, test func(t *testing.T, store *shared, a, b *Journal)) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		with := func(c *Config) { c.Shared = store }
		test(t, store, newJournal(t, with), newJournal(t, with))
	})
}

func numbered(i int) string { return strconv.Itoa(i) }
