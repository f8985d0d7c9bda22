package config

import (
	"strings"
	"testing"
)

func TestTypoInANameIsAMistake(t *testing.T) {
	for name, near := range map[string]string{
		"MONITE_READONLY":          "MONITE_READ_ONLY",
		"MONITE_READ_ONYL":         "MONITE_READ_ONLY",
		"MONITE_Read_Only":         "MONITE_READ_ONLY",
		"monite_read_only":         "MONITE_READ_ONLY",
		"MONITE__READ_ONLY":        "MONITE_READ_ONLY",
		"MONITE_CLIENT_SECERT":     "MONITE_CLIENT_SECRET",
		"MONITE_CLIENTSECRETFILE":  "MONITE_CLIENT_SECRET_FILE",
		"MONITE_ALLOWREMOTE":       "MONITE_ALLOW_REMOTE",
		"MONITE_ALLOWED_ENTITY_ID": "MONITE_ALLOWED_ENTITY_IDS",
		"MONITE_API_URI":           "MONITE_API_URL",
		"MONITE_REDIS_URI":         "MONITE_REDIS_URL",
		"MONITE_AUDITLOG":          "MONITE_AUDIT_LOG",
	} {
		_, err := load(t, map[string]string{name: "true"})
		want := name + ": want another name: did you mean " + near + "?"
		if got := lines(err); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestUnknownNameIsAWarning(t *testing.T) {
	for name, want := range map[string]string{
		"MONITE_WEBHOOK_SECRET": "MONITE_WEBHOOK_SECRET is not a variable of monite-proxy and is ignored",
		"MONITE_API_KEY":        "MONITE_API_KEY is not a variable of monite-proxy and is ignored",
		"MONITE_PORT":           "MONITE_PORT is not a variable of monite-proxy and is ignored", // a person's, not a link
		"MONITE_":               "MONITE_ is not a variable of monite-proxy and is ignored",
		"MONITE_A\nB\x1b[0m":    `"MONITE_A\nB\x1b[0m" is not a variable of monite-proxy and is ignored`,
	} {
		got := mustLoad(t, map[string]string{name: "8080"}).Warnings
		if len(got) != 1 || got[0] != want {
			t.Errorf("%q: warnings %q, want %q", name, got, want)
		}
	}
}

func TestLongUnknownNameIsCut(t *testing.T) {
	got := mustLoad(t, map[string]string{"MONITE_" + strings.Repeat("X", 10000): "x"}).Warnings
	if len(got) != 1 || len(got[0]) > 200 {
		t.Errorf("warnings %q, want one short one", got)
	}
}

// The eighth trap: a Service named monite-proxy, or monite, makes Kubernetes
// set these.
func TestServiceLinksAreIgnored(t *testing.T) {
	pairs := map[string]string{
		"MONITE_PROXY_SERVICE_HOST": "10.0.0.1", "MONITE_PROXY_SERVICE_PORT": "8080", "MONITE_PROXY_SERVICE_PORT_HTTP": "8080",
		"MONITE_PROXY_PORT": "tcp://10.0.0.1:8080", "MONITE_PROXY_PORT_8080_TCP": "tcp://10.0.0.1:8080",
		"MONITE_PROXY_PORT_8080_TCP_PROTO": "tcp", "MONITE_PROXY_PORT_8080_TCP_PORT": "8080", "MONITE_PROXY_PORT_8080_TCP_ADDR": "10.0.0.1",
		"MONITE_SERVICE_HOST": "10.0.0.1", "MONITE_SERVICE_PORT": "8080", "MONITE_PORT": "tcp://10.0.0.1:8080",
		"MONITE_PORT_8080_TCP_ADDR": "10.0.0.1",
		"MONITE_SIM_ADDR":           ":9000", "MONITE_SIM_READ_ONLY": "x", // the simulator's
	}
	if got := mustLoad(t, pairs).Warnings; len(got) != 0 {
		t.Errorf("warnings %q, want none", got)
	}
}

func TestEditDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "adc", 1}, {"abc", "acb", 2}, {"kitten", "sitting", 3}}
	for _, tc := range tests {
		if got := editDistance(tc.a, tc.b); got != tc.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
