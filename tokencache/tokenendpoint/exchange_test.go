package tokenendpoint

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	canaryID     = "canary-client-id-1"
	canarySecret = `canary-secret-<&">-2`
	canaryAnswer = "canary-answer-3"
	good         = `{"access_token":"abc","token_type":"bearer","expires_in":1800}`
)

var (
	partner = tokencache.Grant{Type: tokencache.ClientCredentials}
	user    = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: "canary-user-4"}
)

type credentials struct{}

func (credentials) Pair() (id, text secret.String) {
	return secret.New(canaryID), secret.New(canarySecret)
}

// serve has handler answer the mints of the endpoint that is returned.
func serve(t *testing.T, handler http.HandlerFunc) *Endpoint {
	t.Helper()
	server := httptest.NewServer(handler)
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return endpointAt(t, server.URL, transport)
}

func endpointAt(t *testing.T, origin string, transport http.RoundTripper) *Endpoint {
	t.Helper()
	parsed, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	return &Endpoint{
		Origin: parsed, APIVersion: "2024-05-25", Credentials: credentials{}, Transport: transport,
		Now: func() time.Time { return now },
	}
}

// failing mints once and returns the error, which must not tell any secret.
func failing(t *testing.T, ctx context.Context, e *Endpoint) *tokencache.FetchError {
	t.Helper()
	token, err := e.Fetch(ctx, user)
	found, ok := errors.AsType[*tokencache.FetchError](err)
	if !ok || !token.AccessToken.IsZero() {
		t.Fatalf("Fetch() = %v, want a *FetchError and no token", err)
	}
	if strings.Contains(found.Error(), "canary") {
		t.Errorf("error text tells a secret, an id or the answer: %v", err)
	}
	return found
}

func TestExactRequest(t *testing.T) {
	type seen struct {
		Method, Target, Proto string
		Fields                http.Header
		Body                  map[string]any
	}
	tests := []struct {
		grant tokencache.Grant
		want  seen
	}{
		{partner, seen{Target: "/v1/auth/token", Body: map[string]any{
			"client_id": canaryID, "client_secret": canarySecret, "grant_type": "client_credentials",
		}}},
		{user, seen{Target: "/v1/auth/token", Body: map[string]any{
			"client_id": canaryID, "client_secret": canarySecret, "grant_type": "entity_user", "entity_user_id": "canary-user-4",
		}}},
	}
	for _, tc := range tests {
		var got seen
		e := serve(t, func(w http.ResponseWriter, r *http.Request) {
			got = seen{Method: r.Method, Target: r.RequestURI, Proto: r.Proto, Fields: r.Header}
			body, _ := io.ReadAll(r.Body)
			if r.ContentLength != int64(len(body)) || len(r.TransferEncoding) > 0 || json.Unmarshal(body, &got.Body) != nil {
				t.Errorf("Content-Length %d, encoding %v, body not as announced or not JSON", r.ContentLength, r.TransferEncoding)
			}
			_, _ = io.WriteString(w, good)
		})
		token, err := e.Fetch(t.Context(), tc.grant)
		if err != nil || !token.AccessToken.Equal(secret.New("abc")) || token.ExpiresIn != 30*time.Minute {
			t.Fatalf("Fetch() = %v, %v", token, err)
		}
		for _, own := range []string{"Content-Length", "User-Agent"} { // the transport's
			got.Fields.Del(own)
		}
		tc.want.Method, tc.want.Proto = "POST", "HTTP/1.1"
		tc.want.Fields = http.Header{
			"Content-Type": {"application/json"}, "Accept": {"application/json"}, "X-Monite-Version": {"2024-05-25"},
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
	}
}

func TestStatusToReason(t *testing.T) {
	var status atomic.Int64
	e := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "17")
		w.Header().Set("Location", "/v1/"+canaryAnswer)
		w.WriteHeader(int(status.Load()))
		if code := status.Load(); code != http.StatusNoContent && code != http.StatusNotModified {
			_, _ = io.WriteString(w, `{"error":{"message":"`+canaryAnswer+`"}}`)
		}
	})
	for code := 201; code < 600; code++ {
		status.Store(int64(code))
		want := tokencache.Unavailable
		switch {
		case code < 300:
			want = tokencache.Malformed
		case code == 400, code == 401, code == 403, code == 422:
			want = tokencache.Rejected
		case code == 429:
			want = tokencache.Throttled
		}
		if err := failing(t, t.Context(), e); err.Reason != want || err.Status != code || err.RetryAfter != 17*time.Second {
			t.Errorf("status %d: %s, status %d, Retry-After %v, want %s, 17s", code, err.Reason, err.Status, err.RetryAfter, want)
		}
	}
}

// A firewall or a gateway on the way that refuses says nothing about the
// credentials, and may be gone the next time.
func TestRefusalThatIsNotMonitesIsNoVerdictOnTheCredentials(t *testing.T) {
	var status atomic.Int64
	var body, contentType atomic.Value
	e := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType.Load().(string))
		w.WriteHeader(int(status.Load()))
		_, _ = io.WriteString(w, body.Load().(string))
	})
	for _, tc := range []struct {
		contentType, body string
		monites           bool
	}{
		{"application/json", `{"error":{"message":"` + canaryAnswer + `"}}`, true},
		{"application/json", `{"error":{"type":"unauthorized","message":""}}`, true},
		{"text/plain", `{"error":{"message":"bad client"}}`, true},
		{"application/json", `{"detail":[{"loc":["body"],"msg":"bad","type":"value_error"}]}`, true},
		{"application/json", `{"detail":"Unauthorized"}`, true},
		{"application/json", `{"error":"invalid_client","error_description":"no such client"}`, true},
		{"text/html", "<html><title>403 Forbidden</title>" + canaryAnswer + "</html>", false},
		{"application/json", "<html></html>", false},
		{"application/json", "", false}, // but for a 401, which needs no body
		{"application/json", "{}", false},
		{"application/json", "[]", false},
		{"application/json", "null", false},
		{"application/json", `"Forbidden"`, false},
		{"application/json", `{"message":"Forbidden"}`, false},
		{"application/json", `{"error":"Forbidden"}`, false},
		{"application/json", `{"error":{}}`, false},
		{"application/json", `{"error":{"message":"cut o`, false},
		{"application/json", `{"error":{"message":"` + strings.Repeat("x", maxAnswer) + `"}}`, false},
	} {
		for _, code := range []int64{400, 401, 403, 422} {
			status.Store(code)
			body.Store(tc.body)
			contentType.Store(tc.contentType)
			want, monites := tokencache.Unavailable, tc.monites || tc.body == "" && code == 401
			if monites {
				want = tokencache.Rejected
			}
			err := failing(t, t.Context(), e)
			if err.Reason != want || err.Status != int(code) {
				t.Errorf("%d %.60q: %s, status %d, want %s", code, tc.body, err.Reason, err.Status, want)
			}
			if said := strings.Contains(err.Error(), "does not come from Monite's API"); said == monites {
				t.Errorf("%d %.60q: %q", code, tc.body, err)
			}
			if strings.Contains(err.Error(), canaryAnswer) {
				t.Errorf("%d %.60q: the error quotes it", code, tc.body)
			}
		}
	}
}

func TestRetryAfterAsADate(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", now.Add(42*time.Second).Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if err := failing(t, t.Context(), e); err.RetryAfter != 42*time.Second {
		t.Errorf("Retry-After = %v, want 42s", err.RetryAfter)
	}
	e.Now = nil // the real clock is not near that date, and must not be missed
	_ = failing(t, t.Context(), e)
}

func TestRedirectIsNeverFollowed(t *testing.T) {
	var requests atomic.Int64
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			_, _ = io.WriteString(w, good)
			return
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	if err := failing(t, t.Context(), e); err.Reason != tokencache.Unavailable || requests.Load() != 1 {
		t.Errorf("%v after %d requests, want Unavailable after 1", err, requests.Load())
	}
}

func zipped(text string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return out.String()
}

func TestAnswerThatIsNoToken(t *testing.T) {
	pad := func(n int) string { return good + strings.Repeat(" ", n-len(good)) }
	tests := []struct {
		name, encoding, body string
		ok                   bool
	}{
		{"a token", "", good, true},
		{"said to be identity", "identity", good, true},
		{"64 KiB", "", pad(64 << 10), true},
		{"64 KiB and one byte", "", pad(64<<10 + 1), false},
		{"gzip that says so", "gzip", zipped(good), false},
		{"gzip that does not say so", "", zipped(good), false},
		{"said to be gzip", "gzip", good, false},
		{"a zip bomb", "gzip", zipped(strings.Repeat(" ", 1<<20)), false},
		{"brotli", "br", canaryAnswer, false},
		{"HTML", "", "<html>" + canaryAnswer, false},
		{"empty", "", "", false},
		{"token with CR LF", "", `{"access_token":"` + canaryAnswer + `\r\nX: y"}`, false},
		{"another's error", "", `{"access_token":["` + canaryAnswer + `"]}`, false},
		{"names twice", "", `{"` + canaryAnswer + `":1,"` + canaryAnswer + `":1}`, false},
		{"a type of its own", "", `{"access_token":"t","token_type":"` + canaryAnswer + `"}`, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			e := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", tc.encoding)
				if tc.encoding == "" {
					w.Header().Del("Content-Encoding")
				}
				_, _ = io.WriteString(w, tc.body)
			})
			if tc.ok {
				if _, err := e.Fetch(t.Context(), user); err != nil {
					t.Errorf("Fetch() = %v, want a token", err)
				}
				return
			}
			if err := failing(t, t.Context(), e); err.Reason != tokencache.Malformed || err.Status != 200 {
				t.Errorf("Fetch() = %v, want Malformed, status 200", err)
			}
		})
	}
}

// wire answers every connection with the bytes of raw, and ends it.
func wire(t *testing.T, raw string, reset bool) (e *Endpoint, connections func() int64) {
	t.Helper()
	origin := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _ = p.Head()
		p.Say(raw)
		p.Cut(reset)
	})
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return endpointAt(t, origin.URL.String(), transport), origin.Accepted.Load
}
