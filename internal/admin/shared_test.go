package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

func metricNames(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += "," + label.GetName() + "=" + label.GetValue()
			}
			values[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestMetricsOfTheSharedStoreExistOnlyWithOne(t *testing.T) {
	for name := range metricNames(t, NewMetrics()) {
		if strings.Contains(name, "_shared_") {
			t.Errorf("%s exists without a store", name)
		}
	}
	m := NewMetrics()
	status := SharedStatus{State: "unknown", Offset: 1.5}
	s := m.NewShared(func() SharedStatus { return status })
	before := metricNames(t, m)
	for _, name := range []string{
		"monite_proxy_shared_questions_total,answer=poison", "monite_proxy_shared_adopted_total,grant_type=entity_user",
		"monite_proxy_shared_told_total,result=stored", "monite_proxy_shared_up", "monite_proxy_shared_exchange_seconds",
	} {
		if value, ok := before[name]; !ok || value != 0 {
			t.Errorf("%s is %v (%t) at first, want 0", name, value, ok)
		}
	}
	status.State = "aside"
	s.ObserveAnswer("found")
	s.ObserveTold("older")
	s.ObserveExchange(time.Millisecond)
	s.ObserveAdopted(tokencache.Grant{Type: tokencache.EntityUser})
	after := metricNames(t, m)
	for _, name := range []string{
		"monite_proxy_shared_questions_total,answer=found", "monite_proxy_shared_adopted_total,grant_type=entity_user",
		"monite_proxy_shared_told_total,result=older", "monite_proxy_shared_up", "monite_proxy_shared_exchange_seconds",
	} {
		if after[name] != 1 {
			t.Errorf("%s is %v, want 1", name, after[name])
		}
	}
	if after["monite_proxy_shared_clock_offset_seconds"] != 1.5 {
		t.Errorf("the offset is %v", after["monite_proxy_shared_clock_offset_seconds"])
	}
}
