//go:build unix

package listen

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// socketPath is short enough for sockaddr_un.
func socketPath(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "mp")
	wiretest.Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return filepath.Join(directory, "s")
}

func openTestSocket(path string, options Options) (*Listener, error) {
	return Open(config.Listen{Network: "unix", Address: path}, options)
}

func TestSocketHasTheModeThatWasAskedFor(t *testing.T) {
	for mode, want := range map[fs.FileMode]fs.FileMode{0: 0o600, 0o600: 0o600, 0o660: 0o660, 0o666: 0o666, 0o777: 0o777} {
		path := socketPath(t)
		l, err := openTestSocket(path, Options{Mode: mode})
		wiretest.Must(t, err)
		if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|want {
			t.Errorf("mode %o: %v, %v", mode, info.Mode(), err)
		}
		_ = l.Close()
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("mode %o: still there after Close: %v", mode, err)
		}
	}
}

func TestCloseRemovesOnlyItsOwnSocket(t *testing.T) {
	path := socketPath(t)
	old, err := openTestSocket(path, Options{})
	wiretest.Must(t, err)
	wiretest.Must(t, os.Rename(path, path+"2"))
	successor, err := openTestSocket(path, Options{})
	wiretest.Must(t, err)
	_ = old.Close()
	if conn, err := net.Dial("unix", path); err != nil {
		t.Errorf("the successor's socket is gone: %v", err)
	} else {
		_ = conn.Close()
	}
	_ = successor.Close()
	left, _ := os.ReadDir(filepath.Dir(path))
	if len(left) != 1 || left[0].Name() != "s2" {
		t.Errorf("left in the directory: %v, want s2 alone", left)
	}
}

// Somebody swaps the path for a symbolic link, a file and back while the socket
// is being made, over and over. What the link points to must not be touched, and
// what is left must be ours.
func TestSwappingThePathWhileTheSocketIsMade(t *testing.T) {
	path := socketPath(t)
	victim := filepath.Join(t.TempDir(), "victim")
	wiretest.Must(t, os.WriteFile(victim, []byte("precious"), 0o640))
	var stop atomic.Bool
	var attacker sync.WaitGroup
	attacker.Go(func() {
		for i := 0; !stop.Load(); i++ {
			if i%2 == 0 {
				_ = os.Symlink(victim, path+"x")
			} else {
				_ = os.WriteFile(path+"x", nil, 0o600)
			}
			_ = os.Rename(path+"x", path)
			_ = os.Remove(path)
			// A stale socket of ours, so that there is something to remove.
			if stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err == nil {
				stale.SetUnlinkOnClose(false)
				_ = stale.Close()
			}
		}
	})
	opened, refused := 0, 0
	for range 2000 {
		l, err := openTestSocket(path, Options{})
		if err != nil {
			refused++
			continue
		}
		opened++
		_ = l.Close()
	}
	stop.Store(true)
	attacker.Wait()
	info, err := os.Lstat(victim)
	text, _ := os.ReadFile(victim)
	if err != nil || info.Mode() != 0o640 || string(text) != "precious" {
		t.Errorf("the victim: %v %q, %v", info, text, err)
	}
	if opened == 0 || refused == 0 {
		t.Errorf("%d opened, %d refused: there was no race", opened, refused)
	}
	t.Logf("%d opened, %d refused", opened, refused)
}

func TestRemoveOnlyPutsBackWhatItDoesNotMean(t *testing.T) {
	directory := t.TempDir()
	path, other := filepath.Join(directory, "a"), filepath.Join(directory, "b")
	for _, name := range []string{path, other} {
		wiretest.Must(t, os.WriteFile(name, []byte(name), 0o600))
	}
	meant, err := os.Lstat(other)
	wiretest.Must(t, err)
	if removeOnly(path, meant) == nil {
		t.Error("no error though another file was there")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != path {
		t.Errorf("%q, %v: want it put back", text, err)
	}
	if err := removeOnly(other, meant); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(directory); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestOnlyAllowedUsersConnect(t *testing.T) {
	if !socket.KnowsPeers {
		t.Skip("users of connections are not known on this system")
	}
	own := uint32(os.Geteuid())
	for name, tc := range map[string]struct {
		uids  []uint32
		enter bool
	}{
		"no list": {nil, true}, "listed": {[]uint32{own + 1, own}, true}, "not listed": {[]uint32{own + 1}, false},
	} {
		path := socketPath(t)
		refused := make(chan uint32, 1)
		l, err := openTestSocket(path, Options{PeerUIDs: tc.uids, Refused: func(uid uint32) { refused <- uid }})
		wiretest.Must(t, err)
		server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
		ended := make(chan struct{})
		go func() { defer close(ended); _ = l.Serve(server) }()

		conn, err := net.Dial("unix", path)
		wiretest.Must(t, err)
		_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _ := conn.Read(make([]byte, 100))
		if entered := n > 0; entered != tc.enter {
			t.Errorf("%s: answered: %v, want %v", name, entered, tc.enter)
		}
		if !tc.enter {
			select {
			case uid := <-refused:
				if uid != own {
					t.Errorf("%s: refused user %d, want %d", name, uid, own)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("%s: nobody was told", name)
			}
		}
		_ = conn.Close()
		l.Stop()
		<-ended
		_ = server.Close()
	}
}

func TestSetModeChangesWhoMayConnect(t *testing.T) {
	path := socketPath(t)
	l, err := openTestSocket(path, Options{Mode: 0o600})
	wiretest.Must(t, err)
	defer func() { _ = l.Close() }()
	wiretest.Must(t, l.SetMode(0o660))
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o660 || l.options.Mode != 0o660 {
		t.Errorf("mode = %v, %v, want 0660", info.Mode(), err)
	}
}

func TestDirectoryThatEveryUserMayWriteToIsWarnedOf(t *testing.T) {
	for mode, warns := range map[fs.FileMode]bool{0o700: false, 0o777: true, 0o777 | fs.ModeSticky: false} {
		path := socketPath(t)
		wiretest.Must(t, os.Chmod(filepath.Dir(path), mode))
		l, err := openTestSocket(path, Options{})
		wiretest.Must(t, err)
		if got := l.Warning(); (got != "") != warns {
			t.Errorf("mode %v: warning %q", mode, got)
		}
		_ = l.Close()
	}
}

// Another user of the directory puts a link in the place of the socket. chmod would
// follow it, and open a file that this process may change and others may not read.
func TestSetModeDoesNotFollowALink(t *testing.T) {
	path := socketPath(t)
	l, err := openTestSocket(path, Options{Mode: 0o600})
	wiretest.Must(t, err)
	defer func() { _ = l.Close() }()
	secret := filepath.Join(t.TempDir(), "secret")
	wiretest.Must(t, os.WriteFile(secret, []byte("secret"), 0o400))
	stranger, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + "2", Net: "unix"})
	wiretest.Must(t, err)
	defer func() { _ = stranger.Close() }()
	for name, replace := range map[string]func() error{
		"a link to a secret":      func() error { return os.Symlink(secret, path+"x") },
		"a hard link of a secret": func() error { return os.Link(secret, path+"x") },
		"a link to its own place": func() error { return os.Symlink(path+"2", path+"x") },
		"another socket":          func() error { return os.Link(path+"2", path+"x") },
	} {
		wiretest.Must(t, replace())
		wiretest.Must(t, os.Rename(path+"x", path))
		if l.SetMode(0o666) == nil {
			t.Errorf("%s: no error", name)
		}
		for _, file := range []string{secret, path + "2"} {
			if info, err := os.Lstat(file); err != nil || info.Mode().Perm() == 0o666 {
				t.Errorf("%s: %s has mode %v now, %v", name, filepath.Base(file), info.Mode(), err)
			}
		}
		if l.options.Mode != 0o600 {
			t.Errorf("%s: mode = %v, want 0600", name, l.options.Mode)
		}
	}
}

// systemd makes a socket 0666 unless its unit says otherwise.
func TestSocketOfTheServiceManagerGetsTheConfiguredMode(t *testing.T) {
	path := socketPath(t)
	opened, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	wiretest.Must(t, err)
	defer func() { _ = opened.Close() }()
	wiretest.Must(t, os.Chmod(path, 0o666))
	l := &Listener{at: config.Listen{Network: "unix", Address: path}, opened: []openSocket{{opened, true}}}
	wiretest.Must(t, l.setInheritedMode(0o600))
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
	}
	if l.Warning() == "" || l.options.Mode != 0o600 {
		t.Errorf("warning %q, mode %v: the operator should be told", l.Warning(), l.options.Mode)
	}
}
