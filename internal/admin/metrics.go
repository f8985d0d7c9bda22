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
	identityReloads  *prometheus.CounterVec
	audited          *prometheus.CounterVec
	repeats          *prometheus.CounterVec
	keyed            *prometheus.CounterVec

	bound atomic.Pointer[map[labelSet]*series] // replaced, never changed
}

// NewMetrics makes a registry with what is counted as it happens. What is asked at
// each scrape comes with Register.
func NewMetrics() *Metrics {
	m := &Metrics{Registry: prometheus.NewRegistry()}
	m.requests = m.counters("requests_total", "Requests of apps, by route template, method, status and source of the response: upstream or the proxy. Code 499: the app went away.",
		"route", "method", "code", "origin")
	m.requestDuration = m.histograms("request_duration_seconds", "Time from a request's head to the end of its response.", "route", "method")
	m.upstreamDuration = m.histograms("upstream_duration_seconds", "Time from sending a request upstream to the head of its response.", "route", "method")
	m.tokenWait = m.histogram("token_wait_seconds", "Time that requests waited for an access token.", append([]float64{0.0001, 0.001}, buckets...))
	m.replays = m.counter("replays_total", "Requests sent a second time with a new token, by how upstream refused the first one: 401 or expired.", "reason", "401", "expired")
	m.retries = m.counters("retries_total", "Requests sent once more because their connection broke before anything could happen twice.").WithLabelValues()
	m.refusals = m.counter("refusals_total", "Responses that the proxy made itself, by error type.", "type",
		"proxy_token_unavailable", "proxy_token_rejected", "proxy_overloaded", "proxy_upstream_unreachable", "proxy_upstream_timeout")
	m.outcomes = m.counter("outcomes_total", "Requests without a complete response from upstream, by whether upstream may have executed them: not_sent, rejected or unknown.", "outcome",
		string(proxy.NotSent), string(proxy.Rejected), string(proxy.Unknown))
	m.aborted = m.counters("aborted_answers_total", "Responses cut off visibly after their head had been passed on.").WithLabelValues()
	m.mints = m.counters("mints_total", "Mints of access tokens, by grant type and result: ok, rejected, throttled, unavailable, malformed or timeout.", "grant_type", "result")
	for _, grant := range []tokencache.GrantType{tokencache.ClientCredentials, tokencache.EntityUser} {
		for _, result := range []tokencache.Reason{"ok", tokencache.Rejected, tokencache.Throttled, tokencache.Unavailable, tokencache.Malformed, tokencache.TimedOut} {
			m.mints.WithLabelValues(string(grant), string(result))
		}
	}
	m.mintDuration = m.histogram("mint_duration_seconds", "Duration of mints.", buckets)
	m.reloads = m.counter("secret_reloads_total", "Changes of secret files, by result: ok, or failed (the old value stays in use).", "result", "ok", "failed")
	m.rotations = m.counter("credential_rotations_total", "Attempts to put changed credentials into use, by result: ok; refused by the token endpoint; failed for another reason. Unless ok, the old pair stays in use.", "result",
		"ok", "refused", "failed")
	m.identityReloads = m.counter("identity_reloads_total", "Changes of the identities file, by result: ok, or failed (the old identities stay in use).", "result", "ok", "failed")
	m.audited = m.counter("audited_refusals_total", "Requests that rules on trial (audit_only) would have refused, by error type.", "type")
	m.repeats = m.counter("repeats_total", "Writes without a key that repeat an earlier one, by result: refused, replayed, overridden; waited counts those that waited for one under way, whatever the result.", "result",
		"refused", "replayed", "waited", "overridden")
	m.keyed = m.counter("idempotency_total", "Writes with an Idempotency-Key, by result: sent, replayed, refused, reused, in_progress, gone, unavailable or overridden.", "result",
		"sent", "replayed", "refused", "reused", "in_progress", "gone", "unavailable", "overridden")
	m.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
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
	if r.Audited != "" {
		m.audited.WithLabelValues(r.Audited).Inc()
	}
	if r.Repeat != "" {
		m.observeRepeat(r)
	}
}

// observeRepeat counts what became of a write that is remembered.
func (m *Metrics) observeRepeat(r *proxy.Record) {
	if r.Keyed {
		m.keyed.WithLabelValues(r.Repeat).Inc()
		return
	}
	if r.Waited {
		m.repeats.WithLabelValues("waited").Inc()
	}
	switch r.Repeat {
	case "sent":
	case "replayed", "overridden":
		m.repeats.WithLabelValues(r.Repeat).Inc()
	default: // in_progress and gone, too, are refusals
		m.repeats.WithLabelValues("refused").Inc()
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

// ObserveSecretReload counts one change of a secret file.
func (m *Metrics) ObserveSecretReload(ok bool) { m.reloads.WithLabelValues(result(ok)).Inc() }

// ObserveIdentityReload counts one change of the identities file.
func (m *Metrics) ObserveIdentityReload(ok bool) { m.identityReloads.WithLabelValues(result(ok)).Inc() }

func result(ok bool) string {
	if ok {
		return "ok"
	}
	return "failed"
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.Registry.MustRegister(all)
	return all
}

// counter has one label. The series of the values begin at zero: of one that begins
// with its first event, the increase does not show that event, and alerts look at it.
func (m *Metrics) counter(name, help, label string, values ...string) *prometheus.CounterVec {
	all := m.counters(name, help, label)
	for _, value := range values {
		all.WithLabelValues(value)
	}
	return all
}

// histogramOpts are those of a classic histogram, for every Prometheus, and of a
// native one, for those that ask for it: it is exact to a tenth everywhere, and
// of bounded size.
func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}
}

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	one := prometheus.NewHistogram(histogramOpts(name, help, buckets))
	m.Registry.MustRegister(one)
	return one
}

func (m *Metrics) histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	all := prometheus.NewHistogramVec(histogramOpts(name, help, buckets), labels)
	m.Registry.MustRegister(all)
	return all
}

// counted is asked at each scrape, as gauge is.
func (m *Metrics) counted(name, help string, labels prometheus.Labels, value func() float64) {
	m.Registry.MustRegister(prometheus.NewCounterFunc(
		prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help, ConstLabels: labels}, value))
}

func (m *Metrics) gauge(name, help string, labels prometheus.Labels, value func() float64) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help, ConstLabels: labels}, value))
}
