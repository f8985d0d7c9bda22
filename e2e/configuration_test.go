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

// badStart starts it, and has check look at the same. Both end at once, with nobody
// listening, and name the variables, in the order of the table and in one line each.
func badStart(t *testing.T, e env, names ...string) {
	t.Helper()
	for _, command := range []string{"serve", "check"} {
		begin := time.Now()
		code, output := runCommand(t, e, command)
		if took := time.Since(begin); code != 2 || took > time.Second {
			t.Errorf("%s, %v: exit code = %d after %v, want 2 within 1 s; output:\n%s", command, names, code, took, output)
		}
		lines := strings.Split(strings.TrimSpace(output), "\n")
		if lines[0] != "monite-proxy: bad configuration" || len(lines) != 1+len(names) {
			t.Errorf("%s: want a headline and a line for each of %v, got:\n%s", command, names, output)
			continue
		}
		for i, name := range names {
			if !strings.HasPrefix(lines[i+1], name+": want ") {
				t.Errorf("%s: line %d = %q, want %s: want ...", command, i+1, lines[i+1], name)
			}
		}
	}
}

func TestSeveralWrongValuesAreAllNamed(t *testing.T) {
	t.Parallel()
	e := env{
		"MONITE_LISTEN_ADDR": freePort(t), "MONITE_ADMIN_ADDR": freePort(t),
		"MONITE_GRANT_TYPE": "entity_user", "MONITE_TOKEN_TIMEOUT": "fast", "MONITE_HOLD_TIMEOUT": "slow",
		"MONITE_READ_ONLY": "perhaps", "MONITE_LOG_FORMAT": "xml", "MONITE_REDIS_URL": "redis//x", "MONITE_CLINET_ID": "x",
	}
	badStart(t, e, "MONITE_CLIENT_ID", "MONITE_CLIENT_SECRET", "MONITE_ENTITY_USER_ID", "MONITE_READ_ONLY",
		"MONITE_TOKEN_TIMEOUT", "MONITE_HOLD_TIMEOUT", "MONITE_REDIS_URL", "MONITE_LOG_FORMAT", "MONITE_CLINET_ID")
	for _, name := range []string{"MONITE_LISTEN_ADDR", "MONITE_ADMIN_ADDR"} {
		if !refusesConnections(e[name]) {
			t.Errorf("%s: somebody listens", name)
		}
	}
}

// Empty is unset, what Kubernetes adds for a service named monite-something is
// not ours, and other names of the prefix are worth a warning.
func TestEmptyForeignAndUnknownVariables(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	e := defaultEnv(url)
	for name := range wrongValues(t) {
		if _, set := e[name]; !set {
			e[name] = ""
		}
	}
	for name, value := range map[string]string{
		"MONITE_PROXY_SERVICE_HOST": "10.0.0.7", "MONITE_PROXY_SERVICE_PORT": "8080", "MONITE_PROXY_SERVICE_PORT_HTTP": "8080",
		"MONITE_PROXY_PORT": "tcp://10.0.0.7:8080", "MONITE_PROXY_PORT_8080_TCP": "tcp://10.0.0.7:8080",
		"MONITE_PROXY_PORT_8080_TCP_PROTO": "tcp", "MONITE_PROXY_PORT_8080_TCP_PORT": "8080", "MONITE_PROXY_PORT_8080_TCP_ADDR": "10.0.0.7",
		"MONITE_SOMETHING_ELSE_ENTIRELY": "canary-of-an-unknown", "PORT": "1", "CLIENT_ID": "x",
	} {
		e[name] = value
	}
	s := start(t, e).ready()
	s.want(200, "GET", "/v1/entities", "")
	s.wantLogged(`"level":"warn"`, "MONITE_SOMETHING_ELSE_ENTIRELY is not a variable of monite-proxy")
	if log := s.log.String(); strings.Contains(log, "MONITE_PROXY_") || strings.Contains(log, "canary") {
		t.Errorf("service links or values are in the log:\n%s", log)
	}
}

// What lets others in is refused without an explicit word, and said aloud with it.
func TestListeningForOthersNeedsAWord(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	badStart(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", "0.0.0.0:0"), "MONITE_LISTEN_ADDR")
	s := start(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", "0.0.0.0:0", "MONITE_ALLOW_REMOTE", "true"))
	if !s.logged(`"level":"warn"`, "MONITE_ALLOW_REMOTE",
		"without MONITE_APP_TOKEN or MONITE_TLS_CLIENT_CA_FILE any program that reaches it acts with these credentials") {
		t.Error("no warning")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// mount writes files into a directory as the kubelet does: they are links through
// ..data to a directory of the moment, and a change renames a new ..data over the old
// one, so that all change together.
func mount(t *testing.T, directory string, files map[string]string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	revision, err := os.MkdirTemp(directory, "..2026_")
	must(err)
	for name, text := range files {
		writeFile(t, filepath.Join(revision, name), text)
	}
	old, _ := os.Readlink(filepath.Join(directory, "..data"))
	must(os.Symlink(filepath.Base(revision), filepath.Join(directory, "..data_tmp")))
	must(os.Rename(filepath.Join(directory, "..data_tmp"), filepath.Join(directory, "..data")))
	if old != "" {
		must(os.RemoveAll(filepath.Join(directory, old)))
		return
	}
	for name := range files {
		must(os.Symlink("..data/"+name, filepath.Join(directory, name)))
	}
}

// mountSecret is mount of a file with the client secret.
func mountSecret(t *testing.T, directory, clientSecret string) {
	t.Helper()
	mount(t, directory, map[string]string{"secret": clientSecret})
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
			func(t *testing.T, d string) { mountSecret(t, d, "wrong") },
			func(t *testing.T, d string) { mountSecret(t, d, monitetest.DemoClientSecret) },
		},
		"rename over": {
			func(t *testing.T, d string) { writeFile(t, d+"/secret", "wrong") },
			func(t *testing.T, d string) { put(t, d+"/secret", monitetest.DemoClientSecret) },
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
			s.want(http.StatusOK, "GET", "/v1/entities", "")
		})
	}
}

// wantRefusedCredentials: it runs, is not ready, says why, and answers apps at
// once.
func wantRefusedCredentials(t *testing.T, s *sidecar) {
	t.Helper()
	const check = "the token endpoint refused the client id and secret (status 401): check MONITE_CLIENT_ID, MONITE_CLIENT_SECRET"
	s.waitFor("the reason", func() bool { return strings.Contains(s.admin("GET", "/readyz?verbose").Body, check) })
	s.wantProbe("/livez", http.StatusOK)
	s.wantProbe("/readyz", 503)
	s.wantProbe("/startupz", 503)
	s.wantLogged(`"level":"error"`, "mint failed: the token endpoint refused the client id and secret", `"status":401`, `"reason":"rejected"`)
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
	s.wantLogged("secret files read again", `"changed":true`)
}
