package monitetest_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

const (
	otherEntity = monitetest.DemoStudioID
	nobody      = "00000000-0000-4000-8000-000000000000"
)

func TestTokenEndpointRules(t *testing.T) {
	good := mintBody("")
	tests := []struct {
		name   string
		body   string
		header map[string]string
		status int
		says   string
	}{
		{"partner", good, nil, 200, `"token_type":"Bearer"`},
		{"entity user", mintBody(monitetest.DemoEntityUserID), nil, 200, `"expires_in":1800`},
		{"null entity user", strings.Replace(good, "}", `,"entity_user_id":null}`, 1), nil, 200, "access_token"},
		{"form body", "grant_type=client_credentials", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"},
		{"no content type", good, map[string]string{"Content-Type": "-"}, 415, "application/json"},
		{"charset is fine", good, map[string]string{"Content-Type": "application/json; charset=utf-8"}, 200, "access_token"},
		{"not JSON", "{", nil, 422, "type_error.dict"},
		{"two documents", good + good, nil, 422, "jsondecode"},
		{"unknown field", strings.Replace(good, "}", `,"scope":"all"}`, 1), nil, 422, "extra fields not permitted"},
		{"number as secret", strings.Replace(good, `"`+monitetest.DemoClientSecret+`"`, "7", 1), nil, 422, "str type expected"},
		{"nothing", "{}", nil, 422, `["body","client_secret"]`},
		{"unknown grant type", strings.Replace(good, "client_credentials", "refresh_token", 1), nil, 422, "enumeration"},
		{"entity user without id", strings.Replace(good, "client_credentials", "entity_user", 1), nil, 422, "entity_user_id"},
		{"client id is no uuid", strings.Replace(good, monitetest.DemoClientID, "me", 1), nil, 422, "not a valid uuid"},
		{"wrong secret", strings.Replace(good, monitetest.DemoClientSecret, nobody, 1), nil, 401, `{"error":{`},
		{"wrong client", strings.Replace(good, monitetest.DemoClientID, nobody, 1), nil, 401, `{"error":{`},
		{"unknown entity user", mintBody(nobody), nil, 400, `{"error":{`},
		{"no version", good, map[string]string{"X-Monite-Version": "-"}, 400, "missing_api_version"},
		{"junk version", good, map[string]string{"X-Monite-Version": "latest"}, 400, "invalid_api_version"},
		{"version before the first", good, map[string]string{"X-Monite-Version": "2020-01-01"}, 404, "not_found"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			answer := b.want(tc.status, "POST", "/v1/auth/token", tc.body, tc.header)
			if !strings.Contains(answer.body, tc.says) {
				t.Errorf("body = %s, want it to contain %s", answer.body, tc.says)
			}
			stats := b.sim.Stats()
			minted := 0
			if tc.status == 200 {
				minted = 1
			}
			if stats.Mints != minted || stats.FailedMints != 1-minted || stats.LiveTokens != minted {
				t.Errorf("mints, failed, live = %d, %d, %d, want %d, %d, %d",
					stats.Mints, stats.FailedMints, stats.LiveTokens, minted, 1-minted, minted)
			}
		})
	}
}

func TestTokensAreOpaqueAndCountedByGrantType(t *testing.T) {
	b := start(t, monitetest.Config{})
	one, two, user := b.token(""), b.token(""), b.token(monitetest.DemoEntityUserID)
	if one == two || len(one) < 41 || strings.Contains(one, ".") {
		t.Errorf("tokens %q and %q, want two different opaque strings of 41 or more", one, two)
	}
	got := b.sim.Stats().MintsByType
	if got["client_credentials"] != 2 || got["entity_user"] != 1 {
		t.Errorf("mints by grant type = %v, want 2 and 1", got)
	}
	if user == "" {
		t.Error("no entity user token")
	}
}

func TestExtraCredentialsMintDuringRotation(t *testing.T) {
	pair := monitetest.Credentials{ClientID: nobody, ClientSecret: "new"}
	b := start(t, monitetest.Config{ExtraCredentials: []monitetest.Credentials{pair}})
	b.token("")
	b.want(200, "POST", "/v1/auth/token", `{"client_id":"`+nobody+`","client_secret":"new","grant_type":"client_credentials"}`, nil)
	b.want(401, "POST", "/v1/auth/token",
		`{"client_id":"`+nobody+`","client_secret":"`+monitetest.DemoClientSecret+`","grant_type":"client_credentials"}`, nil)
}

func TestConfiguredCredentialsNeedNotBeUUIDs(t *testing.T) {
	b := start(t, monitetest.Config{ClientID: "ci", ClientSecret: "ci"})
	b.want(200, "POST", "/v1/auth/token", `{"client_id":"ci","client_secret":"ci","grant_type":"client_credentials"}`, nil)
	b.want(401, "POST", "/v1/auth/token", mintBody(""), nil)
}

func TestBadTokenAnswersInBothDialects(t *testing.T) {
	for _, dialect := range []int{0, 400, 401} {
		expired := max(dialect, 400)
		if dialect == 0 {
			expired = 401
		}
		tests := []struct {
			name   string
			spoil  func(b *bench, header map[string]string)
			status int
			says   string
		}{
			{"good", func(*bench, map[string]string) {}, 200, `"data"`},
			{"missing", func(_ *bench, h map[string]string) { h["Authorization"] = "-" }, 401, "missing"},
			{"unknown", func(_ *bench, h map[string]string) { h["Authorization"] = "Bearer nonsense" }, 401, "invalid"},
			{"basic", func(_ *bench, h map[string]string) { h["Authorization"] = "Basic " + h["Authorization"][7:] }, 401, "Bearer"},
			{"revoked", func(b *bench, h map[string]string) { b.sim.Revoke(h["Authorization"][7:]) }, 401, "invalid"},
			{"all revoked", func(b *bench, _ map[string]string) { b.sim.RevokeAll() }, 401, "invalid"},
			{"expired", func(b *bench, _ map[string]string) { b.sim.ExpireAll() }, expired, "The token has been expired."},
		}
		for _, tc := range tests {
			t.Run(tc.name+" "+http.StatusText(expired), func(t *testing.T) {
				b := start(t, monitetest.Config{ExpiredStatus: dialect})
				header := b.as("", monitetest.DemoEntityID)
				tc.spoil(b, header)
				answer := b.want(tc.status, "GET", "/v1/payables", "", header)
				if !strings.Contains(answer.body, tc.says) {
					t.Errorf("body = %s, want it to contain %q", answer.body, tc.says)
				}
				rejected := 1
				if tc.status == 200 {
					rejected = 0
				}
				if got := b.sim.Stats().AuthRejected; got != rejected {
					t.Errorf("auth rejected = %d, want %d", got, rejected)
				}
			})
		}
	}
}

func TestTokenExpiresAfterItsLifetime(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := start(t, monitetest.Config{TokenLifetime: time.Minute, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	header := b.as("", monitetest.DemoEntityID)
	advance := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock() }
	advance(time.Minute - 1)
	b.want(200, "GET", "/v1/payables", "", header)
	advance(1)
	b.want(401, "GET", "/v1/payables", "", header)
	if got := b.sim.Stats().LiveTokens; got != 0 {
		t.Errorf("live tokens = %d, want 0", got)
	}
}

func TestRevokeEndpointEndsOneToken(t *testing.T) {
	b := start(t, monitetest.Config{})
	keep, drop := b.as("", ""), b.token("")
	body := func(secret string) string {
		return encode(map[string]string{"client_id": monitetest.DemoClientID, "client_secret": secret, "token": drop})
	}
	b.want(401, "POST", "/v1/auth/revoke", body(nobody), keep)
	b.want(401, "POST", "/v1/auth/revoke", body(monitetest.DemoClientSecret), nil)
	b.want(200, "POST", "/v1/auth/revoke", body(monitetest.DemoClientSecret), keep)
	b.want(400, "POST", "/v1/auth/revoke", body(monitetest.DemoClientSecret), keep)
	b.want(401, "GET", "/v1/entities", "", map[string]string{"Authorization": "Bearer " + drop})
	b.want(200, "GET", "/v1/entities", "", keep)
}

func TestDeletedEntityUserLosesTokenAndGrant(t *testing.T) {
	b := start(t, monitetest.Config{})
	viewer := b.as(monitetest.DemoViewerUserID, monitetest.DemoEntityID)
	b.want(200, "GET", "/v1/payables", "", viewer)
	b.want(204, "DELETE", "/v1/entity_users/"+monitetest.DemoViewerUserID, "", b.as("", monitetest.DemoEntityID))
	b.want(401, "GET", "/v1/payables", "", viewer)
	b.want(401, "GET", "/v1/entity_users/me", "", viewer)
	b.want(400, "POST", "/v1/auth/token", mintBody(monitetest.DemoViewerUserID), nil)
}

func TestTokenEndpointDownAndUp(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", "")
	b.sim.SetTokenEndpointDown(true)
	b.want(503, "POST", "/v1/auth/token", mintBody(""), nil)
	b.want(200, "GET", "/v1/entities", "", header)
	b.sim.SetTokenEndpointDown(false)
	b.token("")
}

func TestRateLimitIsPerClientID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := monitetest.New(monitetest.Config{
			RateLimit: 3, ExtraCredentials: []monitetest.Credentials{{ClientID: nobody, ClientSecret: "x"}},
		})
		one := inMemory{sim}
		time.Sleep(time.Second) // the bubble's clock starts within a second
		tokens := []string{one.mint(mintBody("")), one.mint(mintBody(monitetest.DemoEntityUserID))}
		allowed := one.get(tokens[0])
		if allowed.Code != 200 || allowed.Header().Get("RateLimit-Remaining") != "0" || allowed.Header().Get("RateLimit-Limit") != "3" {
			t.Fatalf("third request = %d %v, want 200 with none remaining", allowed.Code, allowed.Header())
		}
		refused := one.get(tokens[1]) // another token of the same client
		if refused.Code != 429 || refused.Header().Get("Retry-After") != "1" || refused.Header().Get("X-RateLimit-Remaining-Second") != "0" {
			t.Errorf("fourth request = %d %v, want 429 with Retry-After", refused.Code, refused.Header())
		}
		other := one.mint(`{"client_id":"` + nobody + `","client_secret":"x","grant_type":"client_credentials"}`)
		if got := one.get(other).Code; got != 200 {
			t.Errorf("another client id = %d, want 200", got)
		}
		time.Sleep(time.Second)
		if got := one.get(tokens[1]).Code; got != 200 {
			t.Errorf("after a second = %d, want 200", got)
		}
	})
}
