package logs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestAuditFileIsAppendedToAndFollowsARotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	wiretest.Must(t, os.WriteFile(path, []byte("before\n"), 0o600))
	a, err := openAuditFile(path)
	wiretest.Must(t, err)
	defer a.close()
	_, _ = a.Write([]byte("one\n"))
	wiretest.Must(t, os.Rename(path, path+".1"))
	_, _ = a.Write([]byte("two\n"))
	wiretest.Must(t, a.reopen())
	_, _ = a.Write([]byte("three\n"))
	old, _ := os.ReadFile(path + ".1")
	fresh, _ := os.ReadFile(path)
	if string(old) != "before\none\ntwo\n" || string(fresh) != "three\n" {
		t.Errorf("old file %q, new file %q", old, fresh)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, want 0600", info.Mode())
	}
}

func TestAuditFileThatCannotBeOpenedAgainStaysInUse(t *testing.T) {
	dir := t.TempDir()
	a, err := openAuditFile(filepath.Join(dir, "audit"))
	wiretest.Must(t, err)
	defer a.close()
	wiretest.Must(t, os.Rename(filepath.Join(dir, "audit"), filepath.Join(dir, "moved")))
	wiretest.Must(t, os.Mkdir(filepath.Join(dir, "audit"), 0o700))
	if err := a.reopen(); err == nil {
		t.Error("a directory was opened")
	}
	_, _ = a.Write([]byte("line\n"))
	if text, _ := os.ReadFile(filepath.Join(dir, "moved")); string(text) != "line\n" {
		t.Errorf("file = %q", text)
	}
}

func TestFullAuditFileBlocksNobodyAndCountsWhatIsLost(t *testing.T) {
	full, err := openAuditFile("/dev/full")
	if err != nil {
		t.Skip("no /dev/full")
	}
	defer full.close()
	synctest.Test(t, func(t *testing.T) {
		lines := Start(full, nil)
		for range 3 {
			_, _ = lines.Write([]byte(strings.Repeat("x", 100) + "\n"))
		}
		lines.Close()
		if got := lines.Dropped(); got != 3 {
			t.Errorf("dropped = %d, want 3", got)
		}
	})
}

func TestAuditLinesDoNotDependOnTheLevelOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		lines := Start(r, nil)
		a, err := OpenAudit(&config.Config{LogLevel: "error", LogFormat: "json"}, lines, zerolog.Nop())
		wiretest.Must(t, err)
		a.Log.Info().Msg("audit")
		lines.Close()
		if !strings.Contains(r.String(), `"message":"audit"`) || a.Dropped() != 0 {
			t.Errorf("log = %q", r.String())
		}
	})
}

// Nobody looks at metrics everywhere: the log says that audit lines are lost.
func TestLogTellsOfAnAuditFileThatCannotBeWritten(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full")
	}
	var log bytes.Buffer
	a, err := OpenAudit(&config.Config{AuditLog: "/dev/full"}, nil, zerolog.New(&log))
	wiretest.Must(t, err)
	a.Log.Info().Msg("audit")
	a.Close()
	if got := log.String(); !strings.Contains(got, "audit lines are lost") || !strings.Contains(got, "no space left") ||
		strings.Count(got, "\n") != 1 || a.Dropped() != 1 {
		t.Errorf("log = %q, dropped %d", got, a.Dropped())
	}
}
