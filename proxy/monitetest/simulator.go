package monitetest

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Simulator is a Monite API in memory. It is an http.Handler and safe for
// concurrent use; make it with New.
type Simulator struct {
	config Config

	tokens    tokenStore
	tokenDown atomic.Bool
	limiter   limiter
	faults    faultList
	ledger    ledger
	ring      ring
	data      atomic.Pointer[store]
}

// New returns a Simulator with the demo data.
func New(config Config) *Simulator {
	config = config.withDefaults()
	s := &Simulator{config: config}
	s.limiter.perSecond = config.RateLimit
	s.ring.limit = config.KeepRequests
	s.ledger.reset()
	s.data.Store(demoData(config.Now()))
	return s
}

// Reset brings back the demo data, clears the faults, statistics and recorded
// requests, and starts the token endpoint again. Tokens stay valid.
func (s *Simulator) Reset() {
	s.data.Store(demoData(s.config.Now()))
	s.ClearFaults()
	s.SetTokenEndpointDown(false)
	s.ResetStats()
}

// ServeHTTP answers one request of the API, or of the control surface under
// /_sim/.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPrefix) {
		s.serveControl(w, r)
		return
	}
	started := s.config.Now()
	c := s.newCall(w, r)
	// Deferred, because a fault may leave by a panic or without an answer.
	defer c.finish()

	fault := s.faults.take(r)
	if fault != nil && !fault.after() {
		if done := s.strike(c, fault); done {
			return
		}
	}
	a := s.answer(c)
	c.drainBody()
	if s.config.Latency > 0 && !sleep(r.Context(), s.config.Latency) {
		return
	}
	h := a.headers()
	h.Set("X-Request-Id", c.requestID)
	if version := r.Header.Get(versionHeader); version != "" {
		h.Set(versionHeader, version)
	}
	if c.op != nil && c.op.Entity != entityNone && c.entityID != "" {
		h.Set(entityHeader, c.entityID)
	}
	h.Set("X-Process-Time", strconv.FormatFloat(s.config.Now().Sub(started).Seconds(), 'f', 6, 64))
	if fault != nil && fault.after() {
		s.distort(c, fault, a)
		return
	}
	c.write(a)
}

// answer walks one request through Monite's order of refusals: version,
// route, rate limit, token, entity, permission. Only then does it act.
func (s *Simulator) answer(c *call) *answer {
	if refusal := checkVersion(c.r); refusal != nil {
		return refusal
	}
	if refusal := checkRoute(c); refusal != nil {
		return refusal
	}
	if c.op.Template == tokenPath {
		return s.mint(c)
	}
	problem := s.authorise(c)
	if refusal := s.limit(c, c.token.clientID); refusal != nil {
		return refusal
	}
	if problem != nil {
		s.ledger.authRejected()
		return problem
	}
	if refusal := s.checkEntity(c); refusal != nil {
		return refusal
	}
	if refusal := s.checkPermission(c); refusal != nil {
		return refusal
	}
	return s.act(c)
}

// checkVersion wants x-monite-version on every call: Monite has no default.
func checkVersion(r *http.Request) *answer {
	values := r.Header.Values(versionHeader)
	if len(values) == 0 || values[0] == "" {
		return failure(http.StatusBadRequest, "missing_api_version", "Missing the x-monite-version HTTP header")
	}
	date, err := time.Parse(time.DateOnly, values[0])
	if err != nil || len(values) > 1 {
		return failure(http.StatusBadRequest, "invalid_api_version", "The x-monite-version HTTP header must be one date, YYYY-MM-DD")
	}
	if date.Format(time.DateOnly) < oldestVersion {
		return failure(http.StatusNotFound, "not_found", "Not Found")
	}
	return nil
}

const (
	versionHeader = "X-Monite-Version"
	entityHeader  = "X-Monite-Entity-Id"
	tokenPath     = "/v1/auth/token"
	revokePath    = "/v1/auth/revoke"

	// oldestVersion is the oldest date known; before it there are no routes.
	oldestVersion = "2023-03-14"
)
