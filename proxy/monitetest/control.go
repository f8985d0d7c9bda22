package monitetest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/resources"
)

const controlPrefix = "/_sim/"

// serveControl is the surface for other processes. It needs no token and is
// neither counted nor recorded.
func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[len(controlPrefix):]
	serve := controls[r.Method+" "+name]
	if snapshot, ok := strings.CutPrefix(name, "snapshots/"); ok && r.Method == http.MethodPost {
		if snapshot, ok := strings.CutSuffix(snapshot, "/restore"); ok {
			serve = func(s *Simulator, _ []byte) *answer { return s.controlRestore(snapshot) }
		}
	}
	if serve == nil {
		failure(http.StatusNotFound, "not_found", "There is no "+r.Method+" "+r.URL.Path+". There are "+
			strings.Join(slices.Sorted(maps.Keys(controls)), ", ")+" and POST snapshots/{name}/restore, all below "+controlPrefix+".").writeTo(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		failure(http.StatusBadRequest, "bad_request", "read the body: "+err.Error()).writeTo(w, r)
		return
	}
	serve(s, bytes.TrimSpace(body)).writeTo(w, r)
}

// controls are the operations of the control surface, by "METHOD name".
var controls = map[string]func(s *Simulator, body []byte) *answer{
	"GET ":                     func(s *Simulator, _ []byte) *answer { return s.page() },
	"GET healthz":              func(*Simulator, []byte) *answer { return jsonAnswer(http.StatusOK, doc{"status": "ok"}) },
	"GET stats":                func(s *Simulator, _ []byte) *answer { return jsonAnswer(http.StatusOK, s.Stats()) },
	"GET requests":             func(s *Simulator, _ []byte) *answer { return jsonAnswer(http.StatusOK, doc{"data": s.Requests()}) },
	"GET ledger":               func(s *Simulator, _ []byte) *answer { return jsonAnswer(http.StatusOK, doc{"data": s.Ledger()}) },
	"GET state":                func(s *Simulator, _ []byte) *answer { return jsonAnswer(http.StatusOK, s.api.Store().Export()) },
	"GET faults":               func(s *Simulator, _ []byte) *answer { return jsonAnswer(http.StatusOK, doc{"data": s.Faults()}) },
	"POST faults":              (*Simulator).controlInject,
	"DELETE faults":            do((*Simulator).ClearFaults),
	"POST revoke_all":          do((*Simulator).RevokeAll),
	"POST expire_all":          do((*Simulator).ExpireAll),
	"POST token_endpoint/down": do(func(s *Simulator) { s.SetTokenEndpointDown(true) }),
	"POST token_endpoint/up":   do(func(s *Simulator) { s.SetTokenEndpointDown(false) }),
	"POST reset_stats":         do((*Simulator).ResetStats),
	"POST reset":               do((*Simulator).Reset),
	"GET clock":                func(s *Simulator, _ []byte) *answer { return jsonAnswer(http.StatusOK, doc{"now": s.now().UTC()}) },
	"POST clock":               (*Simulator).controlClock,
	"POST mail":                (*Simulator).controlMail,
	"GET snapshots":            func(s *Simulator, _ []byte) *answer { return jsonAnswer(http.StatusOK, doc{"data": s.snapshotNames()}) },
	"POST snapshots":           (*Simulator).controlSnapshot,
}

func do(act func(s *Simulator)) func(s *Simulator, body []byte) *answer {
	return func(s *Simulator, _ []byte) *answer {
		act(s)
		return done()
	}
}

func done() *answer { return jsonAnswer(http.StatusOK, doc{"status": "done"}) }

// read decodes a body that may have no other than the known fields.
func read(body []byte, into any) *answer {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return failure(http.StatusBadRequest, "bad_request", err.Error())
	}
	if _, err := dec.Token(); err != io.EOF {
		return failure(http.StatusBadRequest, "bad_request", "want one JSON value")
	}
	return nil
}

// controlInject takes one fault or an array of them.
func (s *Simulator) controlInject(body []byte) *answer {
	if !bytes.HasPrefix(body, []byte("[")) {
		body = append(append([]byte("["), body...), ']')
	}
	var faults []Fault
	if refusal := read(body, &faults); refusal != nil {
		return refusal
	}
	if err := s.inject(faults); err != nil {
		return failure(http.StatusBadRequest, "bad_request", err.Error())
	}
	return jsonAnswer(http.StatusOK, doc{"data": s.Faults()})
}

// controlClock moves the clock by a duration or to a time.
func (s *Simulator) controlClock(body []byte) *answer {
	var order struct {
		Advance Duration  `json:"advance"`
		Now     time.Time `json:"now"`
	}
	if refusal := read(body, &order); refusal != nil {
		return refusal
	}
	switch {
	case order.Advance > 0 && order.Now.IsZero():
		order.Now = s.now().Add(time.Duration(order.Advance))
	case order.Advance == 0 && !order.Now.IsZero():
	default:
		return failure(http.StatusBadRequest, "bad_request", `want {"advance":"720h"}, above 0, or {"now":"2027-01-31T00:00:00Z"}`)
	}
	if err := s.SetClock(order.Now); err != nil {
		return failure(http.StatusBadRequest, "bad_request", err.Error())
	}
	return jsonAnswer(http.StatusOK, doc{"now": s.now().UTC()})
}

// controlMail puts a bill into a mailbox.
func (s *Simulator) controlMail(body []byte) *answer {
	var mail resources.Mail
	if refusal := read(body, &mail); refusal != nil {
		return refusal
	}
	payable, err := s.Receive(mail)
	if err != nil {
		return failure(http.StatusBadRequest, "bad_request", err.Error())
	}
	return jsonAnswer(http.StatusOK, doc{"payable_id": payable["id"]})
}

func (s *Simulator) controlSnapshot(body []byte) *answer {
	var order struct {
		Name string `json:"name"`
	}
	if refusal := read(body, &order); refusal != nil {
		return refusal
	}
	if order.Name == "" || strings.Contains(order.Name, "/") {
		return failure(http.StatusBadRequest, "bad_request", `want {"name":"..."} without a slash`)
	}
	s.Snapshot(order.Name)
	return done()
}

func (s *Simulator) controlRestore(name string) *answer {
	if !s.Restore(name) {
		return failure(http.StatusNotFound, "not_found", "There is no snapshot "+name+"; there are "+strings.Join(s.snapshotNames(), ", "))
	}
	return done()
}

// snapshot is what Restore goes back to.
type snapshot struct {
	state  *resources.Snapshot
	offset time.Duration // of the clock
}

// Snapshot keeps state and clock under a name. Tokens, faults and counts are not
// part of it.
func (s *Simulator) Snapshot(name string) {
	s.snapshotsMu.Lock()
	defer s.snapshotsMu.Unlock()
	s.clock.moving.Lock()
	defer s.clock.moving.Unlock()
	s.snapshots[name] = snapshot{s.api.Snapshot(), time.Duration(s.clock.offset.Load())}
}

// Restore goes back to a snapshot, and reports whether there is one.
func (s *Simulator) Restore(name string) bool {
	s.snapshotsMu.Lock()
	defer s.snapshotsMu.Unlock()
	taken, is := s.snapshots[name]
	if is {
		s.clock.moving.Lock()
		defer s.clock.moving.Unlock()
		s.clock.set(taken.offset)
		s.api.Restore(taken.state)
	}
	return is
}

func (s *Simulator) snapshotNames() []string {
	s.snapshotsMu.Lock()
	defer s.snapshotsMu.Unlock()
	return append([]string{}, slices.Sorted(maps.Keys(s.snapshots))...)
}
