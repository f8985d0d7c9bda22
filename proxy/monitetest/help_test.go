package monitetest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// bench is a simulator behind a real socket.
type bench struct {
	*testing.T
	sim *monitetest.Simulator
	url string
}

func start(t *testing.T, config monitetest.Config) *bench {
	t.Helper()
	if config.StreamInterval == 0 {
		config.StreamInterval = -1
	}
	sim := monitetest.New(config)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return &bench{t, sim, server.URL}
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(r.body), &fields); err != nil {
		t.Fatalf("body %q is not a JSON object: %v", r.body, err)
	}
	return fields
}

func (r reply) data(t *testing.T) []map[string]any {
	t.Helper()
	var list struct{ Data []map[string]any }
	if err := json.Unmarshal([]byte(r.body), &list); err != nil {
		t.Fatalf("body %q is not a list: %v", r.body, err)
	}
	return list.Data
}

// client follows no redirect and keeps no connection, so that a fault on one
// connection cannot touch the next request.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (b *bench) request(method, target, body string, header map[string]string) *http.Request {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.url+target, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("X-Monite-Version", "2024-05-25")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		if value == "-" {
			r.Header.Del(name)
		} else {
			r.Header.Set(name, value)
		}
	}
	return r
}

func (b *bench) try(r *http.Request) (reply, error) {
	response, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(body)}, err
}

func (b *bench) do(method, target, body string, header map[string]string) reply {
	b.Helper()
	answer, err := b.try(b.request(method, target, body, header))
	if err != nil {
		b.Fatalf("%s %s: %v", method, target, err)
	}
	return answer
}

func (b *bench) want(status int, method, target, body string, header map[string]string) reply {
	b.Helper()
	answer := b.do(method, target, body, header)
	if answer.status != status {
		b.Fatalf("%s %s = %d %s, want %d", method, target, answer.status, answer.body, status)
	}
	return answer
}

func mintBody(entityUserID string) string {
	fields := map[string]any{
		"client_id": monitetest.DemoClientID, "client_secret": monitetest.DemoClientSecret, "grant_type": "client_credentials",
	}
	if entityUserID != "" {
		fields["grant_type"], fields["entity_user_id"] = "entity_user", entityUserID
	}
	text, _ := json.Marshal(fields)
	return string(text)
}

// token mints; no entity user means the partner.
func (b *bench) token(entityUserID string) string {
	b.Helper()
	answer := b.want(http.StatusOK, "POST", "/v1/auth/token", mintBody(entityUserID), nil)
	value, _ := answer.json(b.T)["access_token"].(string)
	return value
}

// as returns the headers of a call by a fresh token.
func (b *bench) as(entityUserID, entityID string) map[string]string {
	b.Helper()
	header := map[string]string{"Authorization": "Bearer " + b.token(entityUserID)}
	if entityID != "" {
		header["X-Monite-Entity-Id"] = entityID
	}
	return header
}

// with adds to headers.
func with(header map[string]string, more ...string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, header)
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func encode(value any) string {
	var buf bytes.Buffer
	_ = json.NewEncoder(&buf).Encode(value)
	return buf.String()
}

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
