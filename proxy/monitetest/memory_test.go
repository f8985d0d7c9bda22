package monitetest_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// inMemory calls the handler without a socket, for synctest bubbles.
type inMemory struct{ sim *monitetest.Simulator }

func (m inMemory) mint(body string) string {
	r := httptest.NewRequest("POST", "/v1/auth/token", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Monite-Version", "2024-05-25")
	w := httptest.NewRecorder()
	m.sim.ServeHTTP(w, r)
	var fields struct {
		AccessToken string `json:"access_token"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &fields)
	return fields.AccessToken
}

func (m inMemory) get(token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/v1/payables?limit=1", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("X-Monite-Version", "2024-05-25")
	r.Header.Set("X-Monite-Entity-Id", monitetest.DemoEntityID)
	w := httptest.NewRecorder()
	m.sim.ServeHTTP(w, r)
	return w
}
