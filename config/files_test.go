package config

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestCAFileIsAddedToTheRoots(t *testing.T) {
	text := string(wiretest.NewAuthority().PEM())
	path := writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), "a comment\n"+text)
	cfg := mustLoad(t, map[string]string{"MONITE_CA_FILE": path})
	block, _ := pem.Decode([]byte(text))
	root, err := x509.ParseCertificate(block.Bytes)
	wiretest.Must(t, err)
	if _, err := root.Verify(x509.VerifyOptions{Roots: cfg.RootCAs}); err != nil {
		t.Errorf("the certificate of the file is not trusted: %v", err)
	}
	want, err := x509.SystemCertPool()
	if err != nil {
		t.Skip("no system roots here")
	}
	want.AddCert(root)
	if !cfg.RootCAs.Equal(want) {
		t.Error("RootCAs are not the system's and the file's")
	}
}

func TestCredentialsComeFromFiles(t *testing.T) {
	dir := t.TempDir()
	pairs := map[string]string{
		"MONITE_CLIENT_ID_FILE":     writeFile(t, filepath.Join(dir, "id"), "id-1\n"),
		"MONITE_CLIENT_SECRET_FILE": writeFile(t, filepath.Join(dir, "secret"), "secret-1\r\n"),
		"MONITE_APP_TOKEN_FILE":     writeFile(t, filepath.Join(dir, "token"), "token-1"),
	}
	cfg := mustLoad(t, pairs)
	show := func() []string {
		id, clientSecret := cfg.Credentials.Pair()
		return []string{
			id.Reveal(), clientSecret.Reveal(), cfg.Credentials.ID().Reveal(), cfg.Credentials.Secret().Reveal(), cfg.AppToken().Reveal(),
		}
	}
	if diff := cmp.Diff([]string{"id-1", "secret-1", "id-1", "secret-1", "token-1"}, show()); diff != "" {
		t.Errorf("at start (-want +got):\n%s", diff)
	}
	writeFile(t, filepath.Join(dir, "id"), "id-2\n")
	writeFile(t, filepath.Join(dir, "secret"), "secret-2\n")
	writeFile(t, filepath.Join(dir, "token"), "") // emptied: the guard must stay up
	if w := (&secret.Watcher{Files: cfg.Files()}); !w.Check() || len(w.Files) != 3 {
		t.Errorf("Check() of %d files saw no change", len(w.Files))
	}
	if diff := cmp.Diff([]string{"id-2", "secret-2", "id-2", "secret-2", "token-1"}, show()); diff != "" {
		t.Errorf("after the change (-want +got):\n%s", diff)
	}
}

func TestVariableAndFileMixFreely(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "secret"), "from-file")
	cfg := mustLoad(t, map[string]string{"MONITE_CLIENT_SECRET_FILE": path})
	id, clientSecret := cfg.Credentials.Pair()
	if id.Reveal() != "an-id" || clientSecret.Reveal() != "from-file" || len(cfg.Files()) != 1 {
		t.Errorf("Pair() = %s, %s, %d files, want an-id, from-file, 1", id.Reveal(), clientSecret.Reveal(), len(cfg.Files()))
	}
}

func TestBothVariableAndFileIsAMistake(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "secret"), "x")
	for _, name := range []string{"MONITE_CLIENT_ID", "MONITE_CLIENT_SECRET", "MONITE_APP_TOKEN"} {
		wantMistakes(t, name, map[string]string{name: "x", name + "_FILE": path},
			name+"_FILE: want only one of "+name+" and "+name+"_FILE to be set")
	}
}

func TestBadSecretFileNamesTheVariableAndNotThePath(t *testing.T) {
	dir := t.TempDir()
	tests := []struct{ path, want string }{
		{filepath.Join(dir, "none"), "no such file or directory"},
		{dir, "it is a directory"},
		{writeFile(t, filepath.Join(dir, "empty"), "\n"), "it is empty"},
		{writeFile(t, filepath.Join(dir, "quoted"), "'x'"), "it has quotes around it"},
		{writeFile(t, filepath.Join(dir, "large"), strings.Repeat("x", 70000)), "it is larger than 64 KiB"},
		{strings.Repeat("x", 5000), "file name too long"},
	}
	for _, name := range []string{"MONITE_CLIENT_ID_FILE", "MONITE_CLIENT_SECRET_FILE", "MONITE_APP_TOKEN_FILE"} {
		for _, tc := range tests {
			wantMistakes(t, name, map[string]string{name: tc.path}, name+": want "+named(name).accepts+" ("+tc.want+")")
		}
	}
}

func TestRedactedShowsThePathOfAFileAsTheSource(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "secret"), "from-file")
	cfg := mustLoad(t, map[string]string{"MONITE_CLIENT_SECRET_FILE": path, "MONITE_APP_TOKEN": "x"})
	got := map[string]Setting{}
	for _, s := range cfg.Redacted() {
		got[s.Name] = s
	}
	for _, want := range []Setting{
		{"MONITE_CLIENT_ID", "[redacted]", "environment"},
		{"MONITE_CLIENT_SECRET", "[redacted]", "file " + path},
		{"MONITE_CLIENT_SECRET_FILE", path, "environment"},
		{"MONITE_APP_TOKEN", "[redacted]", "environment"},
		{"MONITE_APP_TOKEN_FILE", "", "default"},
		{"MONITE_LOG_LEVEL", "info", "default"},
	} {
		if got[want.Name] != want {
			t.Errorf("setting %+v, want %+v", got[want.Name], want)
		}
	}
	if len(cfg.Redacted()) != len(variables) {
		t.Errorf("%d settings, want every variable, %d", len(cfg.Redacted()), len(variables))
	}
}

func TestUnreadableSecretFileIsAMistake(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	path := writeFile(t, filepath.Join(t.TempDir(), "secret"), "x")
	wiretest.Must(t, os.Chmod(path, 0))
	_, err := load(t, map[string]string{"MONITE_CLIENT_SECRET_FILE": path})
	if got := lines(err); len(got) != 1 || !strings.HasSuffix(got[0], "(permission denied)") {
		t.Errorf("mistakes %q, want permission denied", got)
	}
}

// Caddy asked for no client certificate at all when the file of the authority was
// missing.
func TestBadCAFileIsAMistake_CVE_2026_27586(t *testing.T) {
	dir := t.TempDir()
	good := string(wiretest.NewAuthority().PEM())
	tests := []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "none"), "no such file or directory"},
		{"directory", dir, "it is a directory"},
		{"empty", writeFile(t, filepath.Join(dir, "empty"), ""), "it is empty"},
		{"text", writeFile(t, filepath.Join(dir, "text"), "hello\n"), "no certificate is in it"},
		{"key only", writeFile(t, filepath.Join(dir, "key"), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
			"no certificate is in it, but a PRIVATE KEY"},
		{"broken second", writeFile(t, filepath.Join(dir, "broken"), good+"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
			"certificate 2 in it is broken or cut off"},
		{"cut off", writeFile(t, filepath.Join(dir, "cut"), good+good[:len(good)/2]), "certificate 2 in it is broken or cut off"},
	}
	for _, tc := range tests {
		wantMistakes(t, tc.name, map[string]string{"MONITE_CA_FILE": tc.path},
			"MONITE_CA_FILE: want the path of a PEM file with at least one certificate ("+tc.want+")")
	}
}
