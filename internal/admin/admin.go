package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/proxy/target"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Tokens is the part of the token cache that the admin listener uses.
type Tokens interface {
	Status() []tokencache.Status
	// Warmed reports whether the first token of the default grant was seen.
	Warmed() bool
	// Refresh has every cached token minted anew.
	Refresh()
}

// Config configures a Handler.
type Config struct {
	Sources
	Health *Health
	// Metrics get the Sources.
	Metrics *Metrics
	// History keeps the past for /status and the page.
	History *History
	// Settings is the configuration in effect, redacted, for /status and the page.
	Settings []config.Setting
	// StatusPage: the page for people is served on /.
	StatusPage bool
	// Upstream is the origin.
	Upstream string
	// Production: money moves there.
	Production bool
	// Default is the grant of a request that names no entity user.
	Default tokencache.Grant
	// AllowedHosts are further names in Host, as target.HostName returns them.
	AllowedHosts []string
	// Quit asks the process to drain and stop. nil: POST /quitquitquit is refused.
	Quit func()
	// Listeners are the addresses that are open, by the kind of the listener.
	Listeners func() map[string][]string
	// Credentials tells of the client id and secret. nil: /status does not.
	Credentials func() CredentialsStatus
	// Shared tells of the shared store. nil: there is none.
	Shared func() SharedStatus
	// Named returns the state of the identities file. It is nil, or returns nil, if
	// there is none.
	Named func() *NamedStatus
	// Started is the time at which the process started.
	Started time.Time
}

// Handler serves the admin listener.
type Handler struct {
	config Config
	hosts  map[string]bool
	router http.Handler
	page   *page

	mu        sync.Mutex // guards refreshed
	refreshed time.Time  // when POST /tokens/refresh was last followed
}

// refreshPause is the time between two refreshes of all tokens: each mints as many
// tokens as grants are cached, of the rate that the client id has for all its
// replicas.
const refreshPause = 30 * time.Second

// New makes a Handler.
func New(config Config) *Handler {
	h := &Handler{config: config, hosts: map[string]bool{}}
	h.page = newPage(h.current)
	config.Metrics.Register(config.Sources)
	for _, host := range config.AllowedHosts {
		h.hosts[host] = true
	}
	router := chi.NewRouter()
	get := func(path string, handler http.HandlerFunc) {
		router.Get(path, handler)
		router.Head(path, handler)
	}
	get("/livez", config.Health.live)
	get("/readyz", config.Health.ready)
	get("/startupz", config.Health.startup)
	metrics := promhttp.HandlerFor(config.Metrics.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	get("/metrics", metrics.ServeHTTP)
	get("/version", h.version)
	get("/status", ownOrigin(h.status))
	if config.StatusPage {
		get("/", ownOrigin(h.page.show))
		get("/page.css", h.page.file("page.css", "text/css; charset=utf-8"))
		get("/page.js", h.page.file("page.js", "text/javascript; charset=utf-8"))
		get("/page.svg", h.page.file("page.svg", "image/svg+xml"))
		router.Get("/events", ownOrigin(h.page.events))
	}
	router.Post("/tokens/refresh", ownOrigin(h.refresh))
	router.Post("/writes/{request_id}/forget", ownOrigin(h.forget))
	router.Post("/quitquitquit", ownOrigin(h.quit))
	h.router = router
	return h
}

// Close ends the event streams, which would otherwise last as long as their
// pages are open. For http.Server.RegisterOnShutdown.
func (h *Handler) Close() { h.page.close() }

// ServeHTTP checks Host before the routes, so that no path gets past it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !h.hostAllowed(r) {
		http.Error(w, "Host is not a name of this proxy: use localhost, an IP address, or add it to MONITE_ALLOWED_HOSTS", http.StatusMisdirectedRequest)
		return
	}
	h.router.ServeHTTP(w, r)
}

// hostAllowed reports whether a request may use its Host. Kubelet and Prometheus use
// the pod's IP address; a page that reached us by DNS rebinding always uses a name. No
// page reaches a unix socket, and clients send any Host there.
func (h *Handler) hostAllowed(r *http.Request) bool {
	if _, isUnix := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); isUnix {
		return true
	}
	name, ok := target.HostName(r.Host)
	if !ok {
		return false
	}
	if target.LoopbackName(name) || h.hosts[name] {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Zone() == ""
}

// ownOrigin refuses what a page of another origin sends: it may look at nothing
// here, and start nothing.
func ownOrigin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		foreign := site != "" && site != "same-origin" && site != "none"
		if origins := r.Header["Origin"]; len(origins) > 0 {
			at, err := url.Parse(origins[0])
			foreign = foreign || len(origins) > 1 || err != nil || !strings.EqualFold(at.Host, r.Host)
		}
		if foreign {
			http.Error(w, "pages of another origin are refused", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

func (h *Handler) refresh(w http.ResponseWriter, r *http.Request) {
	if wait := h.mayRefresh(); wait > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int64((wait+time.Second-1)/time.Second)))
		http.Error(w, "all tokens were refreshed just now: once in "+refreshPause.String()+" is enough", http.StatusTooManyRequests)
		return
	}
	h.config.Tokens.Refresh()
	if h.config.StatusPage && strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/", http.StatusSeeOther) // the button of the page
		return
	}
	writeJSON(w, http.StatusAccepted, map[string]string{"result": "refreshing"})
}

// mayRefresh returns how long to wait; 0: not at all, and the next pause begins.
func (h *Handler) mayRefresh() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if wait := h.refreshed.Add(refreshPause).Sub(now); wait > 0 && !h.refreshed.IsZero() {
		return wait
	}
	h.refreshed = now
	return 0
}

func (h *Handler) quit(w http.ResponseWriter, _ *http.Request) {
	if h.config.Quit == nil {
		http.Error(w, "the quit endpoint is off: set MONITE_QUIT_ENDPOINT=true", http.StatusForbidden)
		return
	}
	writeJSON(w, http.StatusAccepted, map[string]string{"result": "draining"})
	h.config.Quit()
}
