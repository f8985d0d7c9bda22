package dial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
)

// resolvConf is the file that package net reads, and reads again when it changes.
const resolvConf = "/etc/resolv.conf"

// nameServers remembers which ones the system named last. When resolv.conf becomes
// a link to where this process may not read (Landlock allows only the folders that
// were there at the start), package net asks 127.0.0.1 instead; those that were
// right until then are the better guess.
type nameServers struct {
	mu     sync.Mutex // guards all below
	recent []string   // the last one first
	turn   int
}

const maxNameServers = 3 // as in resolv.conf

func (s *nameServers) dial(ctx context.Context, network, server string) (net.Conn, error) {
	server = s.instead(server, unreadable(resolvConf))
	return (&net.Dialer{}).DialContext(ctx, network, server)
}

func (s *nameServers) instead(server string, unreadable bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if unreadable {
		if len(s.recent) == 0 {
			return server
		}
		s.turn++
		return s.recent[s.turn%len(s.recent)]
	}
	if len(s.recent) == 0 || s.recent[0] != server {
		s.recent = slices.DeleteFunc(s.recent, func(known string) bool { return known == server })
		s.recent = slices.Insert(s.recent, 0, server)
		s.recent = s.recent[:min(len(s.recent), maxNameServers)]
	}
	return server
}

func unreadable(path string) bool {
	file, err := os.Open(path)
	if err == nil {
		_ = file.Close()
	}
	return errors.Is(err, fs.ErrPermission)
}

func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return err == errNoAddress || ok && dns.IsNotFound //nolint:errorlint // returned bare
}

// lookupError adds the cause to errors whose text does not name it.
func lookupError(err error) error {
	if unreadable(resolvConf) {
		return fmt.Errorf("%w (%s cannot be read by this process: if its permissions allow it, Landlock does not, because its folder was not there at the start)", err, resolvConf)
	}
	dns, ok := errors.AsType[*net.DNSError](err)
	if ok && dns.Err == "server misbehaving" && !dns.Temporary() {
		// package net takes FORMERR, NOTIMP and REFUSED for the same.
		return fmt.Errorf("%w (the name server refused the query: if it does not know EDNS0 (FORMERR), set GODEBUG=netedns0=0)", err)
	}
	return err
}

// connectError names who refused. Nothing in a network makes connect fail with
// EACCES: it is a rule on this host.
func connectError(err error) error {
	if errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%w (not upstream: a rule on this host forbids it, Landlock for a port that was not known at the start, SELinux or a firewall)", err)
	}
	return err
}
