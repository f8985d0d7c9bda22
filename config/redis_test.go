package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

func TestRedisURLSaysWhereTheStoreIs(t *testing.T) {
	for _, tc := range []struct {
		url  string
		want Redis
		user string
		pass string
		show string
	}{
		{"redis://cache", Redis{Addresses: []string{"cache:6379"}}, "", "", "redis://cache:6379/0"},
		{"redis://:pw@Cache.:6380/3", Redis{Addresses: []string{"cache:6380"}, Database: 3}, "", "pw", "redis://cache:6380/3"},
		{"REDISS://me:p%20w@a,b:7/", Redis{Addresses: []string{"a:6379", "b:7"}, TLS: true}, "me", "p w", "rediss://a:6379,b:7/0"},
		{"valkey://cache/1", Redis{Addresses: []string{"cache:6379"}, Database: 1}, "", "", "valkey://cache:6379/1"},
		{"valkeys://cache", Redis{Addresses: []string{"cache:6379"}, TLS: true}, "", "", "valkeys://cache:6379/0"},
		{"redis://[::1]:6380,[2001:db8::1]", Redis{Addresses: []string{"[::1]:6380", "[2001:db8::1]:6379"}}, "", "",
			"redis://[::1]:6380,[2001:db8::1]:6379/0"},
		{"redis+sentinel://s1,s2:1/mymaster", Redis{Addresses: []string{"s1:26379", "s2:1"}, Master: "mymaster"}, "", "",
			"redis+sentinel://s1:26379,s2:1/mymaster/0"},
		{"rediss+sentinel://u:p@s1/mymaster/2", Redis{Addresses: []string{"s1:26379"}, Master: "mymaster", TLS: true, Database: 2}, "u", "p",
			"rediss+sentinel://s1:26379/mymaster/2"},
		{"unix:/run/redis.sock", Redis{Network: "unix", Addresses: []string{"/run/redis.sock"}}, "", "", "unix:/run/redis.sock"},
	} {
		cfg, err := load(t, map[string]string{"MONITE_REDIS_URL": tc.url, "MONITE_REDIS_TIMEOUT": "20ms"})
		if err != nil {
			t.Errorf("%s: %v", tc.url, err)
			continue
		}
		got := cfg.Redis
		shown := setting(cfg, "MONITE_REDIS_URL")
		if got.User != tc.user || got.Password().Reveal() != tc.pass || shown != tc.show || got.Timeout != 20*time.Millisecond {
			t.Errorf("%s: user %q, password %q, shown %q, timeout %v", tc.url, got.User, got.Password().Reveal(), shown, got.Timeout)
		}
		if tc.want.Network == "" {
			tc.want.Network = "tcp"
		}
		if diff := cmp.Diff([]any{tc.want.Network, tc.want.Addresses, tc.want.Master, tc.want.Database, tc.want.TLS},
			[]any{got.Network, got.Addresses, got.Master, got.Database, got.TLS}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.url, diff)
		}
	}
}

func setting(cfg *Config, name string) string {
	for _, s := range cfg.Redacted() {
		if s.Name == name {
			return s.Value
		}
	}
	return ""
}

func TestBadRedisURLIsRefusedWithItsCause(t *testing.T) {
	for url, want := range map[string]string{
		"cache:6379":                   "it does not begin with one of these",
		"http://cache":                 "it does not begin with one of these",
		"redis:cache":                  "it does not begin with one of these",
		"redis://":                     "it has no host",
		"redis://:6379":                "it has no host",
		"redis://a,,b":                 "it has no host",
		"redis://cache:x":              "its port is not valid",
		"redis://cache:0":              "its port is not valid",
		"redis://cache:65536":          "its port is not valid",
		"redis://a..b":                 "its host is not valid",
		"redis://cache/x":              "its database is not a number",
		"redis://cache/0/1":            "its database is not a number",
		"redis://cache?db=1":           "it has a query or a fragment",
		"redis://cache/0#x":            "it has a query or a fragment",
		"redis+sentinel://s1":          "it names no master",
		"redis+sentinel://s1/":         "it names no master",
		"redis+sentinel://s1/master/x": "its database is not a number",
		"redis://u:100%@cache":         "its user or password is not percent-encoded: write %25 for %",
		"unix:relative":                "it does not name an absolute path of at most 107 bytes",
	} {
		_, err := load(t, map[string]string{"MONITE_REDIS_URL": url})
		got := lines(err)
		if len(got) != 1 || got[0] != "MONITE_REDIS_URL: want "+named("MONITE_REDIS_URL").accepts+" ("+want+")" {
			t.Errorf("%s: mistakes %q, want %q", url, got, want)
		}
	}
}

func TestRedisVariablesHaveToAgree(t *testing.T) {
	file := writeFile(t, filepath.Join(t.TempDir(), "url"), "redis://u:secret@cache\n")
	password := writeFile(t, filepath.Join(t.TempDir(), "password"), "pw\n")
	for _, tc := range []struct {
		name  string
		pairs map[string]string
		want  []string
	}{
		{"all of it from files", map[string]string{"MONITE_REDIS_URL_FILE": file}, nil},
		{"two passwords", map[string]string{"MONITE_REDIS_URL_FILE": file, "MONITE_REDIS_PASSWORD": "x"},
			[]string{"MONITE_REDIS_PASSWORD: want it unset, because MONITE_REDIS_URL has a password"}},
		{"two passwords, one in a file", map[string]string{"MONITE_REDIS_URL_FILE": file, "MONITE_REDIS_PASSWORD_FILE": password},
			[]string{"MONITE_REDIS_PASSWORD_FILE: want it unset, because MONITE_REDIS_URL has a password"}},
		{"both twins", map[string]string{"MONITE_REDIS_URL": "redis://x", "MONITE_REDIS_PASSWORD": "x", "MONITE_REDIS_PASSWORD_FILE": password},
			[]string{"MONITE_REDIS_PASSWORD_FILE: want only one of MONITE_REDIS_PASSWORD and MONITE_REDIS_PASSWORD_FILE to be set"}},
		{"roots without TLS", map[string]string{"MONITE_REDIS_URL": "redis://x", "MONITE_REDIS_CA_FILE": "/none"},
			[]string{"MONITE_REDIS_CA_FILE: want MONITE_REDIS_URL to be rediss://"}},
		{"roots that are missing", map[string]string{"MONITE_REDIS_URL": "rediss://x", "MONITE_REDIS_CA_FILE": "/none/x"},
			[]string{"MONITE_REDIS_CA_FILE: want the path of a PEM file with at least one certificate (no such file or directory)"}},
		{"companions alone", map[string]string{"MONITE_REDIS_PASSWORD": "x", "MONITE_REDIS_CA_FILE": "/x", "MONITE_REDIS_TIMEOUT": "50ms"},
			[]string{
				"MONITE_REDIS_PASSWORD: want MONITE_REDIS_URL with it, which is not set",
				"MONITE_REDIS_CA_FILE: want MONITE_REDIS_URL with it, which is not set",
				"MONITE_REDIS_TIMEOUT: want MONITE_REDIS_URL with it, which is not set",
			}},
		{"a limit without the store", map[string]string{"MONITE_MAX_REQUESTS_PER_SECOND": "3"}, nil},
		{"one mistake, not two", map[string]string{"MONITE_REDIS_URL": "x", "MONITE_REDIS_TIMEOUT": "50ms"},
			[]string{"MONITE_REDIS_URL: want " + named("MONITE_REDIS_URL").accepts + " (it does not begin with one of these)"}},
	} {
		wantMistakes(t, tc.name, tc.pairs, tc.want...)
	}
}

func TestDangersOfTheStoreAreSaid(t *testing.T) {
	const clear, short = "MONITE_REDIS_URL is redis:// to another host", "MONITE_CLIENT_SECRET is shorter than 16 characters"
	for _, tc := range []struct {
		url, client string
		want        []string
	}{
		{"redis://cache", "long-enough-to-last", []string{clear}},
		{"redis://localhost,cache", "long-enough-to-last", []string{clear}},
		{"redis://127.0.0.1", "long-enough-to-last", nil},
		{"rediss://cache", "long-enough-to-last", nil},
		{"unix:/run/r.sock", "short", []string{short}},
	} {
		got := mustLoad(t, map[string]string{"MONITE_REDIS_URL": tc.url, "MONITE_CLIENT_SECRET": tc.client}).Warnings
		if len(got) != len(tc.want) || len(got) == 1 && !strings.HasPrefix(got[0], tc.want[0]) {
			t.Errorf("%s: warnings %q, want %q", tc.url, got, tc.want)
		}
	}
}

func TestRedisPasswordIsThatOfTheFileNow(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "password"), "first\n")
	cfg := mustLoad(t, map[string]string{"MONITE_REDIS_URL": "redis://localhost", "MONITE_REDIS_PASSWORD_FILE": path})
	if got := cfg.Redis.Password().Reveal(); got != "first" {
		t.Errorf("Password() = %q", got)
	}
	writeFile(t, path, "second\n")
	if got := cfg.Redis.Password().Reveal(); got != "second" {
		t.Errorf("Password() after a change = %q", got)
	}
	writeFile(t, path, "")
	if got := cfg.Redis.Password().Reveal(); got != "second" {
		t.Errorf("Password() of an empty file = %q, want the last good one", got)
	}
	found := false
	for _, p := range cfg.FollowedFiles() {
		found = found || p == path
	}
	if !found {
		t.Error("the file is not among those that a confined process may read")
	}
}

func FuzzParseRedis(f *testing.F) {
	for _, seed := range []string{"redis://a:b@c:1/2", "unix:/x", "rediss+sentinel://a,b/m/1", "redis://[::1]", "valkey://", "redis://a%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		from := secret.New(text)
		r, _, problem := parseRedis(from)
		if problem == "" && len(r.Addresses) == 0 {
			t.Errorf("%q has no address", text)
		}
		if problem != "" {
			return
		}
		again, _, problem := parseRedis(secret.New(r.String()))
		if problem != "" || again.String() != r.String() {
			t.Errorf("%q is shown as %q, which is read as %v, %q", text, r, again, problem)
		}
	})
}
