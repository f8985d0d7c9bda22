package monitetest

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// Request is a received request, so that a test can compare what was sent with what
// upstream saw.
type Request struct {
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	// Target is the request target, byte for byte.
	Target string `json:"target"`
	Proto  string `json:"proto"`
	Host   string `json:"host"`
	// Header holds the fields under their canonical names; Host and
	// Transfer-Encoding are not in it.
	Header http.Header `json:"header"`
	// TransferEncoding and ContentLength are the framing that was seen. A
	// length of -1 is unknown: chunked.
	TransferEncoding []string    `json:"transfer_encoding"`
	ContentLength    int64       `json:"content_length"`
	Trailer          http.Header `json:"trailer"`
	RemoteAddr       string      `json:"remote_addr"`
	Nonce            string      `json:"nonce"`
	// Route is "METHOD template", or empty.
	Route string `json:"route"`

	// What follows is known once Done.

	// BodyLength and BodySHA256 are of the decoded body, as far as it was
	// read. BodyRead says that its end was seen; faults that strike before
	// execution leave the body unread.
	BodyLength int64  `json:"body_length"`
	BodySHA256 string `json:"body_sha256"`
	BodyRead   bool   `json:"body_read"`
	// Grant is the grant type of the token that was accepted or has expired,
	// or the grant of the token that was minted. Empty if there was none.
	Grant        string `json:"grant"`
	EntityUserID string `json:"entity_user_id"`
	// Executed says that the state was changed.
	Executed bool `json:"executed"`
	// Status is the status of the response; 0 if there was none.
	Status int `json:"status"`
	// Problems are the published document's objections to the request.
	Problems []schema.Problem `json:"problems,omitempty"`
	// Done says that the simulator is through with it.
	Done bool `json:"done"`

	path string
}

func (r Request) isMint() bool { return r.Method == http.MethodPost && r.path == tokenPath }

func newRecord(r *http.Request, now time.Time) Request {
	return Request{
		Time: now, Method: r.Method, Target: r.RequestURI, Proto: r.Proto, Host: r.Host, Header: r.Header.Clone(),
		TransferEncoding: r.TransferEncoding, ContentLength: r.ContentLength, RemoteAddr: r.RemoteAddr,
		Nonce: nonce(r), path: r.URL.Path,
	}
}

// ring keeps the last requests.
type ring struct {
	limit int // below zero: keeps none

	mu      sync.Mutex // guards first and entries
	first   uint64     // the number of the oldest entry
	entries []Request
}

func (r *ring) add(record Request) (slot uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit <= 0 {
		return 0
	}
	if len(r.entries) == 2*r.limit { // amortised: one move per limit requests
		r.first += uint64(r.limit)
		copy(r.entries, r.entries[r.limit:])
		clear(r.entries[r.limit:])
		r.entries = r.entries[:r.limit]
	}
	r.entries = append(r.entries, record)
	return r.first + uint64(len(r.entries)) - 1
}

func (r *ring) update(slot uint64, record Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slot >= r.first && slot-r.first < uint64(len(r.entries)) {
		r.entries[slot-r.first] = record
	}
}

func (r *ring) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first += uint64(len(r.entries))
	r.entries = nil
}

// Requests returns the last requests (at most Config.KeepRequests), oldest
// first, those under way included. Calls of /_sim/ are not among them.
func (s *Simulator) Requests() []Request {
	s.ring.mu.Lock()
	defer s.ring.mu.Unlock()
	entries := s.ring.entries[max(0, len(s.ring.entries)-max(0, s.ring.limit)):]
	return append([]Request{}, entries...)
}

// LastRequest returns the latest request that is not a mint. The second result
// says whether there is one.
func (s *Simulator) LastRequest() (Request, bool) {
	all := s.Requests()
	for _, a := range slices.Backward(all) {
		if !a.isMint() {
			return a, true
		}
	}
	return Request{}, false
}
