package e2e

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// stranger is a user that is neither root nor the sidecar's: nobody's number.
const stranger = 65534

// asUser runs do as another user, in a thread of its own that ends with it.
func asUser(t *testing.T, uid int, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can be another user")
	}
	failed := make(chan syscall.Errno, 1)
	go func() {
		runtime.LockOSThread() // never given back
		// RawSyscall, because the functions of package syscall change every thread.
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0)
		if errno == 0 {
			_, _, errno = syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(uid), uintptr(uid), uintptr(uid))
		}
		if errno == 0 {
			_, _, errno = syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
		}
		if errno == 0 {
			do()
		}
		failed <- errno
	}()
	if errno := <-failed; errno != 0 {
		t.Fatalf("become user %d: %v", uid, errno)
	}
}

// getAs asks over a socket as another user.
func getAs(t *testing.T, uid int, path string) (status string, err error) {
	t.Helper()
	asUser(t, uid, func() {
		var conn net.Conn
		if conn, err = net.Dial("unix", path); err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		sendGet(conn, "/v1/entities")
		head := make([]byte, len("HTTP/1.1 200"))
		if _, err = conn.Read(head); err == nil {
			status = string(head)
		}
	})
	return status, err
}

// openDir is a directory that every user may enter.
func openDir(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	directory := shortDir(t)
	if err := os.Chmod(directory, mode); err != nil {
		t.Fatal(err)
	}
	return directory
}

func TestSocketIsClosedToOtherUsers(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	path := filepath.Join(openDir(t, 0o755), "s")
	start(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+path)).ready()
	if status, err := getAs(t, stranger, path); !errors.Is(err, syscall.EACCES) {
		t.Errorf("another user: %q, %v, want EACCES", status, err)
	}
}

func TestSocketIsOpenToOtherUsersByItsMode(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	path := filepath.Join(openDir(t, 0o755), "s")
	s := start(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+path, "MONITE_SOCKET_MODE", "0666")).ready()
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o666 {
		t.Errorf("%v, %v, want a socket with mode 0666", info.Mode(), err)
	}
	if status, err := getAs(t, stranger, path); err != nil || status != "HTTP/1.1 200" {
		t.Errorf("another user: %q, %v, want 200", status, err)
	}
	if !strings.Contains(s.log.String(), "MONITE_SOCKET_MODE: every user of this host") {
		t.Error("the log does not say that every user may connect")
	}
}

func TestOnlyListedUsersAreServed(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	path := filepath.Join(openDir(t, 0o755), "s")
	s := start(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+path, "MONITE_SOCKET_MODE", "0666", "MONITE_ALLOWED_PEER_UIDS", "65534")).ready()
	if status, err := getAs(t, stranger, path); err != nil || status != "HTTP/1.1 200" {
		t.Errorf("the listed user: %q, %v, want 200", status, err)
	}
	const tries = 50
	for range tries { // root is not listed
		if a, err := overSocket(path, "GET", "/v1/entities"); err == nil {
			t.Fatalf("root was answered %d", a.Status)
		}
	}
	s.waitFor("the count of refused connections", func() bool { return s.metricValue("monite_proxy_refused_peers_total") >= tries })
	s.signal(syscall.SIGTERM)
	s.ends(0, 5*time.Second)
	if said := strings.Count(s.log.String(), "MONITE_ALLOWED_PEER_UIDS"); said != 1 {
		t.Errorf("the log has %d lines about %d refused connections, want 1", said, tries)
	}
}

func TestSocketOfAnotherUserIsLeftAlone(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can make a socket of another user")
	}
	url := script(t, nil, answerOK)
	path := filepath.Join(shortDir(t), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	if err := os.Chown(path, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	wantCommand(t, 1, defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+path), "", "belongs to another user")
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("it was removed: %v", err)
	}
}

// A pod's emptyDir is such a directory, so it is not refused.
func TestDirectoryThatEverybodyMayWriteToIsSaidAloud(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	for mode, want := range map[fs.FileMode]bool{0o777: true, 0o777 | fs.ModeSticky: false, 0o755: false} {
		directory := openDir(t, mode)
		at := func(name string) string { return filepath.Join(directory, name) }
		file := filepath.Join(shortDir(t), "identities.yaml")
		identity := func(name string) string {
			return "  - {name: " + name + ", grant_type: client_credentials, listen_addr: \"unix:" + at(name) + "\"}\n"
		}
		writeFile(t, file, "identities:\n"+identity("named"))
		s := start(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+at("data"), "MONITE_VEND_ADDR", "unix:"+at("vend"),
			"MONITE_ALLOWED_ENTITY_USER_IDS", shortIDs["U1"],
			"MONITE_IDENTITIES_FILE", file)).ready()
		writeFile(t, file, "identities:\n"+identity("named")+identity("later"))
		s.signal(syscall.SIGHUP)
		s.waitLogged("identities file changed")
		for _, name := range []string{"data", "vend", "named", "later"} {
			said := 0
			for line := range strings.Lines(s.log.String()) {
				if strings.Contains(line, "every user may write to the socket's directory") && strings.Contains(line, `"`+at(name)+`"`) {
					said++
				}
			}
			if said != map[bool]int{true: 1}[want] {
				t.Errorf("mode %v, %s: said %d times, want it said: %v", mode, name, said, want)
			}
		}
		wantOver(t, at("data"))
	}
}

func TestSuccessorsSocketSurvivesTheEndOfTheFirst(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	path := filepath.Join(shortDir(t), "s")
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+path)
	first := start(t, e).ready()
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	start(t, e).ready()
	first.signal(syscall.SIGTERM)
	first.ends(0, 5*time.Second)
	wantOver(t, path)
}

const oneIdentity = `identities:
  - {name: one, grant_type: client_credentials, listen_addr: "AT"}
`

// A file that changes after the confinement: it is read, its socket is made, and
// a socket that is out of reach leaves everything as it was.
func TestConfinedSidecarFollowsItsIdentities(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	_, url := simulate(t, monitetest.Config{})
	sockets, elsewhere := shortDir(t), shortDir(t)
	path := filepath.Join(t.TempDir(), "identities.yaml")
	one, two := filepath.Join(sockets, "one.sock"), filepath.Join(sockets, "two.sock")
	at := func(socket string) { writeFile(t, path, strings.Replace(oneIdentity, "AT", "unix:"+socket, 1)) }
	at(one)
	s := start(t, defaultEnv(url).with("MONITE_CONFINE", "require", "MONITE_IDENTITIES_FILE", path)).ready()
	served := func(socket string) bool {
		a, err := overSocket(socket, "GET", "/v1/entities?limit=1")
		return err == nil && a.Status == http.StatusOK
	}
	if !served(one) {
		t.Error("the socket of the start is not served")
	}
	at(two)
	s.waitFor("the new socket", func() bool { return served(two) })
	at(filepath.Join(elsewhere, "three.sock"))
	s.waitLogged("the old identities stay")
	if !served(two) {
		t.Error("a file that was refused took the old socket away")
	}
}

// What guards the data listener guards those of identities.
func TestIdentitysSocketKnowsItsPeers(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	sockets := shortDir(t)
	path, socket := filepath.Join(t.TempDir(), "identities.yaml"), filepath.Join(sockets, "one.sock")
	writeFile(t, path, strings.Replace(oneIdentity, "AT", "unix:"+socket, 1))
	s := start(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path, "MONITE_LISTEN_ADDR", "unix:"+filepath.Join(sockets, "data.sock"),
		"MONITE_ALLOWED_PEER_UIDS", "64999")).ready()
	if a, err := overSocket(socket, "GET", "/v1/entities?limit=1"); err == nil {
		t.Errorf("another user is answered %d", a.Status)
	}
	s.waitFor("a refused peer", func() bool { return s.metricValue("monite_proxy_refused_peers_total") > 0 })
}

func TestIdentitysListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	port := freePort(t)
	path := filepath.Join(t.TempDir(), "identities.yaml")
	writeFile(t, path, strings.Replace(oneIdentity, "AT", port, 1))
	appCA := newCA(t)
	r := startTLS(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path), appCA)
	directory := t.TempDir()
	certificate := appCA.issue(filepath.Join(directory, "app.crt"), filepath.Join(directory, "app.key"), 5, x509.ExtKeyUsageClientAuth)
	r.Data = "http://" + port
	if a, _, err := r.get(r.client(certificate)); err != nil || a.Status != http.StatusOK {
		t.Errorf("with a certificate: %d, %v", a.Status, err)
	}
	if a, _, err := r.get(r.client()); err == nil {
		t.Errorf("without a certificate: %d", a.Status)
	}
	if a, err := request(t.Context(), "GET", "http://"+port+"/v1/entities", ""); err == nil && a.Status == http.StatusOK {
		t.Errorf("without TLS: %d %s", a.Status, a.Body)
	}
}
