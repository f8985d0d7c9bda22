package admin

import "github.com/prometheus/client_golang/prometheus"

// IdentityMetrics counts what happens to the named identities. No name of one is
// a label.
type IdentityMetrics struct {
	reloads *prometheus.CounterVec
	audited *prometheus.CounterVec
}

// CountIdentities registers the metrics of named identities. count is how many
// there are, asked at each scrape. It is called at most once, before the first
// scrape.
func (m *Metrics) CountIdentities(count func() int) *IdentityMetrics {
	i := &IdentityMetrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "identity_reloads_total",
			Help: "Changes of the identities file, by result: ok, or failed and the old identities kept."}, []string{"result"}),
		audited: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "audited_refusals_total",
			Help: "Requests that rules on trial (audit_only) would have refused, by error type."}, []string{"type"}),
	}
	for _, result := range []string{"ok", "failed"} {
		i.reloads.WithLabelValues(result)
	}
	named := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "named_identities",
		Help: "Identities of the identities file."}, func() float64 { return float64(count()) })
	m.Registry.MustRegister(i.reloads, i.audited, named)
	return i
}

// ObserveReload counts one change of the identities file.
func (i *IdentityMetrics) ObserveReload(ok bool) {
	result := "ok"
	if !ok {
		result = "failed"
	}
	i.reloads.WithLabelValues(result).Inc()
}

// ObserveAudit counts one request that rules would have refused with errorType.
func (i *IdentityMetrics) ObserveAudit(errorType string) { i.audited.WithLabelValues(errorType).Inc() }

// ShowEnvironment says in the metrics which Monite this is: sandbox, eu, us or
// custom. It is called at most once, before the first scrape.
func (m *Metrics) ShowEnvironment(environment string) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "environment_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"environment": environment}}, func() float64 { return 1 }))
}
