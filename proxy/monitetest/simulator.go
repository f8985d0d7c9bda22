package monitetest

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/resources"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// Simulator is a Monite API in memory. It is an http.Handler and safe for
// concurrent use; make it with New.
type Simulator struct {
	config Config
	api    *resources.API

	clock     clock
	tokens    tokenStore
	tokenDown atomic.Bool
	limiter   limiter
	faults    faultList
	ledger    ledger
	ring      ring

	snapshotsMu sync.Mutex // guards snapshots
	snapshots   map[string]snapshot
}

// New returns a Simulator with the demo data. It panics if Config.Data makes
// no sense; Open returns the error.
func New(config Config) *Simulator {
	s, err := Open(config)
	if err != nil {
		panic("monitetest: " + err.Error())
	}
	return s
}

// Open is New for data that may be wrong.
func Open(config Config) (*Simulator, error) {
	s := &Simulator{config: config.withDefaults(), snapshots: map[string]snapshot{}}
	s.clock.real = s.config.Now
	s.limiter.perSecond = s.config.RateLimit
	s.ring.limit = s.config.KeepRequests
	s.faults.reseed(s.config.Seed)
	s.ledger.reset()
	var err error
	s.api, err = resources.New(resources.Config{Now: s.now, Seed: s.config.Seed, Data: s.config.Data, Mischief: s.faults.mischief})
	return s, err
}

// Reset brings back the data that the simulator began with and its own time,
// clears the faults, statistics and recorded requests, and starts the token
// endpoint again. Tokens stay valid.
func (s *Simulator) Reset() {
	s.clock.moving.Lock()
	defer s.clock.moving.Unlock()
	s.clock.set(0)
	_ = s.api.Reset() // the same data was good before
	s.ClearFaults()
	s.faults.reseed(s.config.Seed)
	s.SetTokenEndpointDown(false)
	s.ResetStats()
}

// DeliverWebhooks sends events to the URLs of the webhook subscriptions until
// ctx ends. Until it is called, none is sent.
func (s *Simulator) DeliverWebhooks(ctx context.Context) { s.api.DeliverWebhooks(ctx) }

// Receive puts a bill into a mailbox, as a supplier's mail does.
func (s *Simulator) Receive(mail resources.Mail) (payable map[string]any, err error) {
	return s.api.Receive(mail)
}

// ServeHTTP serves one request of the API, or of the control surface under /_sim/.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPrefix) {
		s.serveControl(w, r)
		return
	}
	started := s.now()
	c := s.newCall(w, r)
	// Deferred, because a fault may leave by a panic or without a response.
	defer c.finish()

	fault := s.faults.take(r, c.record.Route)
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
	if c.op != nil && c.op.Entity != schema.EntityNone && c.entityID != "" {
		h.Set(entityHeader, c.entityID)
	}
	h.Set("X-Process-Time", strconv.FormatFloat(s.now().Sub(started).Seconds(), 'f', 6, 64))
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
	if c.op.Template == revokePath {
		return revokeToken(c)
	}
	return s.act(c)
}

// act does the operation; everything has been checked but what was sent and
// the state.
func (s *Simulator) act(c *call) *answer {
	reply := s.api.Do(&resources.Request{
		Op: c.op, Params: c.params, Query: c.r.URL.Query(), ContentType: c.r.Header.Get("Content-Type"), Body: c.body,
		Version: c.r.Header.Get(versionHeader), EntityID: c.entityID, EntityUserID: c.token.entityUserID,
	})
	if reply.Executed {
		c.executed()
	}
	c.record.Problems = reply.Problems
	a := &answer{status: reply.Status, body: reply.Body}
	if reply.ContentType != "" {
		a.set("Content-Type", reply.ContentType)
	}
	if reply.ContentType == "application/pdf" {
		a.set("Content-Disposition", `inline; filename="preview.pdf"`)
	}
	if reply.Stream != nil {
		a.stream = streamed(reply.Stream, s.config.StreamInterval)
	}
	return a
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
