package admin

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

const namespace = "monite_proxy"

// buckets are OpenTelemetry's for HTTP durations, in seconds.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// histogramOpts are those of a classic histogram, for every Prometheus, and of a
// native one, for those that ask for it: it is exact to a tenth everywhere, and
// of bounded size.
func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}
}

// Metrics holds what is counted. Its labels are bounded: routes are Monite's
// published templates, and no id of anything is ever one.
type Metrics struct {
	Registry *prometheus.Registry

	requests         *prometheus.CounterVec
	requestDuration  *prometheus.HistogramVec
	upstreamDuration *prometheus.HistogramVec
	tokenWait        prometheus.Histogram
	replays          *prometheus.CounterVec
	retries          prometheus.Counter
	refusals         *prometheus.CounterVec
	outcomes         *prometheus.CounterVec
	aborted          prometheus.Counter
	mints            *prometheus.CounterVec
	mintDuration     prometheus.Histogram
	reloads          *prometheus.CounterVec
	rotations        *prometheus.CounterVec

	bound atomic.Pointer[map[labelSet]*series] // replaced, never changed
}

// NewMetrics makes the registry. tokens and inFlight are asked at each scrape.
func NewMetrics(tokens Tokens, inFlight func() int64, version, commit, goVersion string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(histogramOpts(name, help, buckets), labels)
	}
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		requests: counter("requests_total", "Requests of apps, by route template, method, status and by who answered: upstream or the proxy. Code 499: the app went away.",
			"route", "method", "code", "origin"),
		requestDuration:  histogram("request_duration_seconds", "Time from a request's head to the end of its answer.", "route", "method"),
		upstreamDuration: histogram("upstream_duration_seconds", "Time from sending a request upstream to the head of its answer.", "route", "method"),
		tokenWait: prometheus.NewHistogram(histogramOpts("token_wait_seconds",
			"Time that requests waited for an access token.", append([]float64{0.0001, 0.001}, buckets...))),
		replays: counter("replays_total", "Requests sent a second time with a new token, by how upstream refused the first one: 401 or expired.", "reason"),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "retries_total",
			Help: "Requests sent once more because their connection broke before anything could happen twice."}),
		refusals: counter("refusals_total", "Answers made by the proxy, by error type.", "type"),
		outcomes: counter("outcomes_total", "Requests without a complete answer of upstream, by whether upstream may have executed them: not_sent, rejected or unknown.", "outcome"),
		aborted: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "aborted_answers_total",
			Help: "Answers cut off visibly after their head had been passed on."}),
		mints:        counter("mints_total", "Mints of access tokens, by grant type and result: ok, rejected, throttled, unavailable, malformed or timeout.", "grant_type", "result"),
		mintDuration: prometheus.NewHistogram(histogramOpts("mint_duration_seconds", "Duration of mints.", buckets)),
		reloads:      counter("secret_reloads_total", "Changes of secret files, by result: ok, or failed and the old value kept.", "result"),
		rotations:    newRotations(),
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit, "go_version": goVersion}}, func() float64 { return 1 })
	flight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "in_flight_requests",
		Help: "Requests of apps under way."}, func() float64 { return float64(inFlight()) })
	m.Registry.MustRegister(m.requests, m.requestDuration, m.upstreamDuration, m.tokenWait, m.replays, m.retries, m.refusals,
		m.outcomes, m.aborted, m.mints, m.mintDuration, m.reloads, m.rotations, build, flight, tokenCollector{tokens},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.beginAtZero()
	return m
}

// beginAtZero makes the series that alerts look at: of one that begins with its
// first event, the increase does not show that event.
func (m *Metrics) beginAtZero() {
	for _, grant := range []tokencache.GrantType{tokencache.ClientCredentials, tokencache.EntityUser} {
		for _, result := range []tokencache.Reason{"ok", tokencache.Rejected, tokencache.Throttled, tokencache.Unavailable, tokencache.Malformed, tokencache.TimedOut} {
			m.mints.WithLabelValues(string(grant), string(result))
		}
	}
	for _, outcome := range []proxy.Outcome{proxy.NotSent, proxy.Rejected, proxy.Unknown} {
		m.outcomes.WithLabelValues(string(outcome))
	}
	for _, kind := range []string{"proxy_token_unavailable", "proxy_token_rejected", "proxy_overloaded", "proxy_upstream_unreachable", "proxy_upstream_timeout"} {
		m.refusals.WithLabelValues(kind)
	}
	for _, reason := range []string{"401", "expired"} {
		m.replays.WithLabelValues(reason)
	}
	for _, result := range []string{"ok", "failed"} {
		m.reloads.WithLabelValues(result)
	}
}

// ObserveRequest counts one request.
func (m *Metrics) ObserveRequest(r *proxy.Record) {
	of := m.seriesOf(r)
	of.requests.Inc()
	observe(of.requestDuration, r.Duration, r)
	if r.GrantType != "" {
		observe(m.tokenWait, r.TokenWait, r)
	}
	if r.Sent {
		observe(of.upstreamDuration, r.UpstreamTime, r)
	}
	if r.Replay != "" {
		m.replays.WithLabelValues(r.Replay).Inc()
	}
	if r.Retried {
		m.retries.Inc()
	}
	if r.ErrorType != "" {
		m.refusals.WithLabelValues(r.ErrorType).Inc()
	}
	if r.Outcome != "" {
		m.outcomes.WithLabelValues(string(r.Outcome)).Inc()
	}
	if r.Aborted {
		m.aborted.Inc()
	}
}

// observe leads from a bar of a histogram to a trace, where there is one.
func observe(histogram prometheus.Observer, d time.Duration, r *proxy.Record) {
	if with, ok := histogram.(prometheus.ExemplarObserver); ok && r.Sampled {
		with.ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": r.TraceID})
		return
	}
	histogram.Observe(d.Seconds())
}

// ObserveMint counts one mint.
func (m *Metrics) ObserveMint(mint tokencache.Mint) {
	result := "ok"
	if mint.Err != nil {
		result = string(mint.Err.Reason)
	}
	m.mints.WithLabelValues(string(mint.Grant.Type), result).Inc()
	m.mintDuration.Observe(mint.Duration.Seconds())
}

// ObserveReload counts one change of a secret file.
func (m *Metrics) ObserveReload(ok bool) {
	result := "ok"
	if !ok {
		result = "failed"
	}
	m.reloads.WithLabelValues(result).Inc()
}

// CountDroppedLines shows how many lines of the log and of the audit file were
// dropped. It is called at most once, before the first scrape.
func (m *Metrics) CountDroppedLines(log, audit func() int64) {
	count := func(name, help string, lines func() int64) {
		m.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help},
			func() float64 { return float64(lines()) }))
	}
	count("log_lines_dropped_total", "Lines of the log that were dropped, because nobody read them in time.", log)
	count("audit_lines_dropped_total", "Lines of the audit file that were dropped, because it could not take them. 0 without MONITE_AUDIT_LOG.", audit)
}

// CountRefusedPeers shows how many connections were closed because of who
// connected. It is called at most once, before the first scrape.
func (m *Metrics) CountRefusedPeers(connections func() int64) {
	m.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: "refused_peers_total",
		Help: "Connections to the data listener's unix socket of users that are not allowed."}, func() float64 { return float64(connections()) }))
}

// CountDroppedSpans shows how many spans were not exported. It is called at most
// once, before the first scrape, and not at all without traces.
func (m *Metrics) CountDroppedSpans(spans func() int64) {
	m.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: "trace_spans_dropped_total",
		Help: "Spans that were not exported: the queue was full, or the collector did not take them."}, func() float64 { return float64(spans()) }))
}

// tokenCollector reads the cache at each scrape.
type tokenCollector struct{ tokens Tokens }

var (
	secondsLeft = prometheus.NewDesc(namespace+"_token_seconds_left",
		"Least remaining lifetime of the tokens in use, by grant type.", []string{"grant_type"}, nil)
	cachedGrants = prometheus.NewDesc(namespace+"_cached_grants", "Grants in the token cache.", nil, nil)
)

// hot is how lately a grant was used for its token to count.
const hot = 10 * 60 // seconds

func (c tokenCollector) Describe(out chan<- *prometheus.Desc) {
	out <- secondsLeft
	out <- cachedGrants
}

func (c tokenCollector) Collect(out chan<- prometheus.Metric) {
	all := c.tokens.Status()
	least := map[tokencache.GrantType]float64{}
	for _, s := range all {
		if s.Mints == 0 || s.Idle.Seconds() > hot && !s.Warm {
			continue
		}
		if left, seen := least[s.Grant.Type]; !seen || s.Left.Seconds() < left {
			least[s.Grant.Type] = s.Left.Seconds()
		}
	}
	for grantType, left := range least {
		out <- prometheus.MustNewConstMetric(secondsLeft, prometheus.GaugeValue, left, string(grantType))
	}
	out <- prometheus.MustNewConstMetric(cachedGrants, prometheus.GaugeValue, float64(len(all)))
}
