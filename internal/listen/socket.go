package listen

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/files"
)

// socketFile is a unix socket as this process made it.
type socketFile struct {
	path string
	made fs.FileInfo
}

// listenSocket makes a unix socket that has its permissions from the first moment. It
// replaces only a socket of this user on which no process listens.
func listenSocket(path string, mode fs.FileMode) (net.Listener, *socketFile, error) {
	if err := removeStaleSocket(path); err != nil {
		return nil, nil, err
	}
	// bind does not follow a symbolic link as the last element and refuses an
	// existing name, so anything that appears here in between makes it fail.
	opened, err := listenWithMode(path, mode)
	if err != nil {
		return nil, nil, err
	}
	opened.SetUnlinkOnClose(false) // it would remove whatever has the name by then
	made, err := os.Lstat(path)
	if err == nil && !(files.OwnedByUs(made) && isSocketWith(mode, made)) {
		err = fmt.Errorf("listen unix %s: it was replaced at once", path)
	}
	if err != nil {
		_ = opened.Close()
		return nil, nil, err
	}
	return opened, &socketFile{path, made}, nil
}

// remove removes the socket, and nothing that has taken its place.
func (s *socketFile) remove() { _ = removeOnly(s.path, s.made) }

// removeStaleSocket removes a socket of this user on which no process listens.
func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen unix %s: there is something that is not a socket", path)
	}
	if !files.OwnedByUs(info) {
		return fmt.Errorf("listen unix %s: the socket there belongs to another user", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	// Only a refusal proves that no process listens. A full queue gives another
	// error.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen unix %s: another process listens there", path)
	}
	return removeOnly(path, info)
}

// removeOnly removes the file that info describes. Looking first and removing
// then could remove another file that came in between. So it moves the file
// aside, looks at it, and puts it back if it is another one.
func removeOnly(path string, info fs.FileInfo) error {
	aside := filepath.Join(filepath.Dir(path), ".monite-proxy-"+rand.Text())
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	moved, err := os.Lstat(aside)
	if err == nil && os.SameFile(info, moved) {
		return os.Remove(aside)
	}
	if err := os.Rename(aside, path); err != nil {
		return err
	}
	return fmt.Errorf("listen unix %s: it was replaced at this moment", path)
}

// SetMode changes who may connect to a unix socket. A TCP listener has no mode. It
// changes the socket that Open made and nothing that has taken its place: a symbolic
// link there would lead chmod to a file that another user chose.
func (l *Listener) SetMode(mode fs.FileMode) error {
	if l.at.Network != "unix" {
		return nil
	}
	made := l.file
	if made == nil {
		return l.setInheritedMode(mode)
	}
	if err := chmodSocket(l.at.Address, made.made, mode); err != nil {
		return err
	}
	l.options.Mode = mode
	return nil
}

// setInheritedMode gives the service manager's socket the mode of the
// configuration: systemd makes it 0666 unless its unit says SocketMode. A socket
// with fewer permissions stays as it is if this user may not change it.
func (l *Listener) setInheritedMode(mode fs.FileMode) error {
	info, err := os.Lstat(l.at.Address)
	if err == nil && !isSocketWith(mode, info) {
		had := info.Mode().Perm()
		if err = chmodSocket(l.at.Address, info, mode); err == nil {
			l.warning = fmt.Sprintf("the service manager's socket had mode %04o and has %04o now, as configured", had, mode)
		} else if info.Mode().Type() == fs.ModeSocket && had&^mode == 0 {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("listen unix %s: the service manager's socket has to have mode %04o (SocketMode= in its unit): %w", l.at.Address, mode, err)
	}
	l.options.Mode = mode
	return nil
}

// Warning says what the operator should know of a listener, or is empty. In a
// directory that every user may write to, every user may put another socket in
// place of ours. A pod's emptyDir is such a directory; the pod's containers are
// its only users.
func (l *Listener) Warning() string {
	if l.at.Network != "unix" {
		return ""
	}
	info, err := os.Stat(filepath.Dir(l.at.Address))
	if err != nil || info.Mode()&0o002 == 0 || info.Mode()&fs.ModeSticky != 0 {
		return l.warning
	}
	return "every user may write to the socket's directory, and so put another socket in its place"
}
