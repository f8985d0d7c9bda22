package proxy

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// The table is what other people's searches rely on: no field may be written
// that it lacks, and none may stand there that nobody writes.
func TestLogFieldsAreThoseThatAreWritten(t *testing.T) {
	writes := regexp.MustCompile(`\b(?:Str|Int|Int64|Uint32|Float64|Bool|AnErr|Bytes|given)\("([a-z_]+)"`)
	written := map[string][]string{}
	for file, line := range map[string]string{"accesslog.go": "request", "audit.go": "audit"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range writes.FindAllSubmatch(source, -1) {
			if name := string(match[1]); name != "panic" && name != "stack" && !slices.Contains(written[name], line) {
				written[name] = append(written[name], line)
			}
		}
	}
	if len(written) < 20 {
		t.Fatalf("found only %v", written)
	}
	byLogger := []string{"level", "time", "message"}
	for _, field := range LogFields {
		in := written[field.Name]
		delete(written, field.Name)
		switch {
		case slices.Contains(byLogger, field.Name):
		case len(in) == 2 && field.In == "both", len(in) == 1 && field.In == in[0]:
		default:
			t.Errorf("%s is in %q by the table, and in %v by the code", field.Name, field.In, in)
		}
	}
	for name, lines := range written {
		t.Errorf("%s is written in %v, and is not in the table", name, lines)
	}
}
