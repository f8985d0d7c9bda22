package monitetest_test

import (
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestControlSurface(t *testing.T) {
	b := start(t, monitetest.Config{ExpiredStatus: 400})
	header := b.as("", monitetest.DemoEntityID)
	payables := func(want int) { t.Helper(); b.want(want, "GET", "/v1/payables", "", header) }
	control := func(method, path, body string) reply {
		t.Helper()
		return b.want(200, method, "/_sim/"+path, body, nil)
	}

	if got := control("GET", "healthz", "").body; got != `{"status":"ok"}` {
		t.Errorf("healthz = %s", got)
	}
	control("POST", "faults", `{"path":"/v1/payables","times":2,"status":503}`)
	payables(503)
	if got := control("GET", "faults", "").data(t); len(got) != 1 || got[0]["times"] != 1.0 {
		t.Errorf("faults = %v, want one that is left once", got)
	}
	control("DELETE", "faults", "")
	payables(200)
	control("POST", "faults", `[{"path":"/v1/payables","status":500,"delay":"1ms"},{"path":"token","effect":"rst"}]`)
	payables(500)
	control("POST", "token_endpoint/down", "")
	control("DELETE", "faults", "")
	b.want(503, "POST", "/v1/auth/token", mintBody(""), nil)
	control("POST", "token_endpoint/up", "")
	control("POST", "expire_all", "")
	payables(400)
	control("POST", "revoke_all", "")
	payables(401)
	header = b.as("", monitetest.DemoEntityID)
	if stats := control("GET", "stats", "").json(t); stats["mints"] != 2.0 || stats["failed_mints"] != 1.0 {
		t.Errorf("stats = %v, want 2 mints and 1 failed", stats)
	}
	if got := control("GET", "requests", "").data(t); got[0]["target"] != "/v1/auth/token" || got[1]["status"] != 503.0 {
		t.Errorf("requests = %v", got)
	}
	b.want(204, "DELETE", "/v1/payables/"+monitetest.DemoPayableID, "", header)
	control("POST", "reset_stats", "")
	b.want(404, "GET", "/v1/payables/"+monitetest.DemoPayableID, "", header)
	control("POST", "reset", "")
	b.want(200, "GET", "/v1/payables/"+monitetest.DemoPayableID, "", header)
}

func TestControlRefusesNonsense(t *testing.T) {
	tests := []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "faults", `{"stauts":503}`, 400, "stauts"},
		{"POST", "faults", `{"effect":"explode"}`, 400, "explode"},
		{"POST", "faults", `{"delay":"soon"}`, 400, "soon"},
		{"POST", "faults", ``, 200, `"data":[]`},
		{"POST", "faults", `{`, 400, "error"},
		{"POST", "faults", `{"status":503,"path":"token"}]`, 400, "one JSON value"},
		{"GET", "revoke_all", "", 404, "not_found"},
		{"POST", "clock", `{"advance":"-1h"}`, 400, "above 0"},
		{"POST", "clock", `{"now":"2001-01-01T00:00:00Z"}`, 400, "cannot go back"},
		{"POST", "clock", `{"advance":"2000000h"}`, 400, "2199"},
		{"POST", "clock", `{"now":"9999-12-31T23:59:59Z"}`, 400, "2199"},
		{"POST", "clock", `{"advance":"1h"} {"advance":"1h"}`, 400, "one JSON value"},
		{"POST", "snapshots", `{}`, 400, "name"},
		{"POST", "snapshots/unknown/restore", ``, 404, "unknown"},
		{"POST", "mail", `{"to":"nobody@example.com"}`, 400, "nobody@example.com"},
		{"POST", "mail", `{"to":"nobody@example.com","bill":{"total_amount":"much"}}`, 400, "total_amount"},
		{"POST", "faults", `{"route":"POST /v1/payable"}`, 400, "published operation"},
		{"POST", "faults", `{"effect":"expired","status":500}`, 400, "400, 401 or 403"},
	}
	for _, tc := range tests {
		t.Run(tc.method+" "+tc.path+" "+tc.body, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			if answer := b.want(tc.status, tc.method, "/_sim/"+tc.path, tc.body, nil); !strings.Contains(answer.body, tc.says) {
				t.Errorf("body = %s, want it to contain %s", answer.body, tc.says)
			}
			if got := len(b.sim.Faults()); got != 0 {
				t.Errorf("faults = %d, want 0", got)
			}
		})
	}
}
