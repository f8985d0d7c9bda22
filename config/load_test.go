package config

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	cfg := mustLoad(t, nil)
	got := map[string]string{}
	for _, s := range cfg.Redacted() {
		if s.Source == "default" && s.Value != "" {
			got[s.Name] = s.Value
		}
	}
	want := map[string]string{
		"MONITE_ENVIRONMENT": "sandbox", "MONITE_API_URL": "https://api.sandbox.monite.com",
		"MONITE_ALLOW_PLAINTEXT_UPSTREAM": "false", "MONITE_API_VERSION": "2024-05-25",
		"MONITE_GRANT_TYPE": "client_credentials", "MONITE_LISTEN_ADDR": "localhost:8080", "MONITE_LISTENER": "strict",
		"MONITE_ALLOW_REMOTE": "false", "MONITE_ADMIN_ADDR": "localhost:8081", "MONITE_READ_ONLY": "false",
		"MONITE_PROXY_FROM_ENV": "false", "MONITE_TOKEN_TIMEOUT": "10s", "MONITE_REFRESH_BEFORE": "5m",
		"MONITE_HOLD_TIMEOUT": "5s", "MONITE_MAX_IDENTITIES": "1024", "MONITE_MAX_IN_FLIGHT": "512", "MONITE_MAX_MINTS_PER_SECOND": "20",
		"MONITE_VEND_SOCKET_MODE": "0600", "MONITE_REPEAT_GUARD": "10m", "MONITE_IDEMPOTENCY_TTL": "24h", "MONITE_REDIS_TIMEOUT": "50ms",
		"MONITE_MAX_REQUESTS_PER_SECOND": "0",
		"MONITE_MAX_BODY_BYTES":          "33554432", "MONITE_REPLAY_BODY_BYTES": "65536", "MONITE_UPSTREAM_TIMEOUT": "1m", "MONITE_KEEP_WARM": "10m",
		"MONITE_SHUTDOWN_DELAY": "0s", "MONITE_DRAIN_TIMEOUT": "25s", "MONITE_QUIT_ENDPOINT": "false",
		"MONITE_LOG_LEVEL": "info", "MONITE_LOG_FORMAT": "json", "MONITE_STATUS_PAGE": "true", "MONITE_TOKEN_HANDLES": "false",
		"MONITE_SOCKET_MODE": "0600", "MONITE_CONFINE": "auto",
		"OTEL_BSP_SCHEDULE_DELAY": "5000", "OTEL_BSP_EXPORT_TIMEOUT": "30000", "OTEL_BSP_MAX_QUEUE_SIZE": "2048",
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "512", "OTEL_EXPORTER_OTLP_TIMEOUT": "10000", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "0",
		"OTEL_SDK_DISABLED": "false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if len(cfg.Warnings) != 0 || cfg.RootCAs != nil || len(cfg.Files()) != 0 || !cfg.AppToken().IsZero() {
		t.Errorf("Warnings %q, RootCAs %v, Files %v: want none", cfg.Warnings, cfg.RootCAs, cfg.Files())
	}
}

func TestEveryVariableReachesTheConfig(t *testing.T) {
	environ(t, map[string]string{
		"MONITE_ENVIRONMENT": "eu", "MONITE_API_VERSION": "2023-09-01", "MONITE_GRANT_TYPE": "entity_user",
		"MONITE_ENTITY_USER_ID": strings.ToUpper(idA), "MONITE_ENTITY_ID": idB, "MONITE_ALLOWED_ENTITY_IDS": idC,
		"MONITE_ALLOWED_ENTITY_USER_IDS": "*", "MONITE_LISTEN_ADDR": "0.0.0.0:9000", "MONITE_ALLOW_REMOTE": "true",
		"MONITE_APP_TOKEN": "app-token", "MONITE_ALLOWED_HOSTS": "app", "MONITE_ADMIN_ADDR": ":9001",
		"MONITE_READ_ONLY": "true", "MONITE_PROXY_FROM_ENV": "true", "MONITE_TOKEN_TIMEOUT": "50ms",
		"MONITE_REFRESH_BEFORE": "0", "MONITE_HOLD_TIMEOUT": "50ms", "MONITE_MAX_IDENTITIES": "1",
		"MONITE_MAX_IN_FLIGHT": "2", "MONITE_MAX_BODY_BYTES": "3", "MONITE_REPLAY_BODY_BYTES": "0",
		"MONITE_UPSTREAM_TIMEOUT": "1h", "MONITE_KEEP_WARM": "0", "MONITE_SHUTDOWN_DELAY": "1s", "MONITE_DRAIN_TIMEOUT": "0s",
		"MONITE_QUIT_ENDPOINT": "true", "MONITE_LOG_LEVEL": "trace", "MONITE_LOG_FORMAT": "console",
		"MONITE_STATUS_PAGE": "false", "MONITE_LISTENER": "std", "MONITE_SOCKET_MODE": "0660", "MONITE_CONFINE": "require",
		"MONITE_VEND_ADDR": "unix:/run/vend.sock", "MONITE_MAX_MINTS_PER_SECOND": "7",
		"MONITE_REPEAT_GUARD": "0", "MONITE_IDEMPOTENCY_TTL": "168h", "MONITE_VEND_SOCKET_MODE": "0660", "MONITE_VEND_ALLOWED_PEER_UIDS": "7,5",
		"MONITE_VEND_APP_TOKEN": "vend-token",
	})
	cfg, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.AppToken().Reveal(); got != "app-token" {
		t.Errorf("AppToken() = %q, want app-token", got)
	}
	if got := cfg.VendAppToken().Reveal(); got != "vend-token" {
		t.Errorf("VendAppToken() = %q, want vend-token", got)
	}
	if id, sec := cfg.Credentials.Pair(); id.Reveal() != "an-id" || sec.Reveal() != "a-secret" {
		t.Errorf("Pair() = %q, %q, want an-id, a-secret", id.Reveal(), sec.Reveal())
	}
	got := *cfg
	got.Warnings, got.settings, got.Credentials, got.appToken, got.vendAppToken = nil, nil, Credentials{}, source{}, source{}
	want := Config{
		Environment: "eu", APIVersion: "2023-09-01", ProxyFromEnv: true, GrantType: "entity_user",
		EntityUserID: idA, EntityID: idB,
		AllowedEntityIDs:     AllowList{ids: map[string]struct{}{idB: {}, idC: {}}},
		AllowedEntityUserIDs: AllowList{any: true, ids: map[string]struct{}{idA: {}}},
		Listen:               Listen{Network: "tcp", Address: "0.0.0.0:9000"}, Listener: "std", AllowRemote: true, AllowedHosts: []string{"app"},
		Admin: Listen{Network: "tcp", Address: ":9001"}, Vend: Listen{Network: "unix", Address: "/run/vend.sock"}, MintsPerSecond: 7, ReadOnly: true,
		IdempotencyTTL: 168 * time.Hour, VendSocketMode: 0o660, VendAllowedPeerUIDs: []uint32{5, 7},
		TokenTimeout: 50 * time.Millisecond, HoldTimeout: 50 * time.Millisecond, UpstreamTimeout: time.Hour,
		ShutdownDelay: time.Second, MaxIdentities: 1, MaxInFlight: 2, MaxBodyBytes: 3,
		QuitEndpoint: true, LogLevel: "trace", LogFormat: "console",
		SocketMode: 0o660, Confine: "require",
	}
	if got.Upstream.String() != "https://api.monite.com" {
		t.Errorf("Upstream = %v, want https://api.monite.com", got.Upstream)
	}
	got.Upstream = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Config = %+v, want %+v", got, want)
	}
}

// The first of the traps of envconfig: an empty required variable passes, and
// an empty number is an error for which the default is not used.
func TestEmptyIsUnset(t *testing.T) {
	unset := mustLoad(t, nil).Redacted()
	pairs := map[string]string{}
	for _, v := range variables {
		if v.otherwise != "required" {
			pairs[v.name] = ""
		}
	}
	pairs["MONITE_READONLY"] = "" // a typo that says nothing
	// The twins are empty as well, so that the credentials have to be given.
	pairs["MONITE_CLIENT_ID"], pairs["MONITE_CLIENT_SECRET"] = "an-id", "a-secret"
	if diff := cmp.Diff(unset, mustLoad(t, pairs).Redacted()); diff != "" {
		t.Errorf("empty variables differ from unset ones:\n%s", diff)
	}
	_, err := load(t, map[string]string{"MONITE_CLIENT_ID": "", "MONITE_CLIENT_SECRET": ""})
	if got := lines(err); len(got) != 2 || !strings.Contains(got[0], "MONITE_CLIENT_ID: want ") || !strings.Contains(got[1], "neither is set") {
		t.Errorf("Load() with empty credentials = %q, want two mistakes", got)
	}
}

// The third trap: a tag with a prefix reads the name without it as well.
func TestNamesWithoutPrefixAreNotRead(t *testing.T) {
	want := mustLoad(t, nil).Redacted()
	for _, v := range variables {
		if bare, ours := strings.CutPrefix(v.name, "MONITE_"); ours {
			t.Setenv(bare, "@@ not for us")
		}
	}
	t.Setenv("PORT", "1")
	got := mustLoad(t, nil)
	if diff := cmp.Diff(want, got.Redacted()); diff != "" {
		t.Errorf("names without prefix were read:\n%s", diff)
	}
	_, err := load(t, map[string]string{"MONITE_CLIENT_ID": "-", "MONITE_CLIENT_SECRET": "-"})
	if len(lines(err)) != 2 {
		t.Errorf("Load() = %v, want both credentials missing although CLIENT_ID is set", err)
	}
}

// The fifth trap: envconfig stops at the first error. The order is that of the
// table.
func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	pairs := map[string]string{"MONITE_ADMIN_ADDRR": "x", "MONITE_ZZZ": "x"}
	var want []string
	for _, v := range variables {
		pairs[v.name] = "@@ bad"
		switch v.name {
		case "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER_ARG": // any name is good; no sampler asks for it
			continue
		case "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_PROTOCOL":
			continue // the one of traces counts
		}
		if !strings.HasSuffix(v.name, "_FILE") || v.name == "MONITE_CA_FILE" || v.name == redisCAFile || v.name == "MONITE_IDENTITIES_FILE" ||
			strings.HasPrefix(v.name, "MONITE_UPSTREAM_") || strings.HasPrefix(v.name, "MONITE_TLS_") {
			want = append(want, v.name)
		}
	}
	for _, name := range []string{"MONITE_CLIENT_ID_FILE", "MONITE_CLIENT_SECRET_FILE", "MONITE_APP_TOKEN_FILE", "MONITE_VEND_APP_TOKEN_FILE",
		redisURL + "_FILE", redisPassword + "_FILE"} {
		delete(pairs, name)
	}
	want = append(want, "MONITE_ADMIN_ADDRR")
	_, err := load(t, pairs)
	var got []string
	for _, line := range lines(err) {
		name, accepts, found := strings.Cut(line, ": want ")
		if !found || accepts == "" {
			t.Errorf("line %q, want NAME: want ...", line)
		}
		got = append(got, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
	_, again := load(t, pairs)
	if err.Error() != again.Error() {
		t.Error("two runs report in two orders")
	}
}

func TestSecretsLeaveTheEnvironment(t *testing.T) {
	for _, pairs := range []map[string]string{
		{"MONITE_REDIS_URL": "redis://cache", "MONITE_REDIS_PASSWORD": "pw", "MONITE_VEND_ADDR": "localhost:1", "MONITE_VEND_APP_TOKEN": "t"},
		{"MONITE_APP_TOKEN": "token", "OTEL_EXPORTER_OTLP_HEADERS": "a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=b"},
		{"MONITE_APP_TOKEN": "token", "MONITE_LOG_LEVEL": "bad"},
	} {
		_, _ = load(t, pairs)
		for _, name := range []string{"MONITE_CLIENT_ID", "MONITE_CLIENT_SECRET", "MONITE_APP_TOKEN", "MONITE_VEND_APP_TOKEN", "MONITE_REDIS_URL",
			"MONITE_REDIS_PASSWORD", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
			if _, set := os.LookupEnv(name); set {
				t.Errorf("%s is still set", name)
			}
		}
	}
}

func TestSecretsAreNotCopiedAsPlainText(t *testing.T) {
	environ(t, map[string]string{"MONITE_APP_TOKEN": "CANARY", "MONITE_CLIENT_ID": "CANARY", "MONITE_CLIENT_SECRET": "CANARY",
		"MONITE_LOG_LEVEL": "info"})
	want := map[string]string{"MONITE_APP_TOKEN": "set", "MONITE_CLIENT_ID": "set", "MONITE_CLIENT_SECRET": "set", "MONITE_LOG_LEVEL": "info"}
	if diff := cmp.Diff(want, ownVariables()); diff != "" {
		t.Errorf("ownVariables() (-want +got):\n%s", diff)
	}
}

func TestRangesIncludeTheirEnds(t *testing.T) {
	for _, v := range variables {
		if v.min == "" {
			continue
		}
		for _, good := range []string{v.min, v.max} {
			pairs := map[string]string{v.name: good}
			if v.name == "MONITE_REDIS_TIMEOUT" || v.name == "MONITE_MAX_REQUESTS_PER_SECOND" {
				pairs[redisURL] = "redis://localhost"
			}
			if _, err := load(t, pairs); err != nil {
				t.Errorf("%s=%s: %v", v.name, good, err)
			}
		}
		bad := []string{"-1", "", " ", "9999999999999999999999", "1e3", "0x10", "1 s", "NaN"}
		if strings.HasSuffix(v.max, "h") || strings.HasSuffix(v.max, "m") {
			bad = append(bad, "-1s", "10000h", "5", v.max+"1ns")
		} else {
			bad = append(bad, v.max+"0", "1_000", "+5")
		}
		if v.min == "1" || v.min == "50ms" {
			bad = append(bad, "0", "49ms")
		}
		for _, value := range bad {
			if value == "" {
				continue
			}
			_, err := load(t, map[string]string{v.name: value})
			want := v.name + ": want " + v.accepts
			got := lines(err)
			if len(got) != 1 || !strings.HasPrefix(got[0], want+" (") || !strings.HasSuffix(got[0], ")") { // and why
				t.Errorf("%s=%s: %q, want %q", v.name, value, got, want)
			}
		}
	}
}

func TestLeadingZeroIsDecimal(t *testing.T) {
	if got := mustLoad(t, map[string]string{"MONITE_MAX_IN_FLIGHT": "010"}).MaxInFlight; got != 10 {
		t.Errorf("MaxInFlight of 010 = %d, want 10 and not the octal 8", got)
	}
}

func TestDefaultsAndTagsAreComplete(t *testing.T) {
	names := map[string]bool{}
	for _, v := range variables {
		if !strings.HasPrefix(v.name, "MONITE_") && !strings.HasPrefix(v.name, otelPrefix) || v.desc == "" || v.accepts == "" || names[v.name] {
			t.Errorf("%+v: want a name of its own, a meaning and what it accepts", v)
		}
		if strings.HasSuffix(v.name, "_PORT") || strings.HasSuffix(v.name, "_HOST") || serviceLink().MatchString(v.name) {
			t.Errorf("%s looks like a service link of Kubernetes", v.name)
		}
		if (v.min == "") != (v.max == "") {
			t.Errorf("%s: half a range", v.name)
		}
		names[v.name] = true
	}
	// Two known names that are typos of each other could not be told apart.
	for _, a := range slices.Sorted(maps.Keys(names)) {
		for b := range names {
			if a != b && editDistance(a, b) == 0 {
				t.Errorf("%s and %s", a, b)
			}
		}
	}
}
