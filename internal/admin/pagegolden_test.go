package admin

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fullStatus has something in each place that the page has.
func fullStatus() *Status {
	at := time.Date(2026, 11, 25, 12, 34, 56, 0, time.UTC)
	s := &Status{
		Version: "v1.2.3", Commit: "abcdef012345", Go: "go1.26.8", Environment: "eu", Production: true, Upstream: "https://api.monite.com",
		Checks: []CheckStatus{{"configuration", ""}, {"drain", "the process was asked to <stop>"}},
		Now:    at, Started: at.Add(-time.Hour), Uptime: 3600, InFlight: 7,
		Traffic: Traffic{Window: 300, Requests: 12, PerSecond: 0.04, ErrorRate: 0.25, P50: 0.0123, P95: 2.5, Slots: make([]TrafficCount, slotCount)},
		Config: []config.Setting{setting("MONITE_CLIENT_SECRET", "[redacted]", "file /run/secret"), setting("MONITE_LISTEN_ADDR", "127.0.0.1:8080", "default"),
			setting("MONITE_CA_FILE", "", "default")},
		Named: &NamedStatus{Stale: true, All: []NamedIdentity{
			{Name: "billing", GrantType: "entity_user", UserHash: "0123abcd", Entities: "11111111-…",
				Ways: []string{"X-Monite-Identity: billing", "/as/billing"}, Access: "GET payables", ReadOnly: true, AuditOnly: true, Requests: 5},
			{Name: "plain", GrantType: "client_credentials", Entities: "any", Access: "everything"},
		}},
		Credentials: &CredentialsStatus{Summary: "a new pair is refused", Live: "aa11", New: "bb22", NewPair: "refused", Reason: "rejected",
			Tries: 3, RetryIn: 42, Rotated: "2026-11-25T10:00:00Z"},
		Shared: &SharedStatus{State: "up", Where: "rediss://cache:6380/0", Adopted: 3, Told: 1, Questions: 9},
	}
	s.UpstreamTrouble = &UpstreamTrouble{What: "upstream cannot be reached", Since: 63, Last: 4, Requests: 12,
		Type: "proxy_upstream_unreachable", Status: 502}
	s.Traffic.Slots[3], s.Traffic.Slots[59] = TrafficCount{Requests: 9, Errors: 3}, TrafficCount{Requests: 3}
	mint := MintStatus{At: at, GrantType: "client_credentials", Result: "ok", Duration: 0.123, ExpiresIn: 1800}
	s.Mints = []MintStatus{mint, {At: at, GrantType: "entity_user", UserHash: "cc33", Result: "throttled", Status: 429, Duration: 0.05}}
	s.Identities = []GrantStatus{
		{Names: []string{"default", "plain"}, GrantType: "client_credentials", Default: true, State: "fresh", Age: 600, Left: 1200,
			RefreshIn: 300, Idle: 3, Mints: 2, LastMint: &mint},
		{GrantType: "entity_user", UserHash: "cc33", State: "stale", Age: 1700, Left: 100, RefreshIn: -20, Idle: 1, Mints: 1, Failures: 4,
			LastError: &ErrorStatus{"throttled", 429, 2}},
		{GrantType: "entity_user", UserHash: "dd44", State: "missing", Failures: 1, LastError: &ErrorStatus{Reason: "rejected"}},
	}
	s.IdentitiesTotal = len(s.Identities)
	s.UnknownWritesTotal, s.FollowedWrites = 3, 2
	s.UnknownWrites = []WriteStatus{
		{At: at, RequestID: "id-2", Method: "POST", Route: "/v1/payables/{payable_id}/cancel"},
		{At: at, RequestID: `a/<b>"'&`, Method: "POST", Route: "/v1/payables", Status: 502, Keyed: true},
	}
	s.Requests = []RequestStatus{
		{At: at, RequestID: "id-1", Identity: "default", Method: "GET", Route: "/v1/payables", Status: 200, Origin: "upstream", GrantType: "client_credentials", Upstream: 0.045, TokenWait: 0.0001},
		{At: at, RequestID: "id-2", Identity: "billing", Method: "POST", Route: "/v1/payables/{payable_id}/cancel", Status: 502, Origin: "proxy", ErrorType: "proxy_upstream_broken", Outcome: "unknown", GrantType: "entity_user", Replay: "401", Retried: true, Aborted: true},
		{At: at, RequestID: `<b>"'&`, Method: "GET", Route: "other", Status: 404, Origin: "proxy", ErrorType: "proxy_<x>", Outcome: `"y`},
	}
	return s
}

func TestPageIsWrittenAsAlways(t *testing.T) {
	sandbox := fullStatus()
	sandbox.Environment, sandbox.Production, sandbox.Ready, sandbox.Checks[1].Problem = "sandbox", false, true, ""
	sandbox.Named.Stale, sandbox.Named.All = false, nil
	sandbox.Credentials = &CredentialsStatus{Summary: "the first pair", Live: "aa11", NewPair: "unproven", Reason: "timeout", Tries: 1}
	sandbox.Shared = &SharedStatus{State: "down", Where: "redis://cache:6379/0", LastError: "NOAUTH"}
	custom := &Status{Environment: "custom", Traffic: Traffic{Slots: make([]TrafficCount, slotCount)},
		Credentials: &CredentialsStatus{Summary: "one pair", NewPair: "none"}, IdentitiesTotal: 1, Identities: []GrantStatus{{State: "expired",
			Age: 10, RefreshIn: -5}}}
	custom.Shared = &SharedStatus{State: "aside", Where: "unix:/run/redis.sock", Offset: -41}
	for name, status := range map[string]*Status{"full": fullStatus(), "sandbox": sandbox, "custom": custom, "empty": {Environment: "us",
		Production: true}} {
		got := render("page", status)
		path := "testdata/page-" + name + ".html"
		if *update {
			wiretest.Must(t, os.WriteFile(path, got, 0o644))
		}
		want, err := os.ReadFile(path)
		wiretest.Must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("the page of %s is not %s: run with -update and look at the difference", name, path)
		}
	}
}
