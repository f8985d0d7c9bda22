package main

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/doctor"
	"github.com/monite-proxy/monite-proxy/proxy"
)

// What the doctor sends is counted nowhere, and an app that calls itself a doctor
// hides little.
func TestProbesOfTheDoctorAreNotRequestsOfAnApp(t *testing.T) {
	s, _, _ := newTestSidecar(t)
	ask := func(path, id string) {
		in := httptest.NewRequest("GET", "http://localhost"+path, nil)
		in.RequestURI = path
		in.Header.Set("X-Request-Id", id)
		s.handler.ServeHTTP(httptest.NewRecorder(), in)
	}
	counted := func() float64 {
		families, err := s.metrics.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, family := range families {
			if family.GetName() == "monite_proxy_refusals_total" {
				for _, metric := range family.GetMetric() {
					sum += metric.GetCounter().GetValue()
				}
			}
		}
		return sum
	}
	for range 3 {
		ask("/v1/auth/token", doctor.ProbePrefix+"abc")
	}
	if got := counted(); got != 0 {
		t.Errorf("probes count as %v refused requests", got)
	}
	ask("/v1/auth/token", "an-app")
	ask("/graphql", doctor.ProbePrefix+"abc")
	if got := counted(); got != 2 {
		t.Errorf("refused requests = %v, want those of the app, 2", got)
	}
	var p probes
	hidden := 0
	for range 1000 {
		if p.is(&proxy.Record{Start: time.Unix(0, 0), RequestID: doctor.ProbePrefix, Route: "/v1/auth/token", ErrorType: "proxy_app_token"}) {
			hidden++
		}
	}
	if hidden != mostProbes {
		t.Errorf("%d guesses are hidden in a minute, want %d at most", hidden, mostProbes)
	}
}
