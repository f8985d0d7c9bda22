package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/admin/client"
	"github.com/monite-proxy/monite-proxy/internal/confine"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache/redisstore"
)

const (
	// wholeTimeout limits the examination, stepTimeout one step of the network.
	wholeTimeout = 90 * time.Second
	stepTimeout  = 5 * time.Second
	// mostIdentities limits how many ids of each list are tried.
	mostIdentities = 20
)

// Config holds what the command provides for an examination.
type Config struct {
	Settings *config.Config
	Version  string
	// Transport is a transport of its own, as the sidecar would make it. Examine
	// shortens its timeouts and closes its idle connections.
	Transport *upstream.Transport
	// Store is the shared store of the configuration. Nil: nothing.
	Store *redisstore.Store
	// LocalTLS returns what an app needs to call the data listener, and whether the
	// listener asks apps for a certificate. Nil: the listener speaks plain HTTP.
	LocalTLS func() (own *tls.Config, asks bool)
}

// Examine checks, one after the other, what has to work for an app's request to
// get its response from upstream.
func Examine(ctx context.Context, c Config) Report { return newExamination(c).run(ctx) }

// examination is one run of the doctor. A test replaces how it looks names up, how
// it dials, and its clock.
type examination struct {
	Config
	cfg     *config.Config // Settings
	lookup  func(ctx context.Context, host string) ([]string, error)
	servers func(host string) []string // the name servers that are asked for it
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	now     func() time.Time
	// confined says how far a sidecar can be confined here.
	confined func() (confine.InForce, error)
	// patience is for one query to a name server.
	patience time.Duration

	addresses   []string // of the first hop
	dns         []serverCheck
	seen        *lastResponse
	sidecar     *client.Client    // of the running one; set once it is ready
	users       map[string]minted // by the user's id
	badEntities map[string]bool   // reported already
	// certificateAsked: upstream has asked for a client certificate.
	certificateAsked bool
	report           Report
	broken           bool // a later step on the way to upstream would fail for the same reason
}

func newExamination(c Config) *examination {
	cfg := c.Settings
	e := &examination{
		Config: c, cfg: cfg, lookup: lookup, servers: systemServers, dial: (&net.Dialer{}).DialContext, now: time.Now, confined: confine.Supported, patience: serverPatience,
		users: map[string]minted{}, badEntities: map[string]bool{},
	}
	e.report = Report{ActsAs: cfg.ActsAs(), Version: c.Version, Environment: cfg.Environment, Upstream: cfg.Upstream.String(), GrantType: cfg.GrantType}
	return e
}

// run makes the steps in the order in which a request meets them.
func (e *examination) run(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, wholeTimeout)
	defer cancel()
	e.Transport.DialTimeout = stepTimeout
	e.Transport.ResponseHeaderTimeout = min(e.cfg.UpstreamTimeout, 2*stepTimeout)
	defer e.Transport.CloseIdleConnections()
	e.seen = &lastResponse{next: e.Transport}

	e.checkConfiguration()
	e.checkProxies()
	e.step(ctx, "dns", e.checkDNS)
	if host, _, _ := e.firstHop(); !e.broken {
		e.reportServers(host)
	}
	e.step(ctx, "tcp", e.checkTCP)
	e.step(ctx, "tls", e.checkTLS)
	e.step(ctx, "api", e.checkAPI)
	e.checkClock()
	e.checkIdentities(ctx)
	e.checkShared(ctx)
	e.checkWrites()
	e.checkCollector(ctx)
	e.checkSidecar(ctx)
	return e.report
}

// step runs one check on the way to upstream. After a problem the later steps are
// skipped: they would tell of the same problem in other words.
func (e *examination) step(ctx context.Context, name string, check func(context.Context) finding) {
	if e.broken {
		e.report.add(finding{Step: name, Result: skipped, What: "not tried, because of the problem above"})
		return
	}
	begin := time.Now()
	f := check(ctx)
	f.Step, f.Took = name, time.Since(begin).Round(time.Microsecond).Seconds()
	e.broken = f.Result == problem
	e.report.add(f)
}

func (e *examination) checkConfiguration() {
	e.report.add(finding{Step: "configuration", Result: fine, What: fmt.Sprintf("valid; environment %s, API version %s", e.cfg.Environment, e.cfg.APIVersion)})
	if foreign := e.cfg.ForeignCertificate(); foreign != "" {
		e.report.add(finding{Step: "configuration", Result: problem, What: client.TermSafe(foreign), Why: "an app that checks the certificate refuses the connection",
			Next: "use a certificate for localhost, or add the name by which apps call to MONITE_ALLOWED_HOSTS"})
	}
	untimely := e.cfg.UntimelyCertificates()
	for _, warning := range e.cfg.Warnings {
		f := finding{Step: "configuration", Result: note, What: warning}
		if slices.Contains(untimely, warning) {
			f.Result, f.Next = problem, "renew the certificate, or set this machine's clock (NTP); the file is read again without a restart"
		}
		e.report.add(f)
	}
}
