package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// vendBook is a VendSource whose tokens are named after their grants.
type vendBook struct {
	left   time.Duration
	err    error
	asked  []tokencache.Grant
	wished time.Duration
}

func (b *vendBook) Lasting(_ context.Context, grant tokencache.Grant, wish time.Duration) (secret.String, time.Duration, error) {
	b.asked, b.wished = append(b.asked, grant), wish
	if b.err != nil {
		return secret.String{}, 0, b.err
	}
	return secret.New("canary-token-of-" + grant.EntityUserID), b.left, nil
}

// vendOnce sends one request to a Vendor that allows userA.
func vendOnce(book *vendBook, change func(*VendConfig), in *http.Request) (answer *httptest.ResponseRecorder, log string) {
	var lines wiretest.Buffer
	config := VendConfig{Tokens: book, Users: idSet{userA: true}, MaxInFlight: 4, Log: zerolog.New(&lines), Audit: zerolog.New(&lines),
		Listener: "127.0.0.1:8082"}
	if change != nil {
		change(&config)
	}
	answer = httptest.NewRecorder()
	NewVendor(config).ServeHTTP(answer, in)
	return answer, lines.String()
}

func vendRequestOf(body string, fields ...string) *http.Request {
	in := httptest.NewRequest(http.MethodPost, "/v1/auth/token", strings.NewReader(body))
	in.Host = "localhost:9000"
	in.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(fields); i += 2 {
		in.Header.Add(fields[i], fields[i+1])
	}
	return in
}

const askForA = `{"grant_type":"entity_user","entity_user_id":"` + userA + `"}`

func TestVendedTokenHasMonitesShape(t *testing.T) {
	for name, body := range map[string]string{
		"as Monite's":           askForA,
		"upper case":            `{"grant_type":"entity_user","entity_user_id":"` + strings.ToUpper(userA) + `"}`,
		"with credentials":      `{"client_id":"canary-id","client_secret":"canary-secret","grant_type":"entity_user","entity_user_id":"` + userA + `"}`,
		"credentials that null": ` {"client_id":null,"entity_user_id":"` + userA + `","grant_type":"entity_user"} ` + "\n",
	} {
		book := &vendBook{left: 1799*time.Second + 999*time.Millisecond}
		answer, log := vendOnce(book, nil, vendRequestOf(body, "X-Request-Id", "r-1"))
		var got map[string]any
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != http.StatusOK || len(got) != 3 ||
			got["access_token"] != "canary-token-of-"+userA || got["expires_in"] != 1799.0 || got["token_type"] != "Bearer" {
			t.Errorf("%s: %d %s", name, answer.Code, answer.Body)
		}
		h := answer.Header()
		if h.Get("Cache-Control") != "no-store" || h.Get("Pragma") != "no-cache" || h.Get("Content-Type") != "application/json" ||
			h.Get("X-Request-Id") != "r-1" {
			t.Errorf("%s: header %v", name, h)
		}
		if book.wished < 10*time.Minute {
			t.Errorf("%s: wished for %v, but Monite's components keep a token for ten minutes", name, book.wished)
		}
		wantAudit(t, log)
	}
}

// wantAudit: one line for the token, without the token, the user and what came in.
func wantAudit(t *testing.T, log string) {
	t.Helper()
	if strings.Contains(log, "canary") || strings.Contains(strings.ToLower(log), userA) {
		t.Errorf("the log tells too much: %s", log)
	}
	handed, audits := 0, 0
	for line := range strings.Lines(log) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if fields["message"] == "request" {
			continue
		}
		if fields["listener"] != "127.0.0.1:8082" || fields["entity_user_hash"] != ids.Hash(userA) {
			t.Errorf("a line that does not say where, or for whom: %s", line)
		}
		if fields["message"] == "audit" {
			audits++
			continue
		}
		handed++
		if fields["grant_type"] != "entity_user" || fields["message"] != "token handed out" || fields["expires_in_s"] != 1799.0 ||
			fields["request_id"] != "r-1" {
			t.Errorf("audit line %s", line)
		}
	}
	if handed != 1 || audits != 1 {
		t.Errorf("%d lines of the token and %d of the audit, want one each:\n%s", handed, audits, log)
	}
}

func TestVendRefusesAllElse(t *testing.T) {
	const user = `"entity_user_id":"` + userA + `"`
	target := func(method, target string) *http.Request {
		in := vendRequestOf(askForA)
		in.Method, in.RequestURI = method, target
		return in
	}
	host := vendRequestOf(askForA)
	host.Host = "localhost.evil.example"
	tests := []struct {
		name   string
		in     *http.Request
		status int
		kind   string
	}{
		{"partner", vendRequestOf(`{"grant_type":"client_credentials"}`), 403, "proxy_grant_refused"},
		{"partner with a user", vendRequestOf(`{"grant_type":"client_credentials",` + user + `}`), 403, "proxy_grant_refused"},
		{"user not allowed", vendRequestOf(`{"grant_type":"entity_user","entity_user_id":"` + userB + `"}`), 403, "proxy_entity_user_not_allowed"},
		{"no UUID", vendRequestOf(`{"grant_type":"entity_user","entity_user_id":"x"}`), 400, "proxy_invalid_identity"},
		{"no user", vendRequestOf(`{"grant_type":"entity_user"}`), 400, "proxy_token_request"},
		{"user null", vendRequestOf(`{"grant_type":"entity_user","entity_user_id":null}`), 400, "proxy_token_request"},
		{"no grant", vendRequestOf(`{` + user + `}`), 400, "proxy_token_request"},
		{"another grant", vendRequestOf(`{"grant_type":"password",` + user + `}`), 400, "proxy_token_request"},
		{"grant in capitals", vendRequestOf(`{"grant_type":"ENTITY_USER",` + user + `}`), 400, "proxy_token_request"},
		{"name in capitals", vendRequestOf(`{"grant_type":"entity_user","Entity_User_Id":"` + userA + `"}`), 400, "proxy_token_request"},
		{"user twice", vendRequestOf(`{"grant_type":"entity_user","entity_user_id":"` + userB + `",` + user + `}`), 400, "proxy_token_request"},
		{"grant twice", vendRequestOf(`{"grant_type":"client_credentials","grant_type":"entity_user",` + user + `}`), 400, "proxy_token_request"},
		{"another field", vendRequestOf(`{"grant_type":"entity_user",` + user + `,"scope":"all"}`), 400, "proxy_token_request"},
		{"a number", vendRequestOf(`{"grant_type":"entity_user","entity_user_id":1}`), 400, "proxy_token_request"},
		{"an object", vendRequestOf(`{"grant_type":"entity_user",` + user + `,"client_id":{}}`), 400, "proxy_token_request"},
		{"an array", vendRequestOf(`[` + askForA + `]`), 400, "proxy_token_request"},
		{"two objects", vendRequestOf(askForA + askForA), 400, "proxy_token_request"},
		{"cut off", vendRequestOf(askForA[:len(askForA)-1]), 400, "proxy_token_request"},
		{"no JSON", vendRequestOf("grant_type=entity_user"), 400, "proxy_token_request"},
		{"nothing", vendRequestOf(""), 400, "proxy_token_request"},
		{"too large", vendRequestOf(`{"client_id":"` + strings.Repeat("x", maxTokenRequest) + `",` + askForA[1:]), 413, "proxy_body_too_large"},
		{"user in a header", vendRequestOf(askForA, "X-Monite-Entity-User-Id", userB), 400, "proxy_token_request"},
		{"user in a twin of the header", vendRequestOf(askForA, "X_Monite_Entity_User_Id", userB), 400, "proxy_invalid_identity"},
		{"from a page", vendRequestOf(askForA, "Origin", "https://evil.example"), 403, "proxy_browser_refused"},
		{"from a browser", vendRequestOf(askForA, "Sec-Fetch-Site", "cross-site"), 403, "proxy_browser_refused"},
		{"foreign host", host, 421, "proxy_host_not_allowed"},
		{"upgrade", vendRequestOf(askForA, "Upgrade", "websocket"), 501, "proxy_upgrade_refused"},
		{"connection options", vendRequestOf(askForA, "Connection", "x-monite-proxy-token"), 400, "proxy_bad_header"},
		{"GET", target("GET", tokenPath), 405, "proxy_method_refused"},
		{"OPTIONS", target("OPTIONS", tokenPath), 405, "proxy_method_refused"},
		{"revoke", target("POST", "/v1/auth/revoke"), 404, "proxy_not_found"},
		{"an API call", target("POST", "/v1/payables"), 404, "proxy_not_found"},
		{"a query", target("POST", tokenPath+"?x"), 404, "proxy_not_found"},
		{"a slash more", target("POST", tokenPath+"/"), 404, "proxy_not_found"},
		{"an escape", target("POST", "/v1/auth/%74oken"), 404, "proxy_not_found"},
		{"dots", target("POST", "/v1/x/../auth/token"), 400, "proxy_bad_request_target"},
	}
	for _, tc := range tests {
		book := &vendBook{left: time.Hour}
		answer, log := vendOnce(book, nil, tc.in)
		var envelope problemBody
		if err := json.Unmarshal(answer.Body.Bytes(), &envelope); err != nil || answer.Code != tc.status || envelope.Error.Type != tc.kind {
			t.Errorf("%s: %d %s, want %d %s", tc.name, answer.Code, answer.Body, tc.status, tc.kind)
		}
		if len(book.asked) != 0 || strings.Contains(log, "token handed out") {
			t.Errorf("%s: a token of %v was asked for", tc.name, book.asked)
		}
		if allow := answer.Header().Get("Allow"); tc.status == 405 && allow != "POST" {
			t.Errorf("%s: Allow = %q", tc.name, allow)
		}
	}
}

func TestVendWithoutAUserMeansTheDefaultOne(t *testing.T) {
	book := &vendBook{left: time.Hour}
	answer, _ := vendOnce(book, func(c *VendConfig) { c.Default = userA }, vendRequestOf(`{"grant_type":"entity_user"}`))
	if want := []tokencache.Grant{{Type: tokencache.EntityUser, EntityUserID: userA}}; answer.Code != 200 || !slices.Equal(book.asked, want) {
		t.Errorf("%d %s, asked for %v", answer.Code, answer.Body, book.asked)
	}
}

func TestVendHonoursTheAppToken(t *testing.T) {
	guarded := func(c *VendConfig) { c.AppToken = func() secret.String { return secret.New("app-token") } }
	for given, want := range map[string]int{"": 401, "wrong": 401, "app-token": 200} {
		in := vendRequestOf(askForA)
		if given != "" {
			in.Header.Set("X-Monite-Proxy-Token", given)
		}
		if answer, _ := vendOnce(&vendBook{left: time.Hour}, guarded, in); answer.Code != want {
			t.Errorf("with %q: %d %s, want %d", given, answer.Code, answer.Body, want)
		}
	}
}

func TestVendErrorsAreThoseOfTheDataListener(t *testing.T) {
	for reason, want := range map[tokencache.Reason]int{tokencache.Rejected: 502, tokencache.Unavailable: 503, tokencache.Paced: 503} {
		book := &vendBook{err: &tokencache.Error{GrantType: tokencache.EntityUser, Reason: reason, RetryAfter: 3 * time.Second, Cause: errors.New("x")}}
		answer, _ := vendOnce(book, nil, vendRequestOf(askForA))
		if answer.Code != want || answer.Header().Get("X-Monite-Proxy-Outcome") != "not_sent" || strings.Contains(answer.Body.String(), userA) {
			t.Errorf("%s: %d %s", reason, answer.Code, answer.Body)
		}
	}
}

func TestVendProblemsKeepTheRules(t *testing.T) {
	for _, p := range []*problem{&problemVendRequest, &problemVendUser, &problemVendPartner, &problemVendPath, &problemVendMethod, &problemVendBody} {
		for _, text := range []string{p.kind, p.message, p.hint} {
			if text == "" || strings.Contains(strings.ToLower(text), "expired") || strings.ContainsAny(text, "\r\n") {
				t.Errorf("%s: text %q", p.kind, text)
			}
		}
		if !slices.Contains(proxyStatusErrors, p.proxyStatus) || !strings.HasPrefix(p.kind, "proxy_") {
			t.Errorf("%s with %s", p.kind, p.proxyStatus)
		}
	}
}

// Whatever the body: at most the token of an allowed user comes out.
func FuzzVendRequest(f *testing.F) {
	for _, body := range []string{askForA, `{"grant_type":"client_credentials"}`, `{"a":`, `[]`, ``,
		`{"grant_type":"entity_user","entity_user_id":"` + userB + `"}`,
		`{"grant_type":"entity_user","entity_user_id":"` + userB + `","entity_user_id":"` + userA + `"}`, "{\"grant_type\":\"entity_user\"}\x00"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		book := &vendBook{left: time.Hour}
		answer, _ := vendOnce(book, nil, vendRequestOf(body))
		if (answer.Code == 200) != (len(book.asked) == 1) || !json.Valid(answer.Body.Bytes()) {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
		for _, grant := range book.asked {
			if grant.Type != tokencache.EntityUser || grant.EntityUserID != userA {
				t.Errorf("%q asked for %v", body, grant)
			}
		}
	})
}
