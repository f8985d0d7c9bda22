package proxy

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/routes"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/writes"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Config configures a Handler.
type Config struct {
	// Origin is upstream's scheme and host: the only place that is ever called.
	Origin *url.URL
	Tokens TokenSource
	// Upstream sends one request to Origin, once.
	Upstream http.RoundTripper
	// APIVersion is added as X-Monite-Version where the app sent none: a date.
	APIVersion string
	// Policy is the first one; SetPolicy changes it.
	Policy identity.Policy
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
	// MaxInFlight requests on their way to upstream, 503 above it. At least 1. A
	// listener may have three quarters of them if there are several.
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
	// MaxPerSecond requests are sent upstream; what comes faster waits for up to a
	// second, and is refused beyond it. 0: no limit.
	MaxPerSecond int
	// SharedPace asks in how long all replicas together may send the next request. An
	// error lets it go. nil: each replica paces its own.
	SharedPace func(context.Context) (time.Duration, error)
	// OnAccepted is told when a request was sent whose token upstream took. May be nil.
	OnAccepted func(grant tokencache.Grant, sent time.Time)
	// OnLimited is told for how long Monite wants no requests of this client id, after a 429
	// or when none is left. May be nil.
	OnLimited func(time.Duration)
	// Explain allows X-Monite-Proxy-Explain: not in production.
	Explain bool
	// Journal remembers writes, so that none is repeated by accident. nil: none is
	// remembered, and none is followed.
	Journal *writes.Journal
	// FollowFor limits how long a write is followed whose app does not wait any more.
	// 0: 10 minutes.
	FollowFor time.Duration
	// Observe is called at the end of each request, and copies what it keeps. May be nil.
	Observe func(*Record)
}

// Handler serves the data listener. Use New.
type Handler struct {
	config    Config
	log       accessLog
	guard     *guard
	router    http.Handler // past the guard: what is forwarded, and what is served here
	retry     *retry
	pacer     *pacer
	followers *followers
	policy    atomic.Pointer[identity.View]
	handles   *identity.Handles // nil: off
	places    places
	codings   codings
	draining  atomic.Bool
}

// waitingPerPlace bounds the requests that have no place yet, or need none, such as
// those whose body is still coming in.
const waitingPerPlace = 4

// forwarded begins the paths that go to upstream. It is a pattern of the router,
// which sees no more than this of them (routed).
const forwarded = "/v1/"

// New makes a Handler. It panics if Origin, Tokens or Upstream is missing.
func New(config Config) *Handler {
	if config.Origin == nil || config.Tokens == nil || config.Upstream == nil {
		panic("proxy: Config needs Origin, Tokens and Upstream")
	}
	h := &Handler{
		config: config,
		log:    accessLog{log: config.Log, observe: config.Observe, auditLog: config.Audit, listener: config.Listener, tracer: config.Tracer},
		guard: &guard{
			hosts:        knownHosts(config.AllowedHosts, config.Bound),
			appToken:     config.AppToken,
			readOnly:     config.ReadOnly,
			maxBodyBytes: config.MaxBodyBytes,
			inside:       places{most: waitingPerPlace * config.MaxInFlight},
			tokenHandles: config.HandleSecret != nil,
		},
		retry:     newRetry(config.Upstream),
		pacer:     newPacer(config.MaxPerSecond, config.SharedPace),
		followers: newFollowers(config.FollowFor, config.MaxInFlight),
		places:    places{most: config.MaxInFlight},
	}
	h.pacer.onLimited = config.OnLimited
	h.SetPolicy(config.Policy)

	router := chi.NewRouter()
	router.Handle(forwarded, step((*call).forward))
	if config.HandleSecret != nil {
		h.handles = identity.NewHandles(config.HandleSecret)
		router.Post(tokenPath, step((*call).answerTokenRequest))
	}
	router.NotFound(step((*call).refuseRoute))
	router.MethodNotAllowed(step((*call).refuseRoute))
	h.router = router
	return h
}

// ServeHTTP takes one request to its end; its order is that of the walk.
func (h *Handler) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	// net/http leaves the deadline of the request before in force.
	now := time.Now()
	_ = http.NewResponseController(w).SetWriteDeadline(now.Add(progressTimeout))
	if h.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	c := h.log.begin(h, w, in, now)
	defer c.end()
	c.locate()
	if failure := c.guard(); failure != nil {
		c.refuse(failure)
		return
	}
	defer h.guard.inside.leave(c.arrival.Listener, !c.view.HasListeners())
	h.router.ServeHTTP(w, c.in)
}

// Drain has every response from now on say that its connection ends, so that no
// app sends its next request on one that is about to be closed.
func (h *Handler) Drain() { h.draining.Store(true) }

// SetPolicy puts another policy in place. Requests that have begun keep theirs.
func (h *Handler) SetPolicy(policy identity.Policy) { h.policy.Store(identity.NewView(policy)) }

// InFlight is the number of requests past the guard.
func (h *Handler) InFlight() int64 { return h.guard.inside.taken.Load() }

// locate finds what the request is about: the policy that it begins with, the
// identity whose path prefix it has, and the path that upstream would see. It
// decides nothing.
func (c *call) locate() {
	path, _, _ := strings.Cut(c.in.RequestURI, "?")
	c.view = c.handler.policy.Load()
	c.arrival.Listener = listenerOf(c.Context)
	var right bool
	c.arrival.Prefix, c.path, right = c.view.Cut(path)
	c.nearPrefix = !right
	c.route = routes.Find(c.path)
	c.record.Route = routes.Template(c.route)
	c.routed.RoutePath = routed(c.path)
	c.routed.RoutePatterns = c.room.patterns[:0]
}

// routed returns the part of a path that the router needs. With a wildcard in the
// pattern chi would keep the rest of the path, six allocations per request.
func routed(path string) string {
	if strings.HasPrefix(path, forwarded) && path != tokenPath {
		return forwarded
	}
	return path
}

// forward is the walk from the identity to the response.
func (c *call) forward() {
	if problem := c.identify(); problem != nil {
		c.refuse(c.refused(problem))
		return
	}
	c.explain()
	if err := c.openBody(); err != nil {
		c.fail(err)
		return
	}
	defer c.leaveBody()
	if c.remembers() {
		c.passOnce()
		return
	}
	c.pass()
	c.noteRead()
}

// pass is the part of the walk that sends.
func (c *call) pass() {
	alone := !c.view.HasListeners()
	if !c.handler.places.take(c.arrival.Listener, alone) {
		c.failSent(overloaded())
		return
	}
	defer c.handler.places.leave(c.arrival.Listener, alone)
	response, err := c.send(c.rewrite()) //nolint:bodyclose // respond closes it
	c.record.RequestBytes = c.body.size()
	if c.handler.draining.Load() { // since this request began
		c.w.Header().Set("Connection", "close")
	}
	if err != nil {
		c.failSent(err)
		return
	}
	c.respond(response)
}

// identify decides on whose behalf the request is sent, and whether that
// identity may send it.
func (c *call) identify() *problem {
	var refusal identity.Refusal
	if c.arrival.Handle, refusal = c.handler.handles.Read(c.in.Header["Authorization"]); refusal != identity.None {
		return refusalProblem(refusal)
	}
	resolved, refusal := c.view.Resolve(c.in.Header, c.arrival)
	if refusal != identity.None {
		return refusalProblem(refusal)
	}
	if named := resolved.Named; named != nil {
		c.record.Identity = named.Name
		c.identity = resolved
		refusal = named.Refuses(c.in.Method, c.path, c.route)
		if refusal == identity.Rule && named.AuditOnly {
			c.record.Audited, refusal = refusalProblem(refusal).kind, identity.None
		}
		if refusal != identity.None {
			return refusalProblem(refusal)
		}
	}
	c.identity = resolved
	c.record.GrantType = string(resolved.Grant.Type)
	return nil
}

// refuseRoute refuses a path that is not forwarded.
func (c *call) refuseRoute() { c.refuse(c.refused(&problemNotForwarded)) }
