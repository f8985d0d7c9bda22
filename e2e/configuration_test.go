package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// wrongValues holds a wrong value for every variable that takes one.
func wrongValues(t *testing.T) map[string][]string {
	t.Helper()
	directory := t.TempDir()
	bad := filepath.Join(directory, "bad")
	writeFile(t, bad, "has space")
	none := filepath.Join(directory, "none")
	return map[string][]string{
		"MONITE_CLIENT_ID":          {"has space", "has\nbreak", `"quoted"`, "not-ascii-é", strings.Repeat("x", 8193)},
		"MONITE_CLIENT_ID_FILE":     {none, directory, bad, "/dev/null"},
		"MONITE_CLIENT_SECRET":      {"has\ttab", "has\rreturn", "'quoted'"},
		"MONITE_CLIENT_SECRET_FILE": {none, directory, bad},
		"MONITE_ENVIRONMENT":        {"production", "EU", "sandbox "},
		"MONITE_API_URL": {"api.monite.com", "ftp://x", "https://api.tesouro.com", "https://u:p@x", "https://x/path",
			"https://x?q", "http://x.example", "https://x:99999", "https://"},
		"MONITE_ALLOW_PLAINTEXT_UPSTREAM": {"maybe"},
		"MONITE_API_VERSION":              {"latest", "2024-13-01", "2024-5-25"},
		"MONITE_GRANT_TYPE":               {"password"},
		"MONITE_ENTITY_USER_ID":           {"me"},
		"MONITE_ENTITY_ID":                {"b5e1c0de-0001-4000-8000-00000000000", "*"},
		"MONITE_ALLOWED_ENTITY_IDS":       {"x", "*,*", ",", " "},
		"MONITE_ALLOWED_ENTITY_USER_IDS":  {"x"},
		"MONITE_LISTEN_ADDR": {"8080", "0.0.0.0:0", ":0", "localhost:http", "example.com:80", "127.0.0.1:65536", "unix:relative",
			"unix:/" + strings.Repeat("x", 108)},
		"MONITE_ALLOW_REMOTE":            {"oui"},
		"MONITE_SOCKET_MODE":             {"600", "0400", "1777", "rw"},
		"MONITE_ALLOWED_PEER_UIDS":       {"root", "-1", "1,,2", "4294967295"},
		"MONITE_TLS_CERT_FILE":           {none, bad},
		"MONITE_TLS_KEY_FILE":            {none, bad},
		"MONITE_TLS_CLIENT_CA_FILE":      {none, bad},
		"MONITE_APP_TOKEN":               {"has space"},
		"MONITE_APP_TOKEN_FILE":          {none},
		"MONITE_ALLOWED_HOSTS":           {"*.example.com", "http://x", "a,,b"},
		"MONITE_ADMIN_ADDR":              {"8081", "nobody:nothing"},
		"MONITE_READ_ONLY":               {"yes please"},
		"MONITE_CA_FILE":                 {none, bad, directory},
		"MONITE_UPSTREAM_CERT_FILE":      {none, bad},
		"MONITE_UPSTREAM_KEY_FILE":       {none, bad},
		"MONITE_PROXY_FROM_ENV":          {"2"},
		"MONITE_TOKEN_TIMEOUT":           {"10", "0s", "-1s", "6m", "1e3s"},
		"MONITE_REFRESH_BEFORE":          {"5 minutes", "-1s", "25h"},
		"MONITE_HOLD_TIMEOUT":            {"x", "-1ns", "6m"},
		"MONITE_MAX_IDENTITIES":          {"0", "-1", "1.5", "0x10", "1000001", "99999999999999999999"},
		"MONITE_MAX_IN_FLIGHT":           {"0", "lots"},
		"MONITE_MAX_BODY_BYTES":          {"0", "32MiB", "1_000"},
		"MONITE_REPLAY_BODY_BYTES":       {"-1", "67108865"},
		"MONITE_UPSTREAM_TIMEOUT":        {"0s", "2h"},
		"MONITE_SHUTDOWN_DELAY":          {"-1s", "soon"},
		"MONITE_DRAIN_TIMEOUT":           {"-1s", "2h"},
		"MONITE_QUIT_ENDPOINT":           {"on"},
		"MONITE_LOG_LEVEL":               {"loud", "INFO", "disabled"},
		"MONITE_LOG_FORMAT":              {"xml"},
		"MONITE_STATUS_PAGE":             {"off"},
		"MONITE_IDENTITIES_FILE":         {none, directory},
		"MONITE_TOKEN_HANDLES":           {"x"},
		"MONITE_CONFINE":                 {"true", "always"},
		"MONITE_VEND_ADDR":               {":9000", "9000", "unix:x"},
		"MONITE_MAX_MINTS_PER_SECOND":    {"0", "20/s"},
		"MONITE_LISTENER":                {"fast"},
		"MONITE_KEEP_WARM":               {"10", "25h"},
		"MONITE_AUDIT_LOG":               {"audit", "/no/such/place/audit", "/usr/bin"},
		"MONITE_REDIS_URL":               {"localhost:6379", "redis://", "redis://x?db=1", "redis+sentinel://x"},
		"MONITE_VEND_SOCKET_MODE":        {"0660", "rw"},
		"MONITE_VEND_ALLOWED_PEER_UIDS":  {"1000", "root"},
		"MONITE_VEND_APP_TOKEN":          {"has space"},
		"MONITE_VEND_APP_TOKEN_FILE":     {none},
		"MONITE_REDIS_TIMEOUT":           {"50", "1ms", "50ms"}, // the last one because there is no store
		"MONITE_REDIS_PASSWORD":          {"alone"},
		"MONITE_REDIS_PASSWORD_FILE":     {none},
		"MONITE_REDIS_URL_FILE":          {none},
		"MONITE_REDIS_CA_FILE":           {none},
		"MONITE_MAX_REQUESTS_PER_SECOND": {"-1", "30/s"},
		"MONITE_REPEAT_GUARD":            {"10", "25h"},
		"MONITE_IDEMPOTENCY_TTL":         {"1d", "169h"},
	}
}

// badStart starts it with addresses that are free, and wants it to end at once,
// with nobody listening, and to name the variables: one line each.
func badStart(t *testing.T, e env, names ...string) (output string) {
	t.Helper()
	begin := time.Now()
	code, output := runCommand(t, e)
	if took := time.Since(begin); code != 2 || took > time.Second {
		t.Errorf("%v: exit code = %d after %v, want 2 within 1 s; output:\n%s", names, code, took, output)
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if lines[0] != "monite-proxy: bad configuration" || len(lines) != 1+len(names) {
		t.Errorf("want a headline and a line for each of %v, got:\n%s", names, output)
		return output
	}
	slices.Sort(lines)
	for _, name := range names {
		if i, _ := slices.BinarySearch(lines, name+": want "); i == len(lines) || !strings.HasPrefix(lines[i], name+": want ") {
			t.Errorf("no line says %s: want ...\n%s", name, output)
		}
	}
	return output
}

func TestEveryWrongValueIsRefusedByName(t *testing.T) {
	t.Parallel()
	_, help := runCommand(t, env{}, "help")
	table := wrongValues(t)
	for _, name := range regexp.MustCompile(`MONITE_[A-Z_]+(\[_FILE\])?`).FindAllString(help, -1) {
		name, hasFile := strings.CutSuffix(name, "[_FILE]")
		if len(table[name]) == 0 || hasFile && len(table[name+"_FILE"]) == 0 {
			t.Errorf("%s has no wrong value here", name)
		}
	}
	// Addresses that a socket file or a connection would betray.
	directory := shortDir(t)
	base := defaultEnv("http://127.0.0.1:1").with("MONITE_LISTEN_ADDR", "unix:"+directory+"/data", "MONITE_ADMIN_ADDR", "unix:"+directory+"/admin")
	for name, values := range table {
		for _, value := range values {
			e := base.with(name, value)
			if twin, isFile := strings.CutSuffix(name, "_FILE"); isFile {
				e = e.with(twin, "")
			}
			output := badStart(t, e, name)
			if t.Failed() {
				t.Fatalf("with %s = %.80q", name, value)
			}
			// Short ones occur in any text, and some are words of what is accepted.
			if len(value) > 12 && strings.Contains(output, value) {
				t.Errorf("%s: the value %q is repeated:\n%s", name, value, output)
			}
		}
	}
	if left, err := os.ReadDir(directory); err != nil || len(left) > 0 {
		t.Errorf("something listened: %v, %v", left, err)
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
		listener, err := net.Listen("tcp", e[name])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = listener.Close()
	}
}

func TestVariablesThatContradictEachOther(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	writeFile(t, file, "x")
	base := defaultEnv("http://127.0.0.1:1")
	for _, test := range []struct {
		e    env
		name string
	}{
		{base.with("MONITE_API_URL", "https://api.monite.com", "MONITE_ENVIRONMENT", "us"), "MONITE_ENVIRONMENT"},
		{base.with("MONITE_CLIENT_SECRET_FILE", file), "MONITE_CLIENT_SECRET_FILE"},
		{base.with("MONITE_ADMIN_ADDR", "127.0.0.1:7001", "MONITE_LISTEN_ADDR", "127.0.0.1:7001"), "MONITE_ADMIN_ADDR"},
		{base.with("MONITE_GRANT_TYPE", "entity_user"), "MONITE_ENTITY_USER_ID"},
	} {
		badStart(t, test.e, test.name)
	}
}

func TestTyposOfVariablesAreRefused(t *testing.T) {
	t.Parallel()
	for typo, meant := range map[string]string{
		"MONITE_CLIENTID": "MONITE_CLIENT_ID", "MONITE_READONLY": "MONITE_READ_ONLY", "MONITE_ALOWED_HOSTS": "MONITE_ALLOWED_HOSTS",
		"monite_read_only": "MONITE_READ_ONLY", "MONITE_MAX_INFLIGHT": "MONITE_MAX_IN_FLIGHT",
	} {
		code, output := runCommand(t, defaultEnv("http://127.0.0.1:1").with(typo, "canary-of-a-typo"))
		if code != 2 || !strings.Contains(output, typo+": want another name: did you mean "+meant+"?") || strings.Contains(output, "canary") {
			t.Errorf("%s: exit code = %d; output:\n%s", typo, code, output)
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
	if a := s.mustCall("GET", "/v1/entities", ""); a.Status != 200 {
		t.Errorf("answer = %d %s", a.Status, a.Body)
	}
	if !s.logged(`"level":"warn"`, "MONITE_SOMETHING_ELSE_ENTIRELY is not a variable of monite-proxy") {
		t.Error("the unknown variable is not warned of")
	}
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
