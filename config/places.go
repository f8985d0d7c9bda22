package config

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/monite-proxy/monite-proxy/internal/files"
)

// buildAuditLog wants a place where a file can be. No one keeps an audit log in the
// root directory, but a secret that begins with a slash looks like such a path.
func buildAuditLog(path string, wrong *mistakes) string {
	if path == "" {
		return ""
	}
	dir := filepath.Dir(path)
	switch info, err := os.Stat(dir); {
	case !filepath.IsAbs(path) || filepath.Clean(path) != path || !isPrintable(path):
		wrong.refuse("MONITE_AUDIT_LOG", "it is not an absolute path")
	case err != nil || !info.IsDir() || dir == filepath.Dir(dir):
		wrong.refuse("MONITE_AUDIT_LOG", "its directory does not exist, or is the root")
	default:
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			wrong.refuse("MONITE_AUDIT_LOG", "it is a directory")
		}
	}
	return path
}

// CheckPlaces looks at where sockets and files will be made and at the addresses to
// listen on, and opens nothing. The error is an *Error with every mistake. It is
// not part of Load, because it tells of this host and this user, now.
func (c *Config) CheckPlaces() error {
	var wrong mistakes
	note := func(variable, accepts string) {
		wrong.found = append(wrong.found, Mistake{Variable: variable, Accepts: accepts})
	}
	c.EachListen(func(variable, name string, at Listen) {
		if problem := placeProblem(at); problem != "" {
			what := "an address"
			if name != "" {
				what = "a listen_addr of " + name
			}
			note(variable, what+" "+problem)
		}
	})
	if c.AuditLog != "" {
		place := c.AuditLog
		if _, err := os.Stat(place); err != nil {
			place = filepath.Dir(place)
		}
		info, err := os.Lstat(c.AuditLog)
		switch {
		case err == nil && info.Mode().Type() == fs.ModeSymlink:
			note("MONITE_AUDIT_LOG", "a file, and not a symbolic link")
		case err == nil && info.Mode().IsRegular() && info.Mode()&0o002 != 0:
			note("MONITE_AUDIT_LOG", "a file that not every user may write to")
		case !files.Writable(place):
			note("MONITE_AUDIT_LOG", "a file that this user may write")
		}
	}
	return wrong.err()
}

// EachListen calls do with every address to listen on: its variable, and the name of
// the identity whose address it is, empty for the others.
func (c *Config) EachListen(do func(variable, name string, at Listen)) {
	do("MONITE_LISTEN_ADDR", "", c.Listen)
	do("MONITE_ADMIN_ADDR", "", c.Admin)
	do("MONITE_VEND_ADDR", "", c.Vend)
	if c.Identities != nil {
		for _, i := range c.Identities.All {
			do("MONITE_IDENTITIES_FILE", i.Name, i.Listen)
		}
	}
}

// placeProblem says what the address should be and is not.
func placeProblem(at Listen) string {
	if at.Network != "unix" {
		if ip, _, all := at.split(); at.Network == "" || all || ip.IsLoopback() || isOfThisHost(ip) {
			return ""
		}
		return "that this host has"
	}
	folder := filepath.Dir(at.Address)
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "in a folder that exists: make the folder first"
	case err != nil || !info.IsDir():
		return "in a folder that this user may read"
	case !files.Writable(folder):
		return "in a folder that this user may write"
	}
	if info, err := os.Lstat(at.Address); err == nil && info.Mode().Type() != fs.ModeSocket {
		return "where nothing exists yet, or a socket: something else has that name"
	}
	return ""
}

// isOfThisHost reports whether an interface has the address. If they cannot be
// listed, it is for the listener to say.
func isOfThisHost(ip netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(all, func(one net.Addr) bool {
		prefix, err := netip.ParsePrefix(one.String())
		return err == nil && prefix.Addr().Unmap() == ip.WithZone("")
	})
}
