package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestAuditFileHasTheWritesAndTheLogHasThemOtherwise(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	path := filepath.Join(t.TempDir(), "audit")
	s := start(t, defaultEnv(url).with("MONITE_AUDIT_LOG", path)).ready()
	lines := func(path string) (all []map[string]any) {
		text, _ := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%v: %q", err, line)
			}
			all = append(all, fields)
		}
		return all
	}
	write := func(s *sidecar) {
		s.mustCall("POST", "/v1/payables", `{"currency":"EUR"}`, "X-Monite-Entity-Id", monitetest.DemoEntityID, "Content-Type", "application/json", "X-Request-Id", "w-1")
		s.mustCall("GET", "/v1/payables", "", "X-Monite-Entity-Id", monitetest.DemoEntityID)
	}
	write(s)
	poll(t, "an audit line", func() bool { return len(lines(path)) == 1 })
	if line := lines(path)[0]; line["message"] != "audit" || line["request_id"] != "w-1" || line["route"] != "/v1/payables" || line["outcome"] != "answered" || line["entity_hash"] == nil || line["time"] == nil {
		t.Errorf("audit line = %v", line)
	}
	if strings.Contains(s.log.String(), `"audit"`) {
		t.Error("the audit line is in the log too")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v", info.Mode(), err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	poll(t, "the new file", func() bool { _, err := os.Stat(path); return err == nil })
	write(s)
	poll(t, "a line in the new file", func() bool { return len(lines(path)) == 1 })
	if n := len(lines(path + ".1")); n != 1 {
		t.Errorf("the old file has %d lines", n)
	}

	other := start(t, defaultEnv(url))
	write(other)
	other.waitFor("an audit line in the log", func() bool { return strings.Contains(other.log.String(), `"message":"audit"`) })

	if code, text := runCommand(t, defaultEnv(url).with("MONITE_AUDIT_LOG", t.TempDir())); code != 2 || !strings.Contains(text, "MONITE_AUDIT_LOG: want") {
		t.Errorf("a directory as audit file: %d %s", code, text)
	}
}
