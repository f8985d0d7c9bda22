package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/confine"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// confine drops every right that the process no longer needs once its listeners
// are open.
func (s *sidecar) confine() error {
	if s.cfg.Confine == "off" {
		return nil
	}
	// The time zone is read once and kept, as the system's roots are. Later it may be
	// out of reach: its link may lead anywhere.
	_ = time.Now().Local().String()

	r := rules(s.cfg)
	r.Ports = append(r.Ports, s.masterPort()...)
	inForce, err := confine.Apply(r)
	switch required := s.cfg.Confine == "require"; {
	case errors.Is(err, confine.ErrUnsupported) && !required:
		s.log.Info().Str("reason", err.Error()).Msg("not confined")
		return nil
	case err != nil && !required:
		s.log.Warn().Err(err).Msg("not confined")
		return nil
	case err != nil:
		return fmt.Errorf("MONITE_CONFINE: %w", err)
	case required && !inForce.Ports:
		return errors.New("MONITE_CONFINE: this kernel confines files, but not connections")
	}
	s.log.Info().Int("landlock_abi", inForce.ABI).Bool("ports", inForce.Ports).Msg("confined")
	return nil
}

// resolverFiles are files that the resolver reads again when they change. They
// make all of /etc readable: a resolv.conf that was replaced is another file.
var resolverFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"}

// resolverFolders are the folders to which resolv.conf may link while we run: VPN
// clients and network managers put a link in its place. They hold nothing else worth
// reading; all of /run would include secrets.
var resolverFolders = []string{
	"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/connman", "/run/netconfig", "/run/dhcpcd",
	"/usr/lib/systemd/resolv.conf", "/mnt/wsl",
}

// rules returns the rights that the process needs until its end.
func rules(cfg *config.Config) confine.Rules {
	// /proc is for the process's own metrics, port 53 for DNS responses that are too
	// long for UDP.
	r := confine.Rules{Read: []string{"/proc/self", "/proc/stat"}, Ports: []uint16{53}}
	for _, path := range append(cfg.FollowedFiles(), resolverFiles...) {
		r.Read = append(r.Read, whereItLives(path)...)
	}
	r.Read = append(r.Read, resolverFolders...)
	// The service manager's socket may be an abstract one.
	r.AbstractSockets = strings.HasPrefix(os.Getenv("NOTIFY_SOCKET"), "@")
	listens := []config.Listen{cfg.Listen, cfg.Admin, cfg.Vend}
	if cfg.Identities != nil {
		// A later file may name a socket in another directory. It cannot be opened, and
		// that file is refused.
		for _, identity := range cfg.Identities.All {
			listens = append(listens, identity.Listen)
		}
	}
	for _, at := range listens {
		if at.Network == "unix" {
			r.Sockets = append(r.Sockets, filepath.Dir(at.Address))
		}
	}
	if cfg.AuditLog != "" {
		r.Write = append(r.Write, filepath.Dir(cfg.AuditLog)) // a rotated one is another file
	}
	r.Ports = append(r.Ports, portOf(cfg.Upstream))
	if cfg.Traces != nil {
		r.Ports = append(r.Ports, portOf(cfg.Traces.Endpoint))
	}
	if cfg.Redis != nil {
		r.Ports = append(r.Ports, cfg.Redis.Ports()...) // a unix socket needs no rule
	}
	if cfg.ProxyFromEnv {
		env := httpproxy.FromEnvironment()
		for _, text := range []string{env.HTTPSProxy, env.HTTPProxy} {
			if proxy, err := proxyURL(text); err == nil && text != "" {
				r.Ports = append(r.Ports, portOf(proxy))
			}
		}
	}
	return r
}

// whereItLives returns the directories in which the file can be replaced by
// another one: its own, and that of the file that a link leads to. A file in the
// root directory is allowed alone: a rule for its directory would allow everything.
func whereItLives(path string) []string {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	places := []string{path}
	if led, err := filepath.EvalSymlinks(path); err == nil {
		places = append(places, led)
	}
	for i, place := range places {
		if directory := filepath.Dir(place); directory != "/" {
			places[i] = directory
		}
	}
	return places
}

// proxyURL reads HTTPS_PROXY, which may be without a scheme.
func proxyURL(text string) (*url.URL, error) {
	at, err := url.Parse(text)
	if err == nil && at.Host != "" {
		return at, nil
	}
	return url.Parse("http://" + text)
}

// portOf is the port that a connection to that origin goes to; 0 if it is none.
func portOf(origin *url.URL) uint16 {
	port, err := strconv.ParseUint(upstream.Port(origin), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}
