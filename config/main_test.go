package config

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	idA = "aaaaaaaa-0000-4000-8000-000000000001"
	idB = "bbbbbbbb-0000-4000-8000-000000000002"
	idC = "cccccccc-0000-4000-8000-000000000003"
)

// environ makes the process environment hold, of our variables, the pairs and
// nothing else, until the test ends. Credentials are added where the pairs say
// nothing of them; the value "-" leaves one out.
func environ(t testing.TB, pairs map[string]string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(strings.ToUpper(name), "MONITE_") || strings.HasPrefix(name, otelPrefix) {
			t.Setenv(name, "") // so that it comes back
			_ = os.Unsetenv(name)
		}
	}
	all := map[string]string{"MONITE_CLIENT_ID": "an-id", "MONITE_CLIENT_SECRET": "a-secret"}
	for name, value := range pairs {
		all[name] = value
		if base, isFile := strings.CutSuffix(name, "_FILE"); isFile {
			if _, set := pairs[base]; !set {
				delete(all, base)
			}
		}
	}
	for name, value := range all {
		if value != "-" {
			t.Setenv(name, value)
		}
	}
}

func load(t testing.TB, pairs map[string]string) (*Config, error) {
	t.Helper()
	environ(t, pairs)
	return Load()
}

func mustLoad(t testing.TB, pairs map[string]string) *Config {
	t.Helper()
	cfg, err := load(t, pairs)
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	return cfg
}

// lines are those of the error, or none.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// wantMistakes loads what has these mistakes, or none.
func wantMistakes(t testing.TB, name string, pairs map[string]string, want ...string) {
	t.Helper()
	_, err := load(t, pairs)
	if diff := cmp.Diff(want, lines(err)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func writeFile(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
