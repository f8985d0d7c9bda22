package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

// newJournal has one write of unknown outcome for each id.
func newJournal(t *testing.T, ids ...string) *writes.Journal {
	t.Helper()
	j := writes.New(writes.Config{Guard: time.Minute, KeyTTL: time.Minute, Patience: time.Second})
	for _, id := range ids {
		d := j.Begin(t.Context(), &writes.Write{Request: writes.Request{Method: "POST", Target: "/v1/" + id}, RequestID: id, Route: "/v1/payables"})
		d.Claim.Unknown(502)
	}
	return j
}

func TestUnknownWritesAreShownAndForgotten(t *testing.T) {
	journal := newJournal(t, "first", "a/b?c")
	h, _, _ := newTestHandler(func(c *Config) { c.Writes, c.Followed = journal, func() int64 { return 3 } })
	var status Status
	_, text := ask(h, "GET", "/status", "localhost")
	wiretest.Must(t, json.Unmarshal([]byte(text), &status))
	if len(status.UnknownWrites) != 2 || status.UnknownWritesTotal != 2 || status.FollowedWrites != 3 ||
		status.UnknownWrites[1].RequestID != "first" || status.UnknownWrites[1].Status != 502 {
		t.Errorf("status has %+v", status.UnknownWrites)
	}
	if _, page := ask(h, "GET", "/", "localhost"); !strings.Contains(page, "/writes/a%2fb%3fc/forget") &&
		!strings.Contains(page, "/writes/a%2Fb%3Fc/forget") {
		t.Error("the page has no button for a write")
	}
	for _, one := range []struct {
		path string
		code int
	}{{"/writes/other/forget", 404}, {"/writes/first/forget", 200}, {"/writes/first/forget", 404}, {"/writes/a%2Fb%3Fc/forget", 200}} {
		if code, body := ask(h, "POST", one.path, "localhost"); code != one.code {
			t.Errorf("%s = %d %s, want %d", one.path, code, body, one.code)
		}
	}
	if journal.Stats().Unknown != 0 {
		t.Error("something is still unknown")
	}
}

func TestForgettingIsRefusedToOtherOrigins(t *testing.T) {
	journal := newJournal(t, "first")
	h, _, _ := newTestHandler(func(c *Config) { c.Writes = journal })
	r := httptest.NewRequest("POST", "/writes/first/forget", nil)
	r.Host = "localhost"
	r.Header.Set("Origin", "http://evil.example")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || journal.Stats().Unknown != 1 {
		t.Errorf("%d, %+v", w.Code, journal.Stats())
	}
	if code, _ := ask(h, "GET", "/writes/first/forget", "localhost"); code != http.StatusMethodNotAllowed {
		t.Errorf("GET = %d", code)
	}
	if code, _ := ask(h, "POST", "/writes/first/forget", "evil.example"); code != http.StatusMisdirectedRequest {
		t.Errorf("another host = %d", code)
	}
}

func TestRepeatsAreCounted(t *testing.T) {
	m := newTestMetrics()
	for _, r := range []proxy.Record{
		{Repeat: "sent"}, {Repeat: "refused"}, {Repeat: "in_progress", Waited: true}, {Repeat: "gone"}, {Repeat: "replayed"},
		{Repeat: "overridden"}, {Repeat: "sent", Waited: true},
		{Keyed: true, Repeat: "sent"}, {Keyed: true, Repeat: "reused", Waited: true},
	} {
		m.ObserveRequest(&r)
	}
	families, err := m.Registry.Gather()
	wiretest.Must(t, err)
	got := map[string]float64{}
	for _, family := range families {
		for _, one := range family.GetMetric() {
			if len(one.GetLabel()) == 1 {
				got[family.GetName()+" "+one.GetLabel()[0].GetValue()] = one.GetCounter().GetValue()
			}
		}
	}
	for name, want := range map[string]float64{
		"monite_proxy_repeats_total refused": 3, "monite_proxy_repeats_total replayed": 1, "monite_proxy_repeats_total overridden": 1,
		"monite_proxy_repeats_total waited":   2,
		"monite_proxy_idempotency_total sent": 1, "monite_proxy_idempotency_total reused": 1, "monite_proxy_idempotency_total gone": 0,
	} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s = %v, want %v", name, value, want)
		}
	}
}
