package proxy

import (
	"net/http"
	"testing"
)

func TestUpgradeOffersAreIgnored(t *testing.T) {
	o := listen(t, func(p *peer) {
		for {
			in, _, err := p.request()
			if err != nil {
				return
			}
			for _, name := range []string{"Upgrade", "Http2-Settings", "Connection"} {
				if got := in.Header[name]; len(got) > 0 {
					t.Errorf("upstream gets %s: %q", name, got)
				}
			}
			p.say(okEmpty)
		}
	})
	r := newRig(t, o.url)
	for _, tc := range []struct {
		name   string
		fields []string
		status int
	}{
		{"Apache HttpClient 5.4", []string{"Upgrade: TLS/1.2", "Connection: Upgrade"}, http.StatusOK},
		{"JDK HttpClient", []string{"Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAEAAEAAAAIAAAAB", "Upgrade: h2c"}, http.StatusOK},
		{"curl --http2", []string{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"}, http.StatusOK},
		{"nginx's usual snippet", []string{"Connection: upgrade"}, http.StatusOK},
		{"with keep-alive", []string{"Connection: keep-alive, Upgrade", "Upgrade: h2c, TLS/1.3"}, http.StatusOK},
		{"two fields", []string{"Connection: upgrade", "Connection: keep-alive", "Upgrade: h2c", "Upgrade: foo"}, http.StatusOK},
		{"an offer without its option", []string{"Upgrade: h2c"}, http.StatusOK},
		{"an empty offer", []string{"Upgrade:"}, http.StatusOK},
		{"a websocket", []string{"Connection: Upgrade", "Upgrade: websocket"}, http.StatusNotImplemented},
		{"a websocket, in capitals", []string{"Connection: Upgrade", "Upgrade: WebSocket"}, http.StatusNotImplemented},
		{"a websocket among others", []string{"Connection: Upgrade", "Upgrade: h2c, websocket/13"}, http.StatusNotImplemented},
		{"a field to be removed", []string{"Connection: Upgrade, X-Monite-Entity-Id", "Upgrade: h2c"}, http.StatusBadRequest},
		{"a long s", []string{"Connection: http2-\u017fettings", "Upgrade: h2c"}, http.StatusBadRequest},
	} {
		for _, text := range []string{get("/v1/entities", tc.fields...), post("/v1/entities", "{}", tc.fields...)} {
			a := r.dial()
			a.say(text)
			if response, body, err := a.answer("GET"); err != nil || response.StatusCode != tc.status {
				t.Errorf("%s: %v %s %v, want %d", tc.name, response, body, err, tc.status)
			}
		}
	}
}
