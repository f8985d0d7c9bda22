package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// newStandIn does the little of a sidecar that the demo lines need: it wants
// the app token, mints for every call, and hands the call on.
func newStandIn(t *testing.T, sim *monitetest.Simulator) *httptest.Server {
	t.Helper()
	side := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Monite-Proxy-Token") != "app" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fields := map[string]string{
			"client_id": monitetest.DemoClientID, "client_secret": monitetest.DemoClientSecret, "grant_type": "client_credentials",
		}
		if user := r.Header.Get("X-Monite-Entity-User-Id"); user != "" {
			fields["grant_type"], fields["entity_user_id"] = "entity_user", user
		}
		body, _ := json.Marshal(fields)
		mint := httptest.NewRequest(http.MethodPost, "/v1/auth/token", bytes.NewReader(body))
		mint.Header.Set("Content-Type", "application/json")
		mint.Header.Set("X-Monite-Version", "2024-05-25")
		minted := httptest.NewRecorder()
		sim.ServeHTTP(minted, mint)
		var token struct {
			AccessToken string `json:"access_token"`
		}
		_ = json.Unmarshal(minted.Body.Bytes(), &token)
		r.Header.Set("Authorization", "Bearer "+token.AccessToken)
		r.Header.Set("X-Monite-Version", "2024-05-25")
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(side.Close)
	return side
}
