package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// said is everything that Load lets out.
func said(cfg *Config, err error) string {
	text := fmt.Sprintf("%v\n%+v\n%#v\n%s\n%s", err, err, err, Table(), Usage())
	if cfg != nil {
		text += fmt.Sprintf("%q\n%+v", cfg.Warnings, cfg.Redacted())
	}
	return text
}

// Three things that people paste into the wrong variable: a word, a UUID as
// Monite's secrets are, and both inside something else.
var canaries = []struct{ name, canary, value string }{
	{"word", "CANARY_5f1c9b", "CANARY_5f1c9b"},
	{"uuid", "ca9a51ca-9a51-4a51-8a51-ca9a51ca9a51", "ca9a51ca-9a51-4a51-8a51-ca9a51ca9a51"},
	{"url", "CANARY5f1c9b", "https://user:CANARY5f1c9b@api.monite.com"},
	{"lines", "CANARY5f1c9b", "x\nCANARY5f1c9b\r\n"},
	{"quotes", "CANARY5f1c9b", `"CANARY5f1c9b"`},
	{"path", "CANARY5f1c9b", "/CANARY5f1c9b"},
	{"duration", "987654321987", "987654321987h"},
}

// hostsMayShow: these are good host names, and the check command has to show
// which hosts are allowed.
func hostsMayShow(variable, canary string) bool {
	return variable == "MONITE_ALLOWED_HOSTS" && (canary == "word" || canary == "duration")
}

func TestCanaryInAnyVariableIsNeverSaid(t *testing.T) {
	names := []string{"MONITE_READONLY", "MONITE_UNKNOWN_THING", "MONITE_PORT"}
	for _, v := range variables {
		names = append(names, v.name)
	}
	for _, c := range canaries {
		all := map[string]string{}
		for _, name := range names {
			all[name] = c.value
			if hostsMayShow(name, c.name) {
				continue
			}
			pairs := map[string]string{name: c.value}
			if strings.HasPrefix(name, "MONITE_ENTITY_USER") {
				pairs["MONITE_GRANT_TYPE"] = "entity_user"
			}
			if text := said(load(t, pairs)); strings.Contains(text, c.canary) {
				t.Errorf("%s: a %s is said: %s", name, c.name, around(text, c.canary))
			}
		}
		if text := said(load(t, all)); strings.Contains(text, c.canary) {
			t.Errorf("all at once: a %s is said: %s", c.name, around(text, c.canary))
		}
	}
}

func TestPrintedConfigShowsNoSecret(t *testing.T) {
	const canary = "CANARY_5f1c9b"
	path := writeFile(t, filepath.Join(t.TempDir(), "secret"), canary)
	cfg := mustLoad(t, map[string]string{"MONITE_CLIENT_ID": canary, "MONITE_CLIENT_SECRET_FILE": path, "MONITE_APP_TOKEN": canary + "-of-apps"})
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		text := fmt.Sprintf(format, *cfg) + fmt.Sprintf(format, cfg) + fmt.Sprintf(format, cfg.Credentials) + fmt.Sprintf(format, cfg.Files())
		if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
			t.Errorf("%s of the Config shows a secret: %s", format, around(text, canary))
		}
	}
	text, err := json.Marshal(cfg)
	if err != nil || strings.Contains(string(text), canary) {
		t.Errorf("JSON of the Config: %s, %v", text, err)
	}
}

// around leaves the place where the canary shows.
func around(text, canary string) string {
	i := max(0, strings.Index(text, canary))
	return text[max(0, i-80):min(len(text), i+80)]
}

// FuzzLoad puts one value into one variable: no panic, whatever is accepted
// fits a header field, and what is refused is not quoted.
func FuzzLoad(f *testing.F) {
	index := map[string]uint8{}
	for i, v := range variables {
		index[v.name] = uint8(i)
	}
	for _, tc := range badValues {
		f.Add(index[tc.name], tc.value)
	}
	for _, tc := range goodValues {
		f.Add(index[tc.name], tc.value)
	}
	before := os.Environ()
	f.Cleanup(func() {
		os.Clearenv()
		for _, pair := range before {
			name, value, _ := strings.Cut(pair, "=")
			_ = os.Setenv(name, value)
		}
	})
	// Not environ: a variable that is unset and set again leaves an entry behind in
	// package syscall, and Load reads them all. After a minute it reads for nothing
	// else. Clearenv alone forgets them.
	only := func(name, value string) {
		os.Clearenv()
		_ = os.Setenv("MONITE_CLIENT_ID", "an-id")
		_ = os.Setenv("MONITE_CLIENT_SECRET", "a-secret")
		_ = os.Setenv(name, value)
	}
	f.Fuzz(func(t *testing.T, which uint8, value string) {
		name := variables[int(which)%len(variables)].name
		if strings.Contains(value, "\x00") || len(value) > 100_000 || strings.HasSuffix(name, "_FILE") {
			t.Skip("the system takes no such value, or it would be a path of this machine")
		}
		only(name, value)
		cfg, err := Load()
		if (cfg == nil) == (err == nil) {
			t.Fatalf("Load() = %v, %v", cfg, err)
		}
		if cfg != nil {
			mustFitHeaders(t, cfg, name, value)
		}
		const canary = "CANARY7f3a"
		for _, spoiled := range []string{value + canary, canary + value, value[:len(value)/2] + canary + value[len(value)/2:]} {
			only(name, spoiled)
			cfg, err := Load()
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("%s=%q: %v", name, spoiled, err)
			}
			if cfg != nil && strings.Contains(strings.Join(cfg.Warnings, "\n"), canary) {
				t.Errorf("%s=%q: warnings %q", name, spoiled, cfg.Warnings)
			}
		}
	})
}

func mustFitHeaders(t *testing.T, cfg *Config, name, value string) {
	t.Helper()
	bound := []string{cfg.APIVersion, cfg.EntityID, cfg.EntityUserID, cfg.Upstream.Host}
	bound = append(bound, cfg.AllowedEntityIDs.IDs()...)
	bound = append(bound, cfg.AllowedHosts...)
	for _, s := range []secret.String{cfg.Credentials.ID(), cfg.Credentials.Secret(), cfg.AppToken()} {
		bound = append(bound, s.Reveal())
	}
	for _, b := range bound {
		if !httpguts.ValidHeaderFieldValue(b) || strings.ContainsAny(b, " \t\r\n") {
			t.Errorf("%s=%q: %q does not fit a header field", name, value, b)
		}
	}
	if !httpguts.ValidHostHeader(cfg.Upstream.Host) || cfg.Upstream.Host == "" || cfg.Upstream.Path != "" || cfg.Upstream.User != nil {
		t.Errorf("%s=%q: upstream %v is not an origin", name, value, cfg.Upstream)
	}
	if !cfg.Listen.Loopback() && !cfg.AllowRemote {
		t.Errorf("%s=%q: remote listener %v", name, value, cfg.Listen)
	}
	if _, set := os.LookupEnv("MONITE_CLIENT_SECRET"); set {
		t.Error("the secret is still in the environment")
	}
}
