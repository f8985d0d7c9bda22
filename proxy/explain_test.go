package proxy

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// bookWithPeek can say what it has, as the cache can.
type bookWithPeek struct{ *tokenBook }

func (b bookWithPeek) Cached(grant tokencache.Grant) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current[grant] != 0
}

func newExplainRig(t *testing.T, explain bool) *rig {
	t.Helper()
	refusals := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		w.Header().Set(headerTiming, "db;dur=1, secret;desc=upstream")
		w.Header().Set(headerExplain, "from upstream")
		if len(in.Header[headerExplain]) > 0 {
			t.Error("the question was forwarded")
		}
		if strings.HasSuffix(in.URL.Path, "/slow") {
			<-time.After(20 * time.Millisecond)
		}
		if strings.HasSuffix(in.URL.Path, "/refused") && refusals == 0 {
			refusals++
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	origin, _ := url.Parse(server.URL)
	return newRig(t, origin, func(c *Config, _ *upstream.Transport) {
		c.Explain = explain
		c.Tokens = bookWithPeek{c.Tokens.(*tokenBook)}
	})
}

func TestEveryAnswerSaysWhereTheTimeWent(t *testing.T) {
	r := newExplainRig(t, false)
	first, _ := r.do("GET", "/v1/slow", "")
	for pattern, target := range map[string]string{
		`^token;dur=[\d.]+, upstream;dur=[\d.]+, total;dur=[\d.]+$`: "/v1/payables",
		`^total;dur=[\d.]+$`: "/v1//odd",
	} {
		answer, _ := r.do("GET", target, "")
		if got := strings.Join(answer.Header[headerTiming], "|"); !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("%s: Server-Timing = %q, want %s", target, got, pattern)
		}
	}
	got := strings.Join(first.Header[headerTiming], "|")
	match := regexp.MustCompile(`^token;dur=[\d.]+, connect;dur=[\d.]+, upstream;dur=(2\d|[3-9]\d|\d{3})[\d.]*, total;dur=(2\d|[3-9]\d|\d{3})[\d.]*$`)
	if !match.MatchString(got) {
		t.Errorf("Server-Timing of the first, slow request = %q", got)
	}
}

func TestExplainTellsTheWayOfARequestAndNoID(t *testing.T) {
	r := newExplainRig(t, true)
	for i, c := range []struct {
		target, want string
		fields       []string
	}{
		{"/v1/payables", "identity=default; grant=client_credentials; entity=default; token=minted; replay=none; retried=false", nil},
		{"/v1/payables", "identity=default; grant=client_credentials; entity=default; token=cached; replay=none; retried=false", nil},
		{"/v1/payables", "identity=header; grant=entity_user; entity=header; token=minted; replay=none; retried=false",
			[]string{identity.HeaderUser, userA, identity.HeaderEntity, entityB}},
		{"/v1/refused", "identity=default; grant=client_credentials; entity=default; token=cached; replay=401; retried=false", nil},
		{"/v1/payables", "", []string{identity.HeaderEntity, "not-an-id"}}, // refused before there was a way
	} {
		answer, _ := r.do("GET", c.target, "", append(c.fields, headerExplain, "1")...)
		if got := answer.Header.Get(headerExplain); got != c.want {
			t.Errorf("case %d: explanation = %q, want %q", i, got, c.want)
		}
	}
	answer, _ := r.do("GET", "/v1/payables", "")
	if got := answer.Header[headerExplain]; len(got) > 0 {
		t.Errorf("unasked: %q", got)
	}
}

func TestNothingIsExplainedWhereItIsNotAllowed(t *testing.T) {
	r := newExplainRig(t, false)
	answer, _ := r.do("GET", "/v1/payables", "", headerExplain, "1")
	if got := answer.Header[headerExplain]; len(got) > 0 {
		t.Errorf("explanation = %q", got)
	}
}
