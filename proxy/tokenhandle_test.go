package proxy

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

func handlesOf(text string) *handles {
	value := secret.New(text)
	return &handles{secret: func() secret.String { return value }}
}

func TestHandleSaysWhatItWasMadeFor(t *testing.T) {
	h := handlesOf("client-secret")
	for _, s := range []selection{{handlePartner, ""}, {handleUser, userA}, {handleNamed, "billing"}, {handleNamed, strings.Repeat("n", 63)}} {
		text := h.make(s)
		if !regexp.MustCompile(`^mph1_[A-Za-z0-9_-]{38,126}$`).MatchString(text) {
			t.Errorf("handle %q is no short b64token", text)
		}
		if text == h.make(s) {
			t.Errorf("two handles for %v are the same", s)
		}
		for _, value := range []string{"Bearer " + text, "bearer " + text, "BEARER  " + text} {
			if got, problem := h.read([]string{value}); got != s || problem != nil {
				t.Errorf("read(%q) = %v, %v, want %v", value, got, problem, s)
			}
		}
		// It shows nothing of whom it stands for, and nothing of the secret.
		for _, part := range []string{s.of, "client-secret"} {
			if part != "" && strings.Contains(text, part) {
				t.Errorf("handle %q holds %q", text, part)
			}
		}
	}
}

func TestOtherTokensAreIgnored(t *testing.T) {
	h := handlesOf("client-secret")
	for _, value := range []string{"", "Bearer", "Bearer ", "Bearer x", "Basic bXBoMV8=", "Bearer Mph1_x", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"} {
		if got, problem := h.read([]string{value}); got != (selection{}) || problem != nil {
			t.Errorf("read(%q) = %v, %v, want nothing", value, got, problem)
		}
	}
	var off *handles
	if got, problem := off.read([]string{"Bearer " + h.make(selection{handleNamed, "billing"})}); got != (selection{}) || problem != &problemHandle {
		t.Errorf("with handles off: %v, %v, want a refusal", got, problem)
	}
	if got, problem := off.read([]string{"Bearer x"}); got != (selection{}) || problem != nil {
		t.Errorf("with handles off, another token: %v, %v", got, problem)
	}
	// What has a handle in another place expects to be somebody.
	for _, value := range []string{"mph1_x", "Bearer x mph1_", "Digest mph1_AAAA", "Bearer\tmph1_x", h.make(selection{handleUser, userA})} {
		if got, problem := h.read([]string{value}); got != (selection{}) || problem != &problemHandle {
			t.Errorf("read(%q) = %v, %v, want a refusal", value, got, problem)
		}
	}
	text := h.make(selection{handlePartner, ""})
	if _, problem := h.read([]string{"Bearer x", "Bearer " + text}); problem != nil {
		t.Errorf("beside another token: %v", problem)
	}
	if _, problem := h.read([]string{"Bearer " + text, "Bearer " + h.make(selection{handlePartner, ""})}); problem != &problemDuplicateIdentity {
		t.Errorf("two handles: %v", problem)
	}
}

// No byte of it can be changed, and no other process with another secret makes it.
func TestAlteredHandleIsRefused(t *testing.T) {
	h := handlesOf("client-secret")
	text := h.make(selection{handleUser, userA})
	bad := []string{handlePrefix, text + "A", text[:len(text)-1], text + "=", text + " x", handlePrefix + strings.Repeat("A", 300), handlePrefix + strings.Repeat("A", 40), handlesOf("another").make(selection{handleUser, userA})}
	for i := len(handlePrefix); i < len(text); i++ {
		for _, c := range []string{"A", "_", "."} {
			if text[i:i+1] != c {
				bad = append(bad, text[:i]+c+text[i+1:])
			}
		}
	}
	// The last letter of this one holds bits that mean nothing: one spelling is enough.
	text = h.make(selection{handleNamed, "ab"})
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if last := len(text) - 1; text[last] != byte(c) {
			bad = append(bad, text[:last]+string(c))
		}
	}
	for _, altered := range bad {
		if got, problem := h.read([]string{"Bearer " + altered}); problem != &problemHandle {
			t.Errorf("read(%q) = %v, %v, want a refusal", altered, got, problem)
		}
	}
	t.Logf("%d altered handles", len(bad))
}

func TestHandleOutlivesRestartAndNewSecrets(t *testing.T) {
	text := handlesOf("client-secret").make(selection{handleNamed, "billing"})
	if _, problem := handlesOf("client-secret").read([]string{"Bearer " + text}); problem != nil {
		t.Errorf("after a restart: %v", problem)
	}
	var now atomic.Pointer[secret.String]
	set := func(text string) { value := secret.New(text); now.Store(&value) }
	h := &handles{secret: func() secret.String { return *now.Load() }}
	set("first")
	first := h.make(selection{handleNamed, "billing"})
	for i, next := range []string{"second", "second", "third", "fourth"} {
		set(next)
		h.make(selection{handlePartner, ""})
		if _, problem := h.read([]string{"Bearer " + first}); problem != nil {
			t.Errorf("after change %d: %v", i, problem)
		}
	}
	set("fifth")
	if _, problem := h.read([]string{"Bearer " + first}); problem != &problemHandle {
		t.Errorf("four secrets later: %v, want it forgotten", problem)
	}
}

// A secret that comes and goes, as in a rotation that is taken back again and
// again, is one secret.
func TestSecretThatComesBackPushesOutNoOther(t *testing.T) {
	var now atomic.Pointer[secret.String]
	set := func(text string) { value := secret.New(text); now.Store(&value) }
	h := &handles{secret: func() secret.String { return *now.Load() }}
	set("first")
	first := h.make(selection{handleNamed, "billing"})
	for range 10 {
		for _, next := range []string{"second", "third"} {
			set(next)
			h.make(selection{handlePartner, ""})
		}
	}
	if _, problem := h.read([]string{"Bearer " + first}); problem != nil {
		t.Errorf("two other secrets, ten times each: %v", problem)
	}
}

// What a token request may have: by way and header, grant and user.
func TestGrantOfTokenRequest(t *testing.T) {
	userDefault := people()
	userDefault.Default, userDefault.EntityUsers = asUserA, idSet{userA: true}
	const cc, eu = "client_credentials", "entity_user"
	for _, c := range []struct {
		policy           Policy
		listener, prefix string
		grant, user      string
		fields           []string
		want             selection
		problem          *problem
	}{
		{people(), "", "", cc, "", nil, selection{handlePartner, ""}, nil},
		{people(), "", "", eu, userA, nil, selection{handleUser, userA}, nil},
		{people(), "", "", eu, strings.ToUpper(userA), []string{headerEntityUser, userA}, selection{handleUser, userA}, nil},
		{people(), "", "", eu, userC, nil, selection{}, &problemEntityUser},
		{people(), "", "", eu, userA, []string{headerEntityUser, userB}, selection{}, &problemDuplicateIdentity},
		{people(), "", "", cc, "", []string{headerEntityUser, userA}, selection{}, &problemDuplicateIdentity},
		{people(), "", "", cc, userA, nil, selection{}, &problemTokenRequest},
		{people(), "", "", eu, "", nil, selection{}, &problemTokenRequest},
		{people(), "", "", eu, "x", nil, selection{}, &problemTokenRequest},
		{people(), "", "", "password", "", nil, selection{}, &problemTokenRequest},
		{people(), "", "", "", "", nil, selection{}, &problemTokenRequest},
		{userDefault, "", "", cc, "", nil, selection{}, &problemGrant},
		{userDefault, "", "", eu, userA, nil, selection{handleUser, userA}, nil},
		{people(), "", "/as/billing", eu, userB, nil, selection{handleNamed, "billing"}, nil},
		{people(), "billing:1", "", eu, userB, []string{headerIdentity, "billing"}, selection{handleNamed, "billing"}, nil},
		{people(), "", "", eu, userB, []string{headerIdentity, "billing"}, selection{handleNamed, "billing"}, nil},
		{people(), "", "/as/billing", cc, "", nil, selection{}, &problemGrant},
		{people(), "", "/as/billing", eu, userA, nil, selection{}, &problemEntityUser},
		{people(), "", "/as/billing", eu, userB, []string{headerEntityUser, userA}, selection{}, &problemEntityUser},
		{people(), "", "/shop", cc, "", nil, selection{handleNamed, "shop"}, nil},
		{people(), "", "/shop", eu, userB, nil, selection{}, &problemGrant},
		{people(), "reports:1", "", cc, "", nil, selection{handleNamed, "reports"}, nil},
		{people(), "reports:1", "/shop", cc, "", nil, selection{}, &problemDuplicateIdentity},
		{people(), "", "", cc, "", []string{headerIdentity, "reports"}, selection{}, &problemUnknownIdentity},
		{people(), "", "", cc, "", []string{"X_monite_identity", "shop"}, selection{}, &problemInvalidIdentity},
	} {
		v := newView(c.policy)
		by := way{listener: c.listener, prefix: v.byPrefix[c.prefix], handle: selection{handleNamed, "user"}}
		got, problem := v.grant(wireHeader(c.fields), by, tokenGrant(c.grant), c.user)
		if problem != c.problem || problem == nil && got != c.want {
			t.Errorf("%+v: grant = %v, %v", c, got, problem)
		}
	}
}

// withPeople gives the rig the policy people, and token handles.
func withPeople(c *Config, _ *upstream.Transport) {
	value := secret.New("client-secret")
	c.Policy, c.HandleSecret = people(), func() secret.String { return value }
}

func TestTokenRequestIsAnsweredHere(t *testing.T) {
	o := listen(t, answering(answer(200, "application/json", `{}`)))
	r := newRig(t, o.url, withPeople)
	body := `{"grant_type":"entity_user","entity_user_id":"` + userB + `","client_id":"canary-id","client_secret":"canary-secret"}`
	response, text := r.do("POST", "/as/billing/v1/auth/token", body, "Content-Type", "application/json", "X-Monite-Version", "2024-05-25")
	var got struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		TokenType   string `json:"token_type"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || response.StatusCode != 200 || got.ExpiresIn != 86400 || got.TokenType != "Bearer" || response.Header.Get("Cache-Control") != "no-store" {
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
	r.handler.SetPolicy(Policy{Default: partner})
	response, text = r.do("GET", "/v1/payables", "", "Authorization", "Bearer "+got.AccessToken)
	if response.StatusCode != http.StatusForbidden || !strings.Contains(text, "proxy_unknown_identity") {
		t.Errorf("after the identity was removed: %d %s", response.StatusCode, text)
	}
}

func TestTokenRequestsThatAreRefused(t *testing.T) {
	o := listen(t, answering(answer(200, "application/json", `{}`)))
	on := newRig(t, o.url, withPeople)
	off := newRig(t, o.url, func(c *Config, _ *upstream.Transport) { c.Policy = people() })
	good := `{"grant_type":"client_credentials","client_id":"x","client_secret":"y"}`
	for _, c := range []struct {
		rig                  *rig
		method, target, body string
		want                 string
	}{
		{off, "POST", "/v1/auth/token", good, "proxy_route_refused"}, {off, "POST", "/shop/v1/auth/token", good, "proxy_route_refused"},
		{on, "GET", "/v1/auth/token", "", "proxy_route_refused"}, {on, "POST", "/v1/auth/token/", good, "proxy_route_refused"}, {on, "POST", "/v1/auth/revoke", good, "proxy_route_refused"}, {on, "POST", "/v1/Auth/token", good, "proxy_route_refused"}, {on, "POST", "/shop/v1/auth/revoke", good, "proxy_route_refused"}, {on, "POST", "/v1/%61uth/token", good, "proxy_route_refused"},
		{on, "POST", "/shop/auth/token", good, "proxy_route_refused"}, {on, "POST", "/as/Billing/v1/auth/token", good, "proxy_route_refused"},
		{on, "POST", "/v1/auth/token", "", "proxy_invalid_identity"}, {on, "POST", "/v1/auth/token", "{", "proxy_invalid_identity"}, {on, "POST", "/v1/auth/token", `[]`, "proxy_invalid_identity"}, {on, "POST", "/v1/auth/token", `{"grant_type":1}`, "proxy_invalid_identity"}, {on, "POST", "/v1/auth/token", good + strings.Repeat(" ", maxTokenRequest), "proxy_invalid_identity"}, {on, "POST", "/v1/auth/token", "grant_type=client_credentials", "proxy_invalid_identity"},
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
	o := listen(t, answering(answer(200, "application/json", `{}`)))
	r := newRig(t, o.url, withPeople)
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
	o := listen(t, answering(answer(200, "application/json", `{}`)))
	for _, audit := range []bool{true, false} {
		r := newRig(t, o.url, func(c *Config, _ *upstream.Transport) {
			c.Policy.Named = []Named{{Name: "a", Grant: partner, ByName: true, Rules: denyPayables(t), AuditOnly: audit}, {Name: "b", Grant: partner, ByName: true, ReadOnly: true, Rules: denyPayables(t), AuditOnly: true}}
		})
		response, text := r.do("GET", "/v1/payables", "", headerIdentity, "a")
		record := r.record()
		if audit && (response.StatusCode != 200 || record.Audited != "proxy_route_refused" || !strings.Contains(r.log.String(), `"would_refuse":"proxy_route_refused"`)) {
			t.Errorf("on trial: %d, record %+v", response.StatusCode, record)
		}
		if response, text := r.do("POST", "/v1/payables", "", headerIdentity, "b"); response.StatusCode != 403 || !strings.Contains(text, "proxy_read_only") {
			t.Errorf("read_only is not on trial: %d %s", response.StatusCode, text)
		}
		if !audit && (response.StatusCode != 403 || !strings.Contains(text, "proxy_route_refused") || record.Audited != "" || record.Sent) {
			t.Errorf("in force: %d %s, record %+v", response.StatusCode, text, record)
		}
	}
}

func BenchmarkHandle(b *testing.B) {
	h := handlesOf("client-secret")
	value := []string{"Bearer " + h.make(selection{handleNamed, "billing"})}
	b.ReportAllocs()
	for b.Loop() {
		if _, problem := h.read(value); problem != nil {
			b.Fatal(problem)
		}
	}
}
