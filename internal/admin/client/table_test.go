package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func tableOf(t *testing.T, status admin.Status) string {
	t.Helper()
	text, err := json.Marshal(status)
	wiretest.Must(t, err)
	shown, err := Table(string(text), View{})
	wiretest.Must(t, err)
	return shown
}

func TestStatusTableHasNamedIdentitiesAndTheNewPair(t *testing.T) {
	shown := tableOf(t, admin.Status{
		Ready:       true,
		Credentials: &admin.CredentialsStatus{Summary: "old pair live, new pair refused", NewPair: "refused", Reason: "rejected", Tries: 4, RetryIn: 12},
		Named: &admin.NamedStatus{Stale: true,
			All: []admin.NamedIdentity{{Name: "billing", GrantType: "entity_user", UserHash: "0a1b2c3d4e5f", Entities: "f0e1d2c3b4a5",
				Ways: []string{"path prefix /as/billing", "X-Monite-Identity: billing"}, Access: "2 allowed", ReadOnly: true, AuditOnly: true, Requests: 17}}},
	})
	for _, want := range []string{"CREDENTIALS: old pair live, new pair refused (rejected, 4 tries, next in 12s)", "cannot be used", "billing",
		"0a1b2c3d4e5f", "f0e1d2c3b4a5",
		"2 allowed, read only, on trial", "17", "path prefix /as/billing; X-Monite-Identity: billing"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the table lacks %q:\n%s", want, shown)
		}
	}
	shown = tableOf(t, admin.Status{Ready: true,
		Credentials: &admin.CredentialsStatus{Summary: "the configured credentials are live", NewPair: "none"}})
	if strings.Contains(shown, "CREDENTIALS") || strings.Contains(shown, "NAMED") {
		t.Errorf("nothing to tell of, and yet:\n%s", shown)
	}
}

func TestStatusTableSaysThatItHasNotAll(t *testing.T) {
	const tells = "2 of 100002 cached grants"
	few := admin.Status{Identities: make([]admin.GrantStatus, 2), IdentitiesTotal: 100002, IdentitiesTruncated: true}
	if shown := tableOf(t, few); !strings.Contains(shown, tells) {
		t.Errorf("the table lacks %q:\n%s", tells, shown)
	}
	few.IdentitiesTotal, few.IdentitiesTruncated = 2, false
	if shown := tableOf(t, few); strings.Contains(shown, " cached grants") {
		t.Errorf("all are there, and yet:\n%s", shown)
	}
}

// Another program may listen on the admin address.
func TestStatusTableKeepsControlBytesFromTheTerminal(t *testing.T) {
	const escape = "\x1b]0;owned\a\u202e"
	shown := tableOf(t, admin.Status{
		Version: escape, Environment: escape, Upstream: escape, Problems: []string{escape},
		Credentials: &admin.CredentialsStatus{Summary: escape, NewPair: escape, Reason: escape},
		Identities:  []admin.GrantStatus{{GrantType: escape, UserHash: escape, State: escape, LastError: &admin.ErrorStatus{Reason: escape}}},
		Named: &admin.NamedStatus{All: []admin.NamedIdentity{{Name: escape, GrantType: escape, UserHash: escape, Entities: escape,
			Ways: []string{escape}, Access: escape}}},
		Requests: []admin.RequestStatus{{RequestID: escape, Method: escape, Route: escape, Origin: escape, ErrorType: escape, Outcome: escape}},
	})
	if strings.ContainsAny(shown, "\x1b\a\u202e") {
		t.Errorf("control bytes pass: %q", shown)
	}
}

func TestDurationsHaveThreeDigits(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0s", 0.000_004_4: "4µs", 0.000_412_3: "412µs", 0.004_123: "4.12ms", 0.045_67: "45.7ms", 0.456_7: "457ms", 1.234: "1.23s", 12.34: "12.3s",
		59.97: "1m0s", 83.4: "1m23s", 3723: "1h2m3s", -0.004_123: "-4.12ms",
	} {
		if got := ShortSeconds(seconds); got != want {
			t.Errorf("ShortSeconds(%v) = %s, want %s", seconds, got, want)
		}
	}
}

// A terminal of the usual size shows all that matters, and does not scroll.
func TestStatusTableFitsTheTerminal(t *testing.T) {
	status := admin.Status{Ready: true, Version: "v1", Environment: "sandbox", Upstream: "https://api.sandbox.monite.com"}
	for i := range 200 {
		status.Requests = append(status.Requests, admin.RequestStatus{RequestID: strings.Repeat("r", 40), Identity: "billing", Method: "DELETE",
			Status: 200 + i, Origin: "upstream",
			Route: "/v1/payables/{payable_id}/line_items/{line_item_id}", ErrorType: "proxy_upstream_unreachable"})
	}
	for i := range 30 {
		status.Identities = append(status.Identities, admin.GrantStatus{GrantType: "entity_user", UserHash: fmt.Sprintf("%012d", i), State: "fresh"})
	}
	status.Named = &admin.NamedStatus{All: make([]admin.NamedIdentity, 40)}
	text, err := json.Marshal(status)
	wiretest.Must(t, err)
	for _, size := range [][2]int{{80, 23}, {80, 10}, {40, 23}, {200, 50}, {132, 5}} {
		shown, err := Table(string(text), View{Width: size[0], Height: size[1]})
		wiretest.Must(t, err)
		lines := strings.Split(shown, "\n")
		if len(lines) > size[1] || !strings.HasPrefix(lines[0], "monite-proxy v1") {
			t.Errorf("%d lines in a terminal of %d: %s", len(lines), size[1], shown)
		}
		for _, line := range lines {
			if len(line) > size[0] {
				t.Errorf("wider than %d: %q", size[0], line)
			}
		}
		if size[1] > 20 && strings.Count(shown, "DELETE") < 3 {
			t.Errorf("a terminal of %v shows few requests:\n%s", size, shown)
		}
	}
}

func TestStatusTableNamesWhoActed(t *testing.T) {
	shown := tableOf(t, admin.Status{
		Identities: []admin.GrantStatus{{Names: []string{"default", "billing"}, GrantType: "client_credentials"},
			{GrantType: "entity_user", UserHash: "aa11"}},
		Requests:        []admin.RequestStatus{{Identity: "billing", Method: "GET"}, {Method: "PUT", Status: 421}},
		UpstreamTrouble: &admin.UpstreamTrouble{What: "upstream cannot be reached", Requests: 4, Since: 63},
	})
	for _, want := range []string{"TOKEN OF", "default,billing  client_credentials", "-                entity_user", "billing   GET",
		"-         PUT", "UPSTREAM: upstream cannot be reached; failed requests: 4 in 1m3s"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the table lacks %q:\n%s", want, shown)
		}
	}
}

func TestColoursAreAskedFor(t *testing.T) {
	text, err := json.Marshal(admin.Status{Requests: []admin.RequestStatus{{Status: 502}, {Status: 404}, {Status: 200}}})
	wiretest.Must(t, err)
	for colour, want := range map[bool]int{true: 4, false: 0} { // and the verdict, and headings
		shown, err := Table(string(text), View{Colour: colour})
		if err != nil || strings.Count(shown, red)+strings.Count(shown, yellow) != max(want-1, 0) || strings.Contains(shown, "\x1b") != colour {
			t.Errorf("colour %v: %q, %v", colour, shown, err)
		}
	}
}
