package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// manager hears from the command what a service manager would hear (sd_notify(3)).
// So the lines are shown for the sidecar that is the command, and for no stranger
// that has its port.
type manager struct {
	path string
	conn *net.UnixConn
}

func newManager() (*manager, error) {
	folder, err := os.MkdirTemp("", "monite-sim")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		_ = os.RemoveAll(folder)
		return nil, err
	}
	return &manager{path, conn}, nil
}

func (m *manager) close() { _ = os.RemoveAll(filepath.Dir(m.path)) }

// baseURLField names the field in which the sidecar sends, with READY=1, the base URL
// for apps.
const baseURLField = "X_MONITE_BASE_URL="

// showDemo prints the lines once the sidecar is ready.
func (m *manager) showDemo(ctx context.Context, w io.Writer, sim string, appToken bool) {
	defer context.AfterFunc(ctx, func() { _ = m.conn.Close() })()
	buffer := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buffer)
		if err != nil {
			return
		}
		state := string(buffer[:n])
		_, after, named := strings.Cut(state, baseURLField)
		if !named || !strings.Contains(state, "READY=1") {
			continue
		}
		base, _, _ := strings.Cut(after, "\n")
		// One write, so that the command's log lines do not come between.
		_, _ = io.WriteString(w, demoText(base, sim, appToken))
		return
	}
}

// addresses are the variables of the sidecar's addresses, where they are set: the
// doctor looks there.
func addresses() (all string) {
	for _, name := range []string{"MONITE_LISTEN_ADDR", "MONITE_ADMIN_ADDR"} {
		if value := os.Getenv(name); value != "" {
			all += name + "='" + value + "' "
		}
	}
	return all
}

// demoText is meant to be copied line by line. The app token is named as the
// shell's variable, never by its value.
func demoText(base, sim string, appToken bool) string {
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
	fmt.Fprintf(&text, "\n%s\n Behind it is monite-sim, a simulated Monite with demo data. Try it from another\n terminal, without any token:\n", rule)
	for _, line := range [][2]string{
		{"As the partner: which companies are there?", fmt.Sprintf("%s %s/entities", curl, base)},
		{"For one entity, a bakery: three of its bills", fmt.Sprintf("%s '%s/payables?limit=3' %s", curl, base, entity)},
		{"As an entity user: who am I?", fmt.Sprintf("%s %s/entity_users/me %s", curl, base, user)},
		{"A write: one more bill", fmt.Sprintf("%s -X POST %s/payables %s -H 'Content-Type: application/json' -d '%s'", curl, base, entity, body)},
		{"Revoke all tokens, then call again: it still works", fmt.Sprintf("curl -sS -X POST %s/_sim/revoke_all", sim)},
		{"Test each step on the way to Monite, with the simulator's credentials", addresses() + fmt.Sprintf("MONITE_API_URL=%s MONITE_CLIENT_ID=%s MONITE_CLIENT_SECRET=%s MONITE_ALLOWED_ENTITY_IDS='*' MONITE_ALLOWED_ENTITY_USER_IDS='*' bin/monite-proxy doctor", sim, monitetest.DemoClientID, monitetest.DemoClientSecret)},
	} {
		fmt.Fprintf(&text, "\n # %s\n %s\n", line[0], line[1])
	}
	fmt.Fprintf(&text, "\n Ctrl-C stops both.\n%s\n\n", rule)
	return text.String()
}
