package proxy

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// Next.js and Vite pass a browser's fields on. A right app token, which no page can
// know, shows that a server sends the request.
func TestRightAppTokenLiftsTheBrowserCheck(t *testing.T) {
	o := newEchoOrigin(t)
	r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) {
		c.AppToken = func() secret.String { return secret.New("right-app-token") }
	})
	fields := []string{"Origin: http://localhost:3000", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Referer: http://localhost:3000/", "Upgrade-Insecure-Requests: 1"}
	for given, want := range map[string]int{"right-app-token": 200, "wrong": 403, "": 403} {
		a := r.dial()
		a.Say(get("/v1/x", append(slices.Clone(fields), "X-Monite-Proxy-Token: "+given)...))
		if _, body := a.WantStatus("GET", want); want == 403 && (!strings.Contains(body, "MONITE_APP_TOKEN") || !strings.Contains(body, "Sec-Fetch-*")) {
			t.Errorf("the hint does not say both ways out: %s", body)
		}
	}
	// Without a token that is wanted, none lifts it.
	a := newRig(t, o.URL).dial()
	a.Say(get("/v1/x", append(fields, "X-Monite-Proxy-Token: right-app-token")...))
	a.WantStatus("GET", 403)
}

func TestResponsesAreNoPagesOfThisOrigin(t *testing.T) {
	for _, row := range []struct {
		status     string
		own, wants []string
	}{
		{"200 OK", nil, []string{"sandbox"}},
		{"404 X", []string{"Content-Security-Policy: default-src 'self'"}, []string{"default-src 'self'", "sandbox"}},
		{"200 OK", []string{"Content-Security-Policy: sandbox allow-scripts", "Cross-Origin-Resource-Policy: cross-origin"}, []string{"sandbox allow-scripts", "sandbox"}},
	} {
		o := wiretest.Listen(t, nil, wiretest.Answering("HTTP/1.1 "+row.status+"\r\nContent-Type: text/html\r\n"+strings.Join(append(row.own, ""), "\r\n")+"Content-Length: 0\r\n\r\n"))
		for _, path := range []string{"/v1/x", "/other"} {
			response, _ := newRig(t, o.URL).do("GET", path, "")
			wants := row.wants
			if path == "/other" {
				wants = []string{"sandbox"}
			}
			if got := response.Header["Content-Security-Policy"]; !slices.Equal(got, wants) {
				t.Errorf("%s %q: %q, want %q", path, row.own, got, wants)
			}
			if got := response.Header["Cross-Origin-Resource-Policy"]; !slices.Equal(got, []string{"same-origin"}) {
				t.Errorf("%s %q: %q", path, row.own, got)
			}
		}
	}
}

// got, httpx, aiohttp and curl send a Host of their own making over a unix socket.
func TestHostIsNotLookedAtOnAUnixSocket(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	r := newRig(t, o.URL)
	for _, kind := range []string{"std", "strict"} {
		path := filepath.Join(t.TempDir(), "s")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server := serverUnderTest(kind, r.handler, nil, nil)
		var done sync.WaitGroup
		done.Go(func() { _ = server.Serve(listener) })
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}
		for _, host := range []string{"unix", "dummy", "d", "%2Fvar%2Frun%2Fx.sock", "localhost", "evil.example:80"} {
			in, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://unix/v1/x", nil)
			in.Host = host
			response, err := transport.RoundTrip(in)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("%s: Host %s: %d", kind, host, response.StatusCode)
			}
		}
		transport.CloseIdleConnections()
		_ = server.Close()
		done.Wait()
	}
}
