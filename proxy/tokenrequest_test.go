package proxy

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// withPeople gives the rig the policy people, and token handles.
func withPeople(c *Config, _ *upstream.Transport) {
	value := secret.New("client-secret")
	c.Policy, c.HandleSecret = people(), func() secret.String { return value }
}

func TestTokenRequestIsAnsweredHere(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(answer(200, "application/json", `{}`)))
	r := newRig(t, o.URL, withPeople)
	body := `{"grant_type":"entity_user","entity_user_id":"` + userB + `","client_id":"canary-id","client_secret":"canary-secret"}`
	response, text := r.do("POST", "/as/billing/v1/auth/token", body, "Content-Type", "application/json", "X-Monite-Version", "2024-05-25")
	var got struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		TokenType   string `json:"token_type"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || response.StatusCode != 200 || got.ExpiresIn != 86400 ||
		got.TokenType != "Bearer" || response.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("answer %d %s, %v", response.StatusCode, text, err)
	}
	if record := r.record(); record.Origin != OriginProxy || record.Sent || record.Route != "/v1/auth/token" {
		t.Errorf("record %+v", record)
	}
	if asked, _, _ := r.tokens.counts(); asked != 0 {
		t.Errorf("%d tokens were asked for", asked)
	}
	if response, text := r.do("GET", "/v1/payables", "", "Authorization", "Bearer "+got.AccessToken); response.StatusCode != 200 {
		t.Fatalf("with the handle: %d %s", response.StatusCode, text)
	}
	if record := r.record(); record.Identity != "billing" || record.GrantType != "entity_user" {
		t.Errorf("record %+v", record)
	}
	if text := r.log.String(); strings.Contains(text, "canary") || strings.Contains(text, got.AccessToken) {
		t.Errorf("the log holds the body or the handle:\n%s", text)
	}
	// The identity is gone: the handle is nobody, and not the default.
	r.handler.SetPolicy(identity.Policy{Default: partner})
	response, text = r.do("GET", "/v1/payables", "", "Authorization", "Bearer "+got.AccessToken)
	if response.StatusCode != http.StatusForbidden || !strings.Contains(text, "proxy_unknown_identity") {
		t.Errorf("after the identity was removed: %d %s", response.StatusCode, text)
	}
}

func TestTokenRequestsThatAreRefused(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(answer(200, "application/json", `{}`)))
	on := newRig(t, o.URL, withPeople)
	off := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) { c.Policy = people() })
	good := `{"grant_type":"client_credentials","client_id":"x","client_secret":"y"}`
	for _, c := range []struct {
		rig                  *rig
		method, target, body string
		want                 string
	}{
		{off, "POST", "/v1/auth/token", good, "proxy_route_refused"}, {off, "POST", "/shop/v1/auth/token", good, "proxy_route_refused"},
		{on, "GET", "/v1/auth/token", "", "proxy_route_refused"}, {on, "POST", "/v1/auth/token/", good, "proxy_route_refused"},
		{on, "POST", "/v1/auth/revoke", good, "proxy_route_refused"}, {on, "POST", "/v1/Auth/token", good, "proxy_route_refused"},
		{on, "POST", "/shop/v1/auth/revoke", good, "proxy_route_refused"}, {on, "POST", "/v1/%61uth/token", good, "proxy_route_refused"},
		{on, "POST", "/shop/auth/token", good, "proxy_route_refused"}, {on, "POST", "/as/Billing/v1/auth/token", good, "proxy_route_refused"},
		{on, "POST", "/v1/auth/token", "", "proxy_invalid_identity"}, {on, "POST", "/v1/auth/token", "{", "proxy_invalid_identity"},
		{on, "POST", "/v1/auth/token", `[]`, "proxy_invalid_identity"},
		{on, "POST", "/v1/auth/token", `{"grant_type":1}`, "proxy_invalid_identity"},
		{on, "POST", "/v1/auth/token", good + strings.Repeat(" ", maxTokenRequest), "proxy_invalid_identity"},
		{on, "POST", "/v1/auth/token", "grant_type=client_credentials", "proxy_invalid_identity"},
	} {
		response, text := c.rig.do(c.method, c.target, c.body)
		if !strings.Contains(text, `"`+c.want+`"`) || response.StatusCode/100 != 4 {
			t.Errorf("%s %s %.60s: %d %s, want %s", c.method, c.target, c.body, response.StatusCode, text, c.want)
		}
	}
	if response, text := on.do("POST", "/v1/auth/token?x=y", good); response.StatusCode != 200 {
		t.Errorf("with a query: %d %s", response.StatusCode, text)
	}
}

// What a client that works with Monite sends, and what somebody in front may read
// otherwise than we do: a check of the first of two users, or of the names as they
// are documented, must hold here too.
func TestTokenRequestIsReadInOnlyOneWay(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(answer(200, "application/json", `{}`)))
	r := newRig(t, o.URL, withPeople)
	const user, credentials = `"entity_user_id":"` + userA + `"`, `"client_id":"x","client_secret":"y"`
	for body, want := range map[string]int{
		`{"grant_type":"entity_user",` + user + `,` + credentials + `}`:                    200, // @monite/sdk-api's documentation
		`{` + credentials + `,` + user + `,"grant_type":"entity_user"}`:                    200, // in another order
		`{"grant_type":"client_credentials",` + credentials + `}`:                          200,
		`{"grant_type":"client_credentials","entity_user_id":null,` + credentials + `}`:    200, // a typed client's way to leave it out
		"\n{ \"grant_type\" : \"client_credentials\" }\n":                                  200,
		`{"Grant_Type":"client_credentials"}`:                                              400,
		`{"grant_type":"entity_user","ENTITY_USER_ID":"` + userA + `"}`:                    400,
		`{"grant_type":"entity_user","entity_user_id":"` + userB + `",` + user + `}`:       400,
		`{"grant_type":"client_credentials","grant_type":"entity_user",` + user + `}`:      400,
		`{"grant_type":"client_credentials","gr\u0061nt_type":"entity_user",` + user + `}`: 400,
		`{"grant_type":"client_credentials","Entity_User_Id":"` + userA + `"}`:             400,
		`{"grant_type":"client_credentials","scope":"all","more":{"client_id":[1]}}`:       200, // they choose nothing
		`{"grant_type":"client_credentials","client_id":{"grant_type":"entity_user"}}`:     400,
		`{"grant_type":"client_credentials","scope":"all","scope":"none"}`:                 400,
		`{"grant_type":"client_credentials"}{"grant_type":"entity_user"}`:                  400,
	} {
		response, text := r.do("POST", "/v1/auth/token", body)
		if response.StatusCode != want || want == 400 && !strings.Contains(text, `"proxy_invalid_identity"`) {
			t.Errorf("%s: %d %s, want %d", body, response.StatusCode, text, want)
		}
		if got := r.record().RequestBytes; got != int64(len(body)) {
			t.Errorf("%s: %d bytes in the record, want %d", body, got, len(body))
		}
	}
}

// Rules on trial let pass and tell.
func TestAuditOnlyLetsPassAndTells(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(answer(200, "application/json", `{}`)))
	for _, audit := range []bool{true, false} {
		r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) {
			c.Policy.Named = []identity.Named{{Name: "a", Grant: partner, ByName: true, Rules: denyPayables(t), AuditOnly: audit},
				{Name: "b", Grant: partner, ByName: true, ReadOnly: true, Rules: denyPayables(t), AuditOnly: true}}
		})
		response, text := r.do("GET", "/v1/payables", "", identity.HeaderName, "a")
		record := r.record()
		if audit && (response.StatusCode != 200 || record.Audited != "proxy_route_refused" ||
			!strings.Contains(r.log.String(), `"would_refuse":"proxy_route_refused"`)) {
			t.Errorf("on trial: %d, record %+v", response.StatusCode, record)
		}
		if response, text := r.do("POST", "/v1/payables", "", identity.HeaderName, "b"); response.StatusCode != 403 ||
			!strings.Contains(text, "proxy_read_only") {
			t.Errorf("read_only is not on trial: %d %s", response.StatusCode, text)
		}
		if !audit && (response.StatusCode != 403 || !strings.Contains(text, "proxy_route_refused") || record.Audited != "" || record.Sent) {
			t.Errorf("in force: %d %s, record %+v", response.StatusCode, text, record)
		}
	}
}
