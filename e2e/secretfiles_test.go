package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// mountSecret writes a directory as the kubelet does: files are links through
// ..data to a directory of the moment, and a change renames a new ..data over
// the old one.
func mountSecret(t *testing.T, directory, revision, clientSecret string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(directory, revision), 0o700))
	writeFile(t, filepath.Join(directory, revision, "secret"), clientSecret)
	must(os.Symlink(revision, filepath.Join(directory, "..data_tmp")))
	must(os.Rename(filepath.Join(directory, "..data_tmp"), filepath.Join(directory, "..data")))
	if _, err := os.Lstat(filepath.Join(directory, "secret")); err != nil {
		must(os.Symlink("..data/secret", filepath.Join(directory, "secret")))
	}
}

func TestBadCredentialsKeepItRunningUntilTheFileIsRight(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		write, correct func(t *testing.T, directory string)
	}{
		"plain rewrite": {
			func(t *testing.T, d string) { writeFile(t, d+"/secret", "wrong\n") },
			func(t *testing.T, d string) { writeFile(t, d+"/secret", monitetest.DemoClientSecret+"\n") },
		},
		"..data swap": {
			func(t *testing.T, d string) { mountSecret(t, d, "..2026_01", "wrong") },
			func(t *testing.T, d string) { mountSecret(t, d, "..2026_02", monitetest.DemoClientSecret) },
		},
		"rename over": {
			func(t *testing.T, d string) { writeFile(t, d+"/secret", "wrong") },
			func(t *testing.T, d string) {
				writeFile(t, d+"/.secret.swp", monitetest.DemoClientSecret)
				if err := os.Rename(d+"/.secret.swp", d+"/secret"); err != nil {
					t.Fatal(err)
				}
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim, url := simulate(t, monitetest.Config{})
			directory := t.TempDir()
			test.write(t, directory)
			s := start(t, defaultEnv(url).with("MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE", directory+"/secret"))
			wantRefusedCredentials(t, s)
			if got := sim.Stats().FailedMints; got > 2 {
				t.Errorf("failed mints = %d: a refusal is asked again and again", got)
			}

			begin := time.Now()
			test.correct(t, directory)
			s.ready()
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("ready %v after the correction, want 2 s at most", took)
			}
			if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK {
				t.Errorf("answer = %d %s", a.Status, a.Body)
			}
		})
	}
}

// wantRefusedCredentials: it runs, is not ready, says why, and answers apps at
// once.
func wantRefusedCredentials(t *testing.T, s *sidecar) {
	t.Helper()
	const check = "the token endpoint refused the client id and secret (status 401): check MONITE_CLIENT_ID, MONITE_CLIENT_SECRET"
	s.waitFor("the reason", func() bool { return strings.Contains(s.admin("GET", "/readyz?verbose").Body, check) })
	if got := s.probe("/livez"); got != http.StatusOK {
		t.Errorf("/livez = %d, want 200", got)
	}
	for path, want := range map[string]int{"/readyz": 503, "/startupz": 503} {
		if got := s.probe(path); got != want {
			t.Errorf("%s = %d, want %d", path, got, want)
		}
	}
	if !s.logged(`"level":"error"`, "mint failed: the token endpoint refused the client id and secret", `"status":401`, `"reason":"rejected"`) {
		t.Error("the log does not say why")
	}
	begin := time.Now()
	a := s.mustCall("GET", "/v1/entities", "")
	if took := time.Since(begin); took > time.Second {
		t.Errorf("answered after %v, want at once", took)
	}
	kind, message, _ := problemOf(t, a)
	if a.Status != http.StatusBadGateway || kind != "proxy_token_rejected" || !strings.Contains(message, "client_credentials") {
		t.Errorf("answer = %d %s %q, want 502 proxy_token_rejected", a.Status, kind, message)
	}
	if got := a.Header.Get("Retry-After"); got != "" {
		t.Errorf("Retry-After = %q, but trying again does not help", got)
	}
}

// The file is a link to another directory, in which nobody watches: SIGHUP
// makes the sidecar look.
func TestSIGHUPReadsSecretFilesAgain(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	elsewhere, directory := t.TempDir(), t.TempDir()
	writeFile(t, elsewhere+"/secret", "wrong")
	if err := os.Symlink(elsewhere+"/secret", directory+"/secret"); err != nil {
		t.Fatal(err)
	}
	s := start(t, defaultEnv(url).with("MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE", directory+"/secret"))
	wantRefusedCredentials(t, s)
	writeFile(t, elsewhere+"/secret", monitetest.DemoClientSecret)
	s.signal(syscall.SIGHUP)
	begin := time.Now()
	s.ready()
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("ready %v after the signal", took)
	}
	if !s.logged("secret files read again", `"changed":true`) {
		t.Error("the log does not tell of it")
	}
}

// What goes wrong with a file while the sidecar runs leaves the old value in
// use; what was wrong at the start ends it.
func TestSecretFileTrouble(t *testing.T) {
	t.Parallel()
	spoil := map[string]func(t *testing.T, path string){
		"removed": func(t *testing.T, path string) { _ = os.Remove(path) },
		"empty":   func(t *testing.T, path string) { writeFile(t, path, "") },
		"a directory": func(t *testing.T, path string) {
			_ = os.Remove(path)
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"too large": func(t *testing.T, path string) { writeFile(t, path, strings.Repeat("x", 65<<10)) },
		"binary":    func(t *testing.T, path string) { writeFile(t, path, "abc\x00\x01def") },
		"two lines": func(t *testing.T, path string) { writeFile(t, path, "one\ntwo\n") },
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := script(t, nil, answerOK)
			path := t.TempDir() + "/secret"
			writeFile(t, path, monitetest.DemoClientSecret)
			e := defaultEnv(url).with("MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE", path)
			s := start(t, e).ready()
			spoil(t, path)
			s.waitFor("the failure in the log", func() bool { return s.logged("secret file cannot be used, the old value stays") })
			if a := s.admin("POST", "/tokens/refresh"); a.Status != http.StatusAccepted {
				t.Errorf("refresh = %d", a.Status)
			}
			s.waitFor("a mint with the old value", func() bool {
				return strings.Contains(s.admin("GET", "/metrics").Body, `monite_proxy_mints_total{grant_type="client_credentials",result="ok"} 2`)
			})
			if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK {
				t.Errorf("answer = %d", a.Status)
			}
			if a := s.admin("GET", "/metrics"); !strings.Contains(a.Body, `monite_proxy_secret_reloads_total{result="failed"} 1`) {
				t.Error("the failure is not counted once")
			}
			if code, output := runCommand(t, e); code != 2 || !strings.Contains(output, "MONITE_CLIENT_SECRET_FILE: want") {
				t.Errorf("a start with it: exit code = %d, want 2; output:\n%s", code, output)
			}
		})
	}
}
