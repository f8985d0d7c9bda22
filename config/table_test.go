package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		wiretest.Must(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	wiretest.Must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; go test -run %s -update writes it (-want +got):\n%s", path, t.Name(), diff)
	}
}

func TestTableIsGeneratedFromTheTags(t *testing.T) { golden(t, "table.md", Table()) }

func TestUsageIsGeneratedFromTheTags(t *testing.T) { golden(t, "usage.txt", Usage()) }

func TestUsageFitsATerminal(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(Usage(), "\n"), "\n")
	for _, line := range lines {
		if len(line) > 80 {
			t.Errorf("%q has %d columns", line, len(line))
		}
	}
	if len(lines) > 28 {
		t.Errorf("%d lines, want at most 28", len(lines))
	}
	unfolded := strings.ReplaceAll(Usage(), "[_FILE]", "")
	for _, v := range variables {
		if name := strings.TrimSuffix(v.name, "_FILE"); v.topic != "traces" && !strings.Contains(unfolded, name) {
			t.Errorf("%s is not there", v.name)
		}
		text, _ := Explain(v.name)
		for line := range strings.Lines(text) {
			if len(line) > width+len("\n") {
				t.Errorf("%q has %d columns", line, len(line))
			}
		}
		if words := strings.Fields(text); !strings.Contains(strings.Join(words, " "), "accepts "+v.accepts) {
			t.Errorf("not all that is accepted is said: %s", text)
		}
	}
}

func TestVariableOrTopicIsExplained(t *testing.T) {
	for word, want := range map[string]string{
		"MONITE_TOKEN_TIMEOUT": "MONITE_TOKEN_TIMEOUT\n  meaning  how long one token request may take\n  default  10s\n" +
			"  accepts  a duration from 50ms to 5m, such as 10s\n",
		"token_timeout":     "MONITE_TOKEN_TIMEOUT\n  meaning",
		"monite_app_token":  "MONITE_APP_TOKEN\n",
		"OTEL_SERVICE_NAME": "OTEL_SERVICE_NAME\n",
		"vend":              "MONITE_VEND_ADDR\n",
		"Admin":             "MONITE_ADMIN_ADDR\n",
	} {
		if got, ok := Explain(word); !ok || !strings.HasPrefix(got, want) {
			t.Errorf("Explain(%q) = %q, %v, want %q", word, got, ok, want)
		}
	}
	for word, want := range map[string]string{
		"MONITE_TOKEN_TIMOUT": "did you mean MONITE_TOKEN_TIMEOUT?",
		"TOKEN_TIMOUT":        "did you mean MONITE_TOKEN_TIMEOUT?",
		"coffee":              "there is no variable and no topic of this name\n",
	} {
		if got, ok := Explain(word); ok || !strings.Contains(got, want) {
			t.Errorf("Explain(%q) = %q, %v, want %q", word, got, ok, want)
		}
	}
	if got, _ := Explain("tokens"); strings.Count(got, "accepts") != 5 {
		t.Errorf("topic tokens: %s", got)
	}
}

func TestTableRowsHaveFourCells(t *testing.T) {
	rows := slices.DeleteFunc(strings.Split(strings.TrimSpace(Table()), "\n"), func(line string) bool { return !strings.HasPrefix(line, "|") })
	if want := len(variables) + 2*len(topics()); len(rows) != want {
		t.Errorf("%d rows, want %d", len(rows), want)
	}
	for _, row := range rows {
		if got := strings.Count(strings.ReplaceAll(row, `\|`, ""), "|"); got != 5 {
			t.Errorf("%d bars in %q, want 5", got, row)
		}
	}
}
