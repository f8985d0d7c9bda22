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
	s := &Shared{
		questions: m.counter("shared_questions_total", "Queries to the shared store, by result.", "answer",
			"found", "claimed", "busy", "paced", "verdict", "free", "late", "poison", "aside", "slow", "down"),
		adopted: m.counter("shared_adopted_total", "Tokens taken over from other replicas: each saved a mint.", "grant_type",
			string(tokencache.ClientCredentials), string(tokencache.EntityUser)),
		told: m.counter("shared_told_total", "Tokens written to the shared store, by result.", "result",
			"stored", "older", "late", "failed"),
		exchanges: m.histogram("shared_exchange_seconds", "Duration of exchanges with the shared store.",
			append([]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025}, buckets[:9]...)),
	}
	m.gauge("shared_up", "1 if the last exchange with the shared store succeeded.", nil, func() float64 {
		if state := status().State; state == "down" || state == "unknown" {
			return 0
		}
		return 1
	})
	m.gauge("shared_clock_offset_seconds", "The shared store's clock minus this host's.", nil, func() float64 { return status().Offset })
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
