package proxy

import (
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/proxy/target"
)

// Config is what a Handler is made of.
type Config struct {
	// Origin is upstream's scheme and host: the only place that is ever called.
	Origin *url.URL
	Tokens TokenSource
	// Upstream sends one request to Origin, once.
	Upstream http.RoundTripper
	// APIVersion is added as X-Monite-Version where the app sent none: a date.
	APIVersion string
	// Policy is the first one; SetPolicy changes it.
	Policy Policy
	// HandleSecret returns the client secret, from which the key of token handles is
	// derived. nil: POST /v1/auth/token is refused, and no handle is known.
	HandleSecret func() secret.String
	// AllowedHosts are further names in Host, as target.HostName returns them. The
	// loopback names are always allowed.
	AllowedHosts []string
	// Bound is the address of the listener; the zero value if it is a unix socket.
	Bound netip.Addr
	// AppToken returns what apps must send in X-Monite-Proxy-Token; nil or an
	// empty one: nothing.
	AppToken func() secret.String
	// ReadOnly refuses all but GET and HEAD.
	ReadOnly bool
	// MaxInFlight requests, 503 above it. At least 1.
	MaxInFlight int64
	// MaxBodyBytes of a request, 413 above it. 0: no body at all.
	MaxBodyBytes int64
	// ReplayBodyBytes is the size up to which a body of known length is kept, so
	// that it can be sent again after an auth rejection. 0: none is.
	ReplayBodyBytes int64
	Log             zerolog.Logger
	// Audit gets one line per write.
	Audit zerolog.Logger
	// Listener is named in the audit lines.
	Listener string
	// Tracer gets the spans of each request. nil: none, and what the app says of its
	// trace goes upstream as it came.
	Tracer Tracer
	// Explain answers X-Monite-Proxy-Explain: not in production.
	Explain bool
	// Observe is called at the end of each request. May be nil.
	Observe func(*Record)
}

// Handler serves the data listener. Use New.
type Handler struct {
	config   Config
	guard    *guard
	retry    *retry
	outer    http.Handler
	policy   atomic.Pointer[view]
	handles  *handles // nil: off
	draining atomic.Bool
}

// New makes a Handler. It panics if Origin, Tokens or Upstream is missing.
func New(config Config) *Handler {
	if config.Origin == nil || config.Tokens == nil || config.Upstream == nil {
		panic("proxy: Config needs Origin, Tokens and Upstream")
	}
	h := &Handler{config: config, retry: newRetry(config.Upstream)}

	h.SetPolicy(config.Policy)
	if config.HandleSecret != nil {
		h.handles = &handles{secret: config.HandleSecret}
	}

	router := chi.NewRouter()
	if h.handles != nil {
		router.Post(tokenPath, h.answerTokenRequest)
	}
	// And not "/*": chi would make a map of path values for every request.
	router.NotFound(h.forward)

	h.guard = &guard{
		next:         router,
		hosts:        target.Hosts{Names: map[string]bool{}, Bound: config.Bound},
		appToken:     config.AppToken,
		readOnly:     config.ReadOnly,
		maxBodyBytes: config.MaxBodyBytes,
		maxInFlight:  config.MaxInFlight,
		policy:       &h.policy,
		tokenHandles: h.handles != nil,
	}
	for _, host := range config.AllowedHosts {
		h.guard.hosts.Names[host] = true
	}
	h.outer = &accessLog{next: h.guard, log: config.Log, observe: config.Observe, auditLog: config.Audit, listener: config.Listener, tracer: config.Tracer}
	return h
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	// net/http leaves the deadline of the request before in force.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(progressTimeout))
	if h.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	h.outer.ServeHTTP(w, in)
}

// Drain has every answer from now on say that its connection ends, so that no
// app sends its next request on one that is about to be closed.
func (h *Handler) Drain() { h.draining.Store(true) }

// SetPolicy puts another policy in place. Requests that have begun keep theirs.
func (h *Handler) SetPolicy(policy Policy) { h.policy.Store(newView(policy)) }

// InFlight is the number of requests past the guard.
func (h *Handler) InFlight() int64 { return h.guard.inFlight.Load() }

// identify decides on whose behalf the request is sent, and whether that
// identity may send it.
func (h *Handler) identify(in *http.Request, by way, record *Record) (identity Identity, problem *problem) {
	if by.handle, problem = h.handles.read(in.Header["Authorization"]); problem != nil {
		return Identity{}, problem
	}
	if identity, problem = record.view.resolve(in.Header, by); problem != nil {
		return Identity{}, problem
	}
	named := identity.Named
	if named == nil {
		return identity, nil
	}
	record.Identity = named.Name
	problem = named.refuses(in.Method, record.path, record.route)
	if problem == &problemRule && named.AuditOnly {
		record.Audited, problem = problem.kind, nil
	}
	return identity, problem
}

// arrived notes what every request past the guard has.
func (h *Handler) arrived(in *http.Request) (*Record, way) {
	record := recordFrom(in.Context())
	record.AppToken = h.config.AppToken != nil && !h.config.AppToken().IsZero() // the guard has seen it
	return record, way{listener: listenerOf(in.Context()), prefix: record.prefix}
}

// answerTokenRequest serves the one path that is not forwarded.
func (h *Handler) answerTokenRequest(w http.ResponseWriter, in *http.Request) {
	record, by := h.arrived(in)
	h.answerToken(w, in, by, record)
}

// forward is the walk from the identity to the answer.
func (h *Handler) forward(w http.ResponseWriter, in *http.Request) {
	record, by := h.arrived(in)
	identity, problem := h.identify(in, by, record)
	if problem != nil {
		writeProblem(w, in, refuse(problem), record)
		return
	}
	record.GrantType = string(identity.Grant.Type)
	record.entityUserID, record.entityID = identity.Grant.EntityUserID, identity.EntityID
	record.explanation = h.explain(in, identity)

	body, err := openBody(w, in, h.config.ReplayBodyBytes, h.config.MaxBodyBytes)
	if err != nil {
		writeProblem(w, in, classify(err, record), record)
		return
	}
	if body.stream != nil {
		// Whoever still reads the app's body when the answer is done must stop
		// before net/http takes the connection back.
		defer body.stream.abandon()
	}
	step := &credentialStep{
		tokens: h.config.Tokens, next: attempt{h.retry, body, record},
		grant: identity.Grant, body: body, record: record,
	}
	//nolint:bodyclose // writeResponse closes it
	response, err := step.RoundTrip(h.rewrite(in.Context(), in, identity, body, record))
	record.RequestBytes = body.size()
	if h.draining.Load() { // since this request began
		w.Header().Set("Connection", "close")
	}
	if err != nil {
		if body.stream != nil {
			if in.Context().Err() != nil {
				body.stream.settle()
			}
			if problem := body.stream.problem(Unknown); problem != nil && record.Sent {
				err = problem
			}
		}
		unfinished := body.unfinished()
		if unfinished {
			w.Header().Set("Connection", "close")
		}
		writeProblem(w, in, classify(err, record), record)
		if unfinished {
			_ = http.NewResponseController(w).Flush() // before the upload is waited for
		}
		return
	}
	h.writeResponse(w, in, response, body.unfinished(), record)
}
