package client

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/admin"
)

func table(t *testing.T, status admin.Status) string {
	t.Helper()
	text, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := Table(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return shown
}

func TestStatusTableHasNamedIdentitiesAndTheNewPair(t *testing.T) {
	shown := table(t, admin.Status{
		Ready:       true,
		Credentials: &admin.CredentialsStatus{Summary: "old pair live, new pair refused", NewPair: "refused", Reason: "rejected", Tries: 4, RetryIn: 12},
		Named: &admin.NamedStatus{Stale: true, All: []admin.NamedIdentity{{Name: "billing", GrantType: "entity_user", UserHash: "0a1b2c3d4e5f", Entities: "f0e1d2c3b4a5",
			Ways: []string{"path prefix /as/billing", "X-Monite-Identity: billing"}, Access: "2 allowed", ReadOnly: true, AuditOnly: true, Requests: 17}}},
	})
	for _, want := range []string{"CREDENTIALS: old pair live, new pair refused (rejected, 4 tries, next in 12s)", "cannot be used", "billing", "0a1b2c3d4e5f", "f0e1d2c3b4a5",
		"2 allowed, read only, on trial", "17", "path prefix /as/billing; X-Monite-Identity: billing"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the table lacks %q:\n%s", want, shown)
		}
	}
	shown = table(t, admin.Status{Ready: true, Credentials: &admin.CredentialsStatus{Summary: "the pair of the configuration is live", NewPair: "none"}})
	if strings.Contains(shown, "CREDENTIALS") || strings.Contains(shown, "NAMED") {
		t.Errorf("nothing to tell of, and yet:\n%s", shown)
	}
}

func TestStatusTableSaysThatItHasNotAll(t *testing.T) {
	const tells = "2 of 100002 identities"
	few := admin.Status{Identities: make([]admin.GrantStatus, 2), IdentitiesTotal: 100002, IdentitiesTruncated: true}
	if shown := table(t, few); !strings.Contains(shown, tells) {
		t.Errorf("the table lacks %q:\n%s", tells, shown)
	}
	few.IdentitiesTotal, few.IdentitiesTruncated = 2, false
	if shown := table(t, few); strings.Contains(shown, " identities") {
		t.Errorf("all are there, and yet:\n%s", shown)
	}
}

// Another program may listen on the admin address.
func TestStatusTableKeepsControlBytesFromTheTerminal(t *testing.T) {
	const escape = "\x1b]0;owned\a\u202e"
	shown := table(t, admin.Status{
		Version: escape, Environment: escape, Upstream: escape, Problems: []string{escape},
		Credentials: &admin.CredentialsStatus{Summary: escape, NewPair: escape, Reason: escape},
		Identities:  []admin.GrantStatus{{GrantType: escape, UserHash: escape, State: escape, LastError: &admin.ErrorStatus{Reason: escape}}},
		Named:       &admin.NamedStatus{All: []admin.NamedIdentity{{Name: escape, GrantType: escape, UserHash: escape, Entities: escape, Ways: []string{escape}, Access: escape}}},
		Requests:    []admin.RequestStatus{{RequestID: escape, Method: escape, Route: escape, Origin: escape, ErrorType: escape, Outcome: escape}},
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
