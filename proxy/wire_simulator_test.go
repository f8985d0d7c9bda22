package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/tokenendpoint"
)

type demoPair struct{}

func (demoPair) Pair() (id, clientSecret secret.String) {
	return secret.New(monitetest.DemoClientID), secret.New(monitetest.DemoClientSecret)
}

// simulated is a rig on the simulator, with the real token cache.
func simulated(t testing.TB, config monitetest.Config) (*rig, *monitetest.Simulator) {
	sim := monitetest.New(config)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	origin, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, origin, func(c *Config, tr *upstream.Transport) {
		c.Tokens = tokencache.New(tokencache.Config{
			Fetcher:     &tokenendpoint.Endpoint{Origin: origin, APIVersion: "2024-05-25", Credentials: demoPair{}, Transport: tr},
			HoldTimeout: 5 * time.Second,
		})
		c.Policy.EntityID = monitetest.DemoEntityID
		c.Policy.EntityUsers = idSet{monitetest.DemoEntityUserID: true, monitetest.DemoViewerUserID: true}
	})
	return r, sim
}

// Roles are upstream's affair: a viewer gets the 403 of upstream, and nothing
// is tried with another token.
func TestViewerIsNotPromoted(t *testing.T) {
	r, sim := simulated(t, monitetest.Config{})
	response, body := r.do("POST", "/v1/payables", `{"currency":"EUR"}`, identity.HeaderUser, monitetest.DemoViewerUserID, "Content-Type",
		"application/json")
	if response.StatusCode != http.StatusForbidden || response.Header.Get("Proxy-Status") != "" {
		t.Errorf("answer = %d %s", response.StatusCode, body)
	}
	if stats := sim.Stats(); stats.Writes != 0 || stats.MintsByType["client_credentials"] != 0 || stats.Mints != 1 {
		t.Errorf("stats = %+v", stats)
	}
}

func TestTokenEndpointThatIsDownIsSaidAndHealed(t *testing.T) {
	r, sim := simulated(t, monitetest.Config{})
	sim.Inject(monitetest.Fault{Path: "token", Times: 1, Status: 429, Header: map[string]string{"Retry-After": "30"}})
	response, body := r.do("POST", "/v1/counterparts", "{}")
	checkOurs(t, response, body, &problemTokenUnavailable, NotSent, "")
	if response.Header.Get("Retry-After") != "30" || sim.Stats().Writes != 0 {
		t.Errorf("Retry-After = %q", response.Header.Get("Retry-After"))
	}
}

// The bytes that reach upstream, with its own eyes.
func TestWhatUpstreamSees(t *testing.T) {
	r, sim := simulated(t, monitetest.Config{})
	a := r.dial()
	for _, target := range fidelityTargets {
		a.Say(head("GET", target, "Authorization: Bearer canary", "Cookie: canary", "X-Forwarded-For: canary", "X-Monite-Proxy-Token: canary",
			"TE: canary", "X-HTTP-Method-Override: canary", "Accept-Encoding: br", "x-custom: kept") + "\r\n")
		if _, _, err := a.Response("GET"); err != nil {
			t.Fatalf("%s: %v", target, err)
		}
	}
	a.Say(head("POST", "/v1/counterparts", "Transfer-Encoding: chunked", "Trailer: X-Canary") + "\r\n2\r\n{}\r\n0\r\nX-Canary: canary\r\n\r\n")
	if _, _, err := a.Response("POST"); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, seen := range sim.Requests() {
		if seen.Target == "/v1/auth/token" {
			continue
		}
		if n < len(fidelityTargets) && seen.Target != fidelityTargets[n] {
			t.Errorf("target = %s, want %s", seen.Target, fidelityTargets[n])
		}
		n++
		if strings.Contains(fmt.Sprint(seen.Header, seen.Trailer), "canary") || len(seen.Trailer) > 0 {
			t.Errorf("%s: %v, trailer %v", seen.Target, seen.Header, seen.Trailer)
		}
		if len(seen.Header["Authorization"]) != 1 || len(seen.Header[identity.HeaderEntity]) != 1 || len(seen.Header["X-Monite-Version"]) != 1 ||
			seen.Host != r.handler.config.Origin.Host {
			t.Errorf("%s: %v, Host %s", seen.Target, seen.Header, seen.Host)
		}
		if seen.Method == "GET" && (seen.Header.Get("Accept-Encoding") != "identity" || seen.Header.Get("X-Custom") != "kept" ||
			len(seen.Header["User-Agent"]) > 0) {
			t.Errorf("%s: %v", seen.Target, seen.Header)
		}
	}
	if n != len(fidelityTargets)+1 {
		t.Errorf("%d requests, want %d", n, len(fidelityTargets)+1)
	}
}
