package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/admin/client"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// What a finding is. Only a problem makes the doctor's exit code 1.
const (
	fine    = "ok"
	note    = "note"
	problem = "problem"
	skipped = "skipped"
)

const (
	// doctorTimeout bounds the whole; stepTimeout one step of the network.
	doctorTimeout = 90 * time.Second
	stepTimeout   = 5 * time.Second
	// mostIdentities is how many ids of each list are tried.
	mostIdentities = 20
)

// finding is the result of one step, in words that can be pasted anywhere: no
// secret, no token, no whole id, nothing that upstream wrote.
type finding struct {
	Step   string  `json:"step"`
	Result string  `json:"result"`
	What   string  `json:"what"`           // what was seen
	Why    string  `json:"why,omitempty"`  // what it probably comes from
	Next   string  `json:"next,omitempty"` // what to do
	Took   float64 `json:"took_seconds"`
}

// report is all of them.
type report struct {
	Version     string    `json:"version"`
	Environment string    `json:"environment,omitempty"`
	Upstream    string    `json:"upstream,omitempty"`
	GrantType   string    `json:"grant_type,omitempty"`
	Findings    []finding `json:"findings"`
	Problems    int       `json:"problems"`
}

// examination is one run of the doctor.
type examination struct {
	cfg    *config.Config
	lookup func(ctx context.Context, host string) ([]string, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	now    func() time.Time

	transport *upstream.Transport
	seen      *lastAnswer
	report    report
	broken    bool // what follows on the way to upstream makes no sense
}

// doctor checks, one after the other, what has to work for an app's request to
// be answered by upstream.
func doctor(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("monite-proxy doctor", flag.ContinueOnError)
	flags.SetOutput(stderr)
	asJSON := flags.Bool("json", false, "print the report as JSON")
	if code, done := parse(flags, args, stderr); done {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var found report
	if cfg, err := config.Load(); err != nil {
		found = misconfigured(err)
	} else {
		found = newExamination(cfg).run(ctx)
	}
	if *asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(found)
	} else {
		_, _ = io.WriteString(stdout, found.text())
	}
	if found.Problems > 0 {
		return exitFailure
	}
	return exitOK
}

func misconfigured(err error) report {
	version, _, _ := build()
	found := report{Version: version}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		found.add(finding{Step: "configuration", Result: problem, What: line, Next: "correct the variable; 'monite-proxy check' lists all of them"})
	}
	return found
}

func newExamination(cfg *config.Config) *examination {
	e := &examination{cfg: cfg, lookup: net.DefaultResolver.LookupHost, dial: (&net.Dialer{}).DialContext, now: time.Now}
	version, _, _ := build()
	e.report = report{Version: version, Environment: cfg.Environment, Upstream: cfg.Upstream.String(), GrantType: cfg.GrantType}
	return e
}

// run makes the steps in the order in which a request meets them.
func (e *examination) run(ctx context.Context) report {
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	e.transport = newTransport(e.cfg)
	e.transport.Dial = e.dial
	e.transport.DialTimeout = stepTimeout
	e.transport.ResponseHeaderTimeout = min(e.cfg.UpstreamTimeout, 2*stepTimeout)
	defer e.transport.CloseIdleConnections()
	e.seen = &lastAnswer{next: e.transport}

	e.checkConfiguration()
	e.step(ctx, "dns", e.checkDNS)
	e.step(ctx, "tcp", e.checkTCP)
	e.step(ctx, "tls", e.checkTLS)
	e.step(ctx, "api", e.checkAPI)
	e.checkClock()
	e.checkIdentities(ctx)
	e.checkSidecar(ctx)
	return e.report
}

// step runs one check on the way to upstream. After a problem there the rest of
// the way is skipped: it would be the same problem in other words.
func (e *examination) step(ctx context.Context, name string, check func(context.Context) finding) {
	if e.broken {
		e.report.add(finding{Step: name, Result: skipped, What: "not tried, because of the problem above"})
		return
	}
	begin := time.Now()
	f := check(ctx)
	f.Step, f.Took = name, time.Since(begin).Round(100*time.Microsecond).Seconds()
	e.broken = f.Result == problem
	e.report.add(f)
}

func (e *examination) checkConfiguration() {
	e.report.add(finding{Step: "configuration", Result: fine, What: fmt.Sprintf("valid; environment %s, API version %s", e.cfg.Environment, e.cfg.APIVersion)})
	for _, warning := range e.cfg.Warnings {
		e.report.add(finding{Step: "configuration", Result: note, What: warning})
	}
}

func (r *report) add(f finding) {
	r.Findings = append(r.Findings, f)
	if f.Result == problem {
		r.Problems++
	}
}

// text is the report for people, and for pasting.
func (r *report) text() string {
	var out strings.Builder
	_, _ = fmt.Fprintf(&out, "monite-proxy doctor, version %s\n", r.Version)
	if r.Upstream != "" {
		_, _ = fmt.Fprintf(&out, "environment %s, upstream %s, default grant %s\n", r.Environment, r.Upstream, r.GrantType)
	}
	out.WriteByte('\n')
	for _, f := range r.Findings {
		_, _ = fmt.Fprintf(&out, "%-9s %-13s %s", "["+f.Result+"]", f.Step, f.What)
		if f.Took > 0 {
			_, _ = fmt.Fprintf(&out, " (%s)", client.ShortSeconds(f.Took))
		}
		out.WriteByte('\n')
		if f.Why != "" {
			_, _ = fmt.Fprintf(&out, "%24swhy:  %s\n", "", f.Why)
		}
		if f.Next != "" {
			_, _ = fmt.Fprintf(&out, "%24snext: %s\n", "", f.Next)
		}
	}
	switch r.Problems {
	case 0:
		out.WriteString("\nno problem found\n")
	case 1:
		out.WriteString("\n1 problem found\n")
	default:
		_, _ = fmt.Fprintf(&out, "\n%d problems found\n", r.Problems)
	}
	return out.String()
}

// lastAnswer remembers of the last answer what tells who gave it.
type lastAnswer struct {
	next          http.RoundTripper
	status        int // 0: no answer
	html, json    bool
	redirect      string // the host that Location names
	date          time.Time
	asked, seenAt time.Time
	err           error
}

func (l *lastAnswer) RoundTrip(out *http.Request) (*http.Response, error) {
	next := l.next
	*l = lastAnswer{next: next, asked: time.Now()}
	response, err := next.RoundTrip(out)
	l.seenAt, l.err = time.Now(), err
	if err != nil {
		return nil, err
	}
	l.status = response.StatusCode
	contentType := strings.ToLower(response.Header.Get("Content-Type"))
	l.html, l.json = strings.Contains(contentType, "html"), strings.Contains(contentType, "json")
	if at, err := response.Location(); err == nil {
		l.redirect = client.TermSafe(at.Host)
	}
	l.date, _ = http.ParseTime(response.Header.Get("Date"))
	return response, nil
}

// proxyIgnored is a hint for whoever has to go through a forward proxy.
func (e *examination) proxyIgnored() string {
	if e.cfg.ProxyFromEnv {
		return ""
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		if os.Getenv(name) != "" {
			return " " + name + " is set, but only counts with MONITE_PROXY_FROM_ENV=true."
		}
	}
	return ""
}
