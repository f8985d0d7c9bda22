package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; go test -run %s -update writes it (-want +got):\n%s", path, t.Name(), diff)
	}
}

func TestTableIsGeneratedFromTheTags(t *testing.T) { golden(t, "table.md", Table()) }

func TestUsageIsGeneratedFromTheTags(t *testing.T) { golden(t, "usage.txt", Usage()) }

func TestTableRowsHaveFourCells(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(Table()), "\n")
	if len(rows) != len(variables)+2 {
		t.Errorf("%d rows, want %d", len(rows), len(variables)+2)
	}
	for _, row := range rows {
		if got := strings.Count(strings.ReplaceAll(row, `\|`, ""), "|"); got != 5 {
			t.Errorf("%d bars in %q, want 5", got, row)
		}
	}
}
