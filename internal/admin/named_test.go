package admin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy"
)

func withNamed(stale bool) func(*Config) {
	return func(c *Config) {
		c.Named = func() *NamedStatus {
			return &NamedStatus{Stale: stale, All: []NamedIdentity{
				{Name: "billing", GrantType: "entity_user", UserHash: "0a1b2c3d4e5f", Entities: "f0e1d2c3b4a5",
					Ways: []string{"path prefix /as/billing", "X-Monite-Identity: billing"}, Rules: 3, Access: "2 allowed, 1 denied"},
				{Name: "reports", GrantType: "client_credentials", Entities: "none", Ways: []string{"listener unix:/run/r.sock (mode 0660)"},
					Access: "everything", ReadOnly: true},
			}}
		}
	}
}

func TestStatusHasNamedIdentitiesAndCountsTheirRequests(t *testing.T) {
	h, _, _ := newTestHandler(withNamed(false))
	for range 3 {
		h.config.History.ObserveRequest(&proxy.Record{Start: time.Now(), Identity: "billing", Status: 200})
	}
	h.config.History.ObserveRequest(&proxy.Record{Start: time.Now(), Identity: "removed", Status: 200})
	h.config.History.ObserveRequest(&proxy.Record{Start: time.Now(), Status: 200})
	_, body := ask(h, "GET", "/status", "localhost")
	var status struct {
		Named *NamedStatus `json:"named_identities"`
	}
	if err := json.Unmarshal([]byte(body), &status); err != nil || status.Named == nil || len(status.Named.All) != 2 {
		t.Fatalf("named identities = %+v, %v", status.Named, err)
	}
	if billing := status.Named.All[0]; billing.Requests != 3 || billing.Rules != 3 || len(billing.Ways) != 2 || billing.UserHash != "0a1b2c3d4e5f" {
		t.Errorf("billing = %+v", billing)
	}
	if reports := status.Named.All[1]; reports.Requests != 0 || !reports.ReadOnly {
		t.Errorf("reports = %+v", reports)
	}
	if h.config.Named().All[0].Requests != 0 {
		t.Error("the counts were written into what the sidecar holds")
	}
}

func TestStatusWithoutIdentitiesFileSaysNothingOfIt(t *testing.T) {
	for name, change := range map[string]func(*Config){"no func": nil, "nothing": func(c *Config) { c.Named = func() *NamedStatus { return nil } }} {
		h, _, _ := newTestHandler(change)
		if _, body := ask(h, "GET", "/status", "localhost"); strings.Contains(body, "named_identities") {
			t.Errorf("%s: /status has named identities", name)
		}
		if _, body := ask(h, "GET", "/", "localhost"); strings.Contains(body, "Named identities") {
			t.Errorf("%s: the page has named identities", name)
		}
		if strings.Contains(string(h.page.changes(map[string]string{})), "event: named") {
			t.Errorf("%s: an event of named identities", name)
		}
	}
}

func TestPageShowsNamedIdentities(t *testing.T) {
	h, _, _ := newTestHandler(withNamed(true))
	h.config.History.ObserveRequest(&proxy.Record{Start: time.Now(), Identity: "reports", Status: 200})
	_, body := ask(h, "GET", "/", "localhost")
	for _, want := range []string{"Named identities", "cannot be used", "billing", "0a1b2c3d4e5f", "f0e1d2c3b4a5", "path prefix /as/billing",
		"X-Monite-Identity: billing",
		"2 allowed, 1 denied", "read only", `<td class="n">1</td>`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if events := string(h.page.changes(map[string]string{})); !strings.Contains(events, "event: named\n") {
		t.Error("the named identities are not live")
	}
	fine, _, _ := newTestHandler(withNamed(false))
	if _, body := ask(fine, "GET", "/", "localhost"); strings.Contains(body, "cannot be used") {
		t.Error("a good file is called unusable")
	}
}

func TestPageShowsWhichCredentialsAreLive(t *testing.T) {
	status := CredentialsStatus{Summary: "the configured credentials are live", Live: "aaaabbbbcccc", NewPair: "none"}
	h, _, _ := newTestHandler(func(c *Config) { c.Credentials = func() CredentialsStatus { return status } })
	if _, body := ask(h, "GET", "/", "localhost"); !strings.Contains(body, status.Summary) || !strings.Contains(body, "aaaabbbbcccc") ||
		strings.Contains(body, "credentials problem") {
		t.Error("the page does not show the live pair, or calls it a problem")
	}
	status = CredentialsStatus{Summary: "old pair live, new pair refused", Live: "aaaabbbbcccc", NewPair: "refused", New: "ddddeeeeffff",
		Tries: 4, Reason: "rejected", RetryIn: 12}
	_, body := ask(h, "GET", "/", "localhost")
	for _, want := range []string{"credentials problem", status.Summary, "rejected, 4 tries, next in 12.0 s", "ddddeeeeffff"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if !strings.Contains(string(h.page.changes(map[string]string{})), "old pair live, new pair refused") {
		t.Error("the credentials are not live")
	}
}
