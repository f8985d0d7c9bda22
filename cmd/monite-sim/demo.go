package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// showDemo waits until the sidecar accepts connections and prints the lines.
func showDemo(ctx context.Context, w io.Writer, sidecar *url.URL, sim string, appToken bool) {
	port := sidecar.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[sidecar.Scheme]
	}
	address := net.JoinHostPort(sidecar.Hostname(), port)
	dialer := net.Dialer{Timeout: time.Second}
	for {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	// One write, so that the command's log lines do not come between.
	_, _ = io.WriteString(w, demoText(sidecar, sim, appToken))
}

// demoText is meant to be copied line by line. The app token is named as the
// shell's variable, never by its value.
func demoText(sidecar *url.URL, sim string, appToken bool) string {
	base := strings.TrimSuffix(strings.TrimSuffix(sidecar.String(), "/"), "/v1") + "/v1"
	curl := "curl -sS"
	if appToken {
		curl += ` -H "X-Monite-Proxy-Token: $MONITE_APP_TOKEN"`
	}
	entity := "-H 'X-Monite-Entity-Id: " + monitetest.DemoEntityID + "'"
	user := "-H 'X-Monite-Entity-User-Id: " + monitetest.DemoEntityUserID + "'"
	body := `{"counterpart_id":"` + monitetest.DemoCounterpartID + `","document_id":"2026-0042","currency":"EUR",` +
		`"total_amount":24900,"due_date":"2027-01-31","description":"Wheat flour"}`
	rule := strings.Repeat("=", 78)
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s\n The sidecar answers on %s. Try it from another terminal, without any token:\n", rule, base)
	for _, line := range [][2]string{
		{"As the partner: which companies are there?", fmt.Sprintf("%s %s/entities", curl, base)},
		{"For one entity, a bakery: three of its bills", fmt.Sprintf("%s '%s/payables?limit=3' %s", curl, base, entity)},
		{"As an entity user: who am I?", fmt.Sprintf("%s %s/entity_users/me %s", curl, base, user)},
		{"A write: one more bill", fmt.Sprintf("%s -X POST %s/payables %s -H 'Content-Type: application/json' -d '%s'", curl, base, entity, body)},
		{"Revoke all tokens, then call again: it still works", fmt.Sprintf("curl -sS -X POST %s/_sim/revoke_all", sim)},
	} {
		fmt.Fprintf(&text, "\n # %s\n %s\n", line[0], line[1])
	}
	fmt.Fprintf(&text, "\n Ctrl-C stops both.\n%s\n\n", rule)
	return text.String()
}
