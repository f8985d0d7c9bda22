package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

// SharedStatus tells of the shared store.
type SharedStatus struct {
	// State is up, down, aside (the clocks differ), or unknown before the first
	// exchange.
	State string `json:"state"`
	Where string `json:"where"`
	// Since is the time at which the state began; empty if unknown.
	Since     string  `json:"since,omitempty"`
	LastError string  `json:"last_error,omitempty"`
	RetryIn   float64 `json:"retry_in_seconds,omitempty"`
	// Offset is the store's clock minus this host's.
	Offset    float64 `json:"clock_offset_seconds"`
	Adopted   int64   `json:"adopted"`
	Told      int64   `json:"told"`
	Questions int64   `json:"questions"`
}

// Shared counts what replicas share. It exists only with a store.
type Shared struct {
	questions *prometheus.CounterVec
	adopted   *prometheus.CounterVec
	told      *prometheus.CounterVec
	exchanges prometheus.Histogram
}

// NewShared adds the metrics of a store. status is asked at each scrape.
func (m *Metrics) NewShared(status func() SharedStatus) *Shared {
	counter := func(name, help, label string, values ...string) *prometheus.CounterVec {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{label})
		for _, value := range values {
			vec.WithLabelValues(value)
		}
		m.Registry.MustRegister(vec)
		return vec
	}
	gauge := func(name, help string, value func(SharedStatus) float64) {
		m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, func() float64 { return value(status()) }))
	}
	s := &Shared{
		questions: counter("shared_questions_total", "Queries to the shared store, by result.", "answer",
			"found", "claimed", "busy", "paced", "verdict", "free", "late", "poison", "aside", "slow", "down"),
		adopted: counter("shared_adopted_total", "Tokens taken over from other replicas: each saved a mint.", "grant_type",
			string(tokencache.ClientCredentials), string(tokencache.EntityUser)),
		told: counter("shared_told_total", "Tokens written to the shared store, by result.", "result",
			"stored", "older", "late", "failed"),
		exchanges: prometheus.NewHistogram(histogramOpts("shared_exchange_seconds", "Duration of exchanges with the shared store.",
			append([]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025}, buckets[:9]...))),
	}
	m.Registry.MustRegister(s.exchanges)
	gauge("shared_up", "1 if the last exchange with the shared store succeeded.", func(s SharedStatus) float64 {
		if s.State == "down" || s.State == "unknown" {
			return 0
		}
		return 1
	})
	gauge("shared_clock_offset_seconds", "The shared store's clock minus this host's.", func(s SharedStatus) float64 { return s.Offset })
	return s
}

// ObserveAnswer counts one query by its result.
func (s *Shared) ObserveAnswer(answer string) { s.questions.WithLabelValues(answer).Inc() }

// ObserveTold counts one token given to the store.
func (s *Shared) ObserveTold(result string) { s.told.WithLabelValues(result).Inc() }

// ObserveExchange counts one exchange.
func (s *Shared) ObserveExchange(took time.Duration) { s.exchanges.Observe(took.Seconds()) }

// ObserveAdopted counts one token of another replica.
func (s *Shared) ObserveAdopted(grant tokencache.Grant) {
	s.adopted.WithLabelValues(string(grant.Type)).Inc()
}
