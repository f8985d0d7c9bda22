//go:build unix

package main

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestPortOf(t *testing.T) {
	for text, want := range map[string]uint16{
		"https://api.monite.com": 443, "http://127.0.0.1": 80, "https://[::1]:8443": 8443, "socks5://proxy": 1080, "proxy.internal:3128": 3128,
		"proxy.internal": 80, "http://proxy:3128": 3128,
	} {
		at, err := proxyURL(text)
		wiretest.Must(t, err)
		if got := portOf(at); got != want {
			t.Errorf("%s: port %d, want %d", text, got, want)
		}
	}
	if got := portOf(&url.URL{Scheme: "https", Host: "api.monite.com"}); got != 443 {
		t.Errorf("port %d, want 443", got)
	}
}

// The swap of Kubernetes: the file is a link to ..data/file, ..data one to a
// directory that is another one after each change.
func TestWhereItLives(t *testing.T) {
	mount, elsewhere := t.TempDir(), t.TempDir()
	for _, directory := range []string{"..2026", "plain"} {
		wiretest.Must(t, os.Mkdir(filepath.Join(mount, directory), 0o700))
	}
	for _, file := range []string{filepath.Join(mount, "..2026", "secret"), filepath.Join(elsewhere, "secret")} {
		wiretest.Must(t, os.WriteFile(file, nil, 0o600))
	}
	for link, to := range map[string]string{"..data": "..2026", "secret": "..data/secret", "linked": filepath.Join(elsewhere, "secret")} {
		wiretest.Must(t, os.Symlink(to, filepath.Join(mount, link)))
	}
	for path, want := range map[string][]string{
		filepath.Join(mount, "secret"):  {mount, filepath.Join(mount, "..2026")},
		filepath.Join(mount, "linked"):  {mount, elsewhere},
		filepath.Join(mount, "missing"): {mount},
		"/secret-that-is-not-there":     {"/secret-that-is-not-there"}, // never "/"
	} {
		if got := whereItLives(path); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
