package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// newNameServer is one of those in the sidecar's resolv.conf. It knows one name,
// api.monite.test at 127.0.0.1, and has one trouble.
func newNameServer(t *testing.T, trouble string) *wiretest.Names {
	t.Helper()
	names := wiretest.NewNames(t, "api.monite.test", "127.0.0.1")
	names.Trouble(trouble)
	return names
}

// ownEtc makes a directory that the sidecar sees as /etc.
func ownEtc(t *testing.T, more string, servers ...*wiretest.Names) string {
	t.Helper()
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		t.Skip("NOT TESTED: only root with unshare -m can give the sidecar name servers of its own")
	}
	etc := t.TempDir()
	writeFile(t, filepath.Join(etc, "hosts"), "127.0.0.1 localhost\n")
	writeFile(t, filepath.Join(etc, "resolv.conf"), resolvConf(more, servers...))
	return etc
}

func resolvConf(more string, servers ...*wiretest.Names) string {
	text := more
	for _, server := range servers {
		text += "nameserver " + server.Address + "\n"
	}
	return text
}

func startIn(t *testing.T, etc string, e env) *sidecar {
	t.Helper()
	return startUnder(t, e, "unshare", "-m", "sh", "-c", `mount --bind "$1" /etc && shift && exec "$@"`, "sh", etc)
}

// startAsking starts a sidecar that asks this name server alone.
func startAsking(t *testing.T, names *wiretest.Names, e env) *sidecar {
	t.Helper()
	return startIn(t, ownEtc(t, "options timeout:1 attempts:1\n", names), e)
}

func TestNameServersInTroubleAtTheStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		troubles []string // of each name server
		conf     string
		within   time.Duration
	}{
		{"silent, then good", []string{"silent", ""}, "", 7 * time.Second},
		{"two silent, then good", []string{"silent", "silent", ""}, "", 13 * time.Second},
		{"slow", []string{"slow"}, "", 4 * time.Second},
		{"lossy", []string{"lossy"}, "", 7 * time.Second},
		{"two lossy", []string{"lossy", "lossy"}, "", 13 * time.Second},
		{"AAAA silent", []string{"AAAA silent"}, "", 2 * time.Second},
		{"AAAA silent on all of three", []string{"AAAA silent", "AAAA silent", "AAAA silent"}, "", 2 * time.Second},
		{"FORMERR, then good", []string{"FORMERR", ""}, "", 2 * time.Second},
		{"SERVFAIL, then good", []string{"SERVFAIL", ""}, "", 2 * time.Second},
		{"truncated", []string{"truncated"}, "", 2 * time.Second},
		{"a search list that is silent", []string{"search silent"}, "search a.corp.test b.corp.test\noptions ndots:5\n", 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var servers []*wiretest.Names
			for _, trouble := range tc.troubles {
				servers = append(servers, newNameServer(t, trouble))
			}
			etc := ownEtc(t, tc.conf, servers...)
			o := newOrigin(t, nil)
			began := time.Now()
			s := startIn(t, etc, defaultEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true")).ready()
			if took := time.Since(began); took > tc.within {
				t.Errorf("ready after %v, want %v", took, tc.within)
			}
			o.cut(false)
			if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK {
				t.Errorf("status = %d, want 200: %s", a.Status, a.Body)
			}
		})
	}
}

func TestNameServersThatComeIntoTroubleLater(t *testing.T) {
	t.Parallel()
	for _, trouble := range []string{"silent", "slow", "lossy", "NXDOMAIN", "SERVFAIL", "FORMERR", "AAAA silent"} {
		t.Run(trouble, func(t *testing.T) {
			t.Parallel()
			first, second := newNameServer(t, ""), newNameServer(t, "")
			etc := ownEtc(t, "", first, second)
			o := newOrigin(t, nil)
			s := startIn(t, etc, defaultEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true")).ready()
			s.mustCall("GET", "/v1/entities", "")
			time.Sleep(time.Second) // what was found just now would be used
			first.Trouble(trouble)
			second.Trouble(trouble)
			for _, method := range []string{"GET", "POST"} {
				o.cut(false)
				began := time.Now()
				if a := s.mustCall(method, "/v1/entities", ""); a.Status != http.StatusOK || time.Since(began) > time.Second {
					t.Errorf("%s: %d after %v: %s", method, a.Status, time.Since(began), a.Body)
				}
			}
			if said := strings.Contains(s.log.String(), "the addresses of an earlier lookup are used"); said != (trouble != "AAAA silent") {
				t.Errorf("said in the log: %v", said)
			}
		})
	}
}

func TestFORMERRIsNamedWithItsRemedy(t *testing.T) {
	t.Parallel()
	etc := ownEtc(t, "", newNameServer(t, "FORMERR"))
	o := newOrigin(t, nil)
	e := defaultEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true")
	s := startIn(t, etc, e)
	s.waitFor("the remedy in the log", func() bool { return strings.Contains(s.log.String(), "GODEBUG=netedns0=0") })
	startIn(t, etc, e.with("GODEBUG", "netedns0=0")).ready()
}

// A VPN client puts a link in the place of resolv.conf. Landlock does not let us
// follow it: we go on with the name servers that we know, and say why.
func TestResolvConfBecomesALink(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	server := newNameServer(t, "")
	etc, elsewhere := ownEtc(t, "", server), t.TempDir()
	o := newOrigin(t, nil)
	s := startIn(t, etc, defaultEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true", "MONITE_CONFINE", "require")).ready()
	s.mustCall("GET", "/v1/entities", "")
	writeFile(t, filepath.Join(elsewhere, "resolv.conf"), resolvConf("", server))
	link := filepath.Join(etc, "link")
	if err := os.Symlink(filepath.Join(elsewhere, "resolv.conf"), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(etc, "resolv.conf")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5100 * time.Millisecond) // package net looks at it every 5 s
	call := func() {
		t.Helper()
		o.cut(false)
		began := time.Now()
		if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK || time.Since(began) > time.Second {
			t.Errorf("%d after %v: %s", a.Status, time.Since(began), a.Body)
		}
	}
	call()
	time.Sleep(1100 * time.Millisecond)
	server.Trouble("SERVFAIL")
	call()
	s.waitFor("the cause in the log", func() bool { return strings.Contains(s.log.String(), "Landlock") })
}
