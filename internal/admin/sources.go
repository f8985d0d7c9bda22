package admin

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Sources are asked at each scrape, and some of them for /status. All but DroppedSpans,
// RateLimitRemaining and Writes are required.
type Sources struct {
	Tokens Tokens
	// InFlight is the number of app requests under way.
	InFlight func() int64
	// DroppedLines and DroppedAuditLines are lines that could not be written.
	DroppedLines, DroppedAuditLines func() int64
	// RefusedPeers are connections that were closed because of their user.
	RefusedPeers func() int64
	// RateLimitRemaining returns the number of requests that the client id has left,
	// as Monite last reported; ok is false if it has not. Nil: the metric is left
	// out.
	RateLimitRemaining func() (n int64, ok bool)
	// MadeAhead are the connections to upstream that were made before a request needed
	// one, those of them that a request then used, and those that ended unused.
	MadeAhead func() (made, used, unused uint64)
	// DroppedSpans are spans that were not exported. Nil: there are no traces, and
	// the metric is left out.
	DroppedSpans func() int64
	// NewPair reports whether changed credentials wait for their proof.
	NewPair func() bool
	// Identities is the number of named identities.
	Identities func() int
	// Writes is the journal of writes, and Followed the number of those that are still
	// read although their app has gone. Nil: nothing is remembered, and the metrics are
	// left out.
	Writes   Writes
	Followed func() int64
	// Environment is sandbox, eu, us or custom.
	Environment string
	// Version, Commit and GoVersion are shown as they are.
	Version, Commit, GoVersion string
}

// Register adds what the sources know. It is called once, before the first
// scrape.
func (m *Metrics) Register(from Sources) {
	counter := func(name, help string, value func() int64) {
		m.counted(name, help, nil, func() float64 { return float64(value()) })
	}
	one := func() float64 { return 1 }
	m.Registry.MustRegister(tokenCollector{from.Tokens})
	m.gauge("build_info", "Always 1.", prometheus.Labels{"version": from.Version, "commit": from.Commit, "go_version": from.GoVersion}, one)
	m.gauge("environment_info", "Always 1.", prometheus.Labels{"environment": from.Environment}, one)
	m.gauge("in_flight_requests", "Requests of apps under way.", nil, func() float64 { return float64(from.InFlight()) })
	m.gauge("named_identities", "Identities of the identities file.", nil, func() float64 { return float64(from.Identities()) })
	m.gauge("credential_rotation_pending", "1 while the credentials in the files are not in use, because no mint with them has succeeded.", nil, func() float64 {
		if from.NewPair() {
			return 1
		}
		return 0
	})
	counter("log_lines_dropped_total", "Log lines dropped because the log's reader was too slow.", from.DroppedLines)
	counter("audit_lines_dropped_total", "Audit lines dropped because the audit file could not be written. 0 without MONITE_AUDIT_LOG.", from.DroppedAuditLines)
	counter("refused_peers_total", "Connections refused on unix sockets, because their user is not allowed.", from.RefusedPeers)
	for i, result := range []string{"made", "used", "unused"} {
		m.counted("upstream_connections_ahead_total",
			"Connections to upstream opened before a request needed one (MONITE_KEEP_WARM), by result; made counts all.",
			prometheus.Labels{"result": result}, func() float64 {
				made, used, unused := from.MadeAhead()
				return float64([]uint64{made, used, unused}[i])
			})
	}
	if from.Writes != nil {
		m.gauge("write_records", "Remembered writes.", nil, func() float64 { return float64(from.Writes.Stats().Records) })
		m.gauge("write_record_bytes", "Bytes of the responses kept with remembered writes.", nil, func() float64 { return float64(from.Writes.Stats().Bytes) })
		m.gauge("unknown_writes", "Remembered writes of unknown outcome, until the outcome is known or they expire.", nil,
			func() float64 { return float64(from.Writes.Stats().Unknown) })
		m.gauge("followed_writes", "Writes whose app has gone and whose response the proxy still reads.", nil, func() float64 { return float64(from.Followed()) })
		counter("write_records_dropped_total", "Writes forgotten early, because too many were remembered.", func() int64 { return from.Writes.Stats().Pushed.Records })
		counter("write_responses_dropped_total", "Responses to remembered writes dropped early, because together they were too large.",
			func() int64 { return from.Writes.Stats().Pushed.Responses })
	}
	if from.RateLimitRemaining != nil {
		m.gauge("upstream_rate_limit_remaining", "Requests the client id has left, as Monite last reported (RateLimit-Remaining). NaN until it reports.", nil, func() float64 {
			if n, ok := from.RateLimitRemaining(); ok {
				return float64(n)
			}
			return math.NaN()
		})
	}
	if from.DroppedSpans != nil {
		counter("trace_spans_dropped_total", "Spans that were not exported: the queue was full, or the collector did not take them.", from.DroppedSpans)
	}
}

// tokenCollector reads the cache at each scrape.
type tokenCollector struct{ tokens Tokens }

var (
	secondsLeft = prometheus.NewDesc(namespace+"_token_seconds_left",
		"Shortest remaining lifetime of the tokens in use, by grant type.", []string{"grant_type"}, nil)
	cachedGrants = prometheus.NewDesc(namespace+"_cached_grants", "Grants in the token cache.", nil, nil)
)

// hot limits how long ago a grant was used for its token to count.
const hot = 10 * 60 // seconds

func (c tokenCollector) Describe(out chan<- *prometheus.Desc) {
	out <- secondsLeft
	out <- cachedGrants
}

func (c tokenCollector) Collect(out chan<- prometheus.Metric) {
	all := c.tokens.Status()
	least := map[tokencache.GrantType]float64{}
	for _, s := range all {
		if s.Mints+s.Adopted == 0 || s.Idle.Seconds() > hot && !s.Warm {
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
