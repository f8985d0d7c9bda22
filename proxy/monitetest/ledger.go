package monitetest

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
)

// Stats are counts since New, ResetStats or Reset.
type Stats struct {
	// Mints are the tokens handed out, in all and by grant type.
	Mints       int            `json:"mints"`
	MintsByType map[string]int `json:"mints_by_grant_type"`
	// FailedMints are the calls of the token endpoint that gave no token, those
	// that a fault kept from being looked at included.
	FailedMints int `json:"failed_mints"`
	// MintsInFlightPeak is the most calls that the token endpoint had at once,
	// the time inside faults included.
	MintsInFlightPeak int `json:"mints_in_flight_peak"`
	// LiveTokens are neither expired nor revoked. ResetStats does not change them.
	LiveTokens int `json:"live_tokens"`
	// Requests counts arrivals by "METHOD template"; what matches nothing is
	// under "unmatched".
	Requests map[string]int `json:"requests"`
	// Answers counts by status; "none" is a request without a response.
	Answers map[string]int `json:"answers"`
	// AuthRejected are the calls refused for their token.
	AuthRejected int `json:"auth_rejected"`
	// Executed are the state changes per nonce; Writes counts all of them,
	// those without a nonce too.
	Executed map[string]int `json:"executed"`
	Writes   int            `json:"writes"`
	// Arrived are the requests per nonce, executed or not, and Replays those
	// of them that were not the first of their nonce.
	Arrived map[string]int `json:"arrived"`
	Replays int            `json:"replays"`
	// InFlight are the requests inside now.
	InFlight int `json:"in_flight"`
}

// ledger keeps the Stats. Every method is a few instructions under the lock.
type ledger struct {
	mu            sync.Mutex // guards all below
	stats         Stats
	mintsInFlight int
	writes        map[string]*Write
	order         []string // keys of writes, oldest first
}

func (l *ledger) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats = Stats{
		MintsByType: map[string]int{}, Requests: map[string]int{}, Answers: map[string]int{},
		Executed: map[string]int{}, Arrived: map[string]int{},
		InFlight: l.stats.InFlight, MintsInFlightPeak: l.mintsInFlight,
	}
	l.writes, l.order = map[string]*Write{}, nil
}

func (l *ledger) arrived(r Request) {
	route := r.Route
	if route == "" {
		route = "unmatched"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Requests[route]++
	l.stats.InFlight++
	if r.isMint() {
		l.mintsInFlight++
		l.stats.MintsInFlightPeak = max(l.stats.MintsInFlightPeak, l.mintsInFlight)
	}
	if r.Nonce == "" {
		return
	}
	if l.stats.Arrived[r.Nonce]++; l.stats.Arrived[r.Nonce] > 1 {
		l.stats.Replays++
	}
}

func (l *ledger) minted(grantType string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Mints++
	l.stats.MintsByType[grantType]++
}

func (l *ledger) authRejected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.AuthRejected++
}

func (l *ledger) executed(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Writes++
	if r.Nonce != "" {
		l.stats.Executed[r.Nonce]++
	}
	l.write(r).Executed++
}

func (l *ledger) finished(r Request) {
	status := "none"
	if r.Status != 0 {
		status = strconv.Itoa(r.Status)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.InFlight--
	l.stats.Answers[status]++
	if r.isMint() {
		l.mintsInFlight--
		if r.Grant == "" {
			l.stats.FailedMints++
		}
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Route != "" {
		w := l.write(r)
		w.Arrived++
		w.Statuses = append(w.Statuses, r.Status)
	}
}

// Stats returns a copy of the counts.
func (s *Simulator) Stats() Stats {
	live := s.tokens.live(s.now())
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	stats := s.ledger.stats
	stats.LiveTokens = live
	stats.MintsByType = maps.Clone(stats.MintsByType)
	stats.Requests = maps.Clone(stats.Requests)
	stats.Answers = maps.Clone(stats.Answers)
	stats.Executed = maps.Clone(stats.Executed)
	stats.Arrived = maps.Clone(stats.Arrived)
	return stats
}

// ResetStats sets all counts to zero and forgets the recorded requests.
func (s *Simulator) ResetStats() {
	s.ledger.reset()
	s.ring.clear()
}
