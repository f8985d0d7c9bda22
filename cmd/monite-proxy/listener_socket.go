package main

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

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
)

// socketFile is a unix socket as this process made it.
type socketFile struct {
	path string
	made fs.FileInfo
}

// listenSocket makes a unix socket that has its permissions from its first
// moment on. It replaces nothing but a socket of this user on which nobody
// listens any more.
func listenSocket(path string, mode fs.FileMode) (net.Listener, *socketFile, error) {
	if mode == 0 {
		mode = 0o600
	}
	if err := removeStaleSocket(path); err != nil {
		return nil, nil, err
	}
	// bind follows no symbolic link in the last place and takes no name that is
	// taken, so whatever appears here in between makes this fail.
	opened, err := listenWithMode(path, mode)
	if err != nil {
		return nil, nil, err
	}
	opened.SetUnlinkOnClose(false) // it would remove whatever is there by then
	made, err := os.Lstat(path)
	if err == nil && !(ownedByUs(made) && isSocketWith(mode, made)) {
		err = fmt.Errorf("listen unix %s: it was replaced at once", path)
	}
	if err != nil {
		_ = opened.Close()
		return nil, nil, err
	}
	return opened, &socketFile{path, made}, nil
}

// remove takes the socket away, and nothing that has taken its place.
func (s *socketFile) remove() { _ = removeOnly(s.path, s.made) }

// removeStaleSocket removes a socket of this user that nobody listens on any
// more.
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
	if !ownedByUs(info) {
		return fmt.Errorf("listen unix %s: the socket there belongs to another user", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	// Only a refusal says that nobody listens. A full queue gives another error.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen unix %s: another process listens there", path)
	}
	return removeOnly(path, info)
}

// removeOnly removes what info describes. To look and then to remove would
// remove whatever came between: so it is moved aside, looked at, and put back
// if it is something else.
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

// warnIfOpenToAll says aloud that every user of the host may put another socket
// in the place of one in that directory. It is so in a pod's emptyDir, where the
// pod's containers are all the users that there are.
func warnIfOpenToAll(log zerolog.Logger, at config.Listen) {
	if at.Network != "unix" {
		return
	}
	info, err := os.Stat(filepath.Dir(at.Address))
	if err == nil && info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		log.Warn().Str("socket", at.Address).Msg("every user may write to the socket's directory, and so put another socket in its place")
	}
}
