package main

import (
	"github.com/monite-proxy/monite-proxy/proxy/dial"
)

// resolverFolders are the folders to which resolv.conf may link while we run: VPN
// clients and network managers put a link in its place. They hold nothing else worth
// reading; all of /run would include secrets.
var resolverFolders = []string{
	"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/connman", "/run/netconfig", "/run/dhcpcd",
	"/usr/lib/systemd/resolv.conf", "/mnt/wsl",
}

// staleAddresses is told when upstream is reached by addresses of an earlier
// lookup.
func (s *sidecar) staleAddresses(stale dial.Stale) {
	line := s.log.Warn().Str("host", stale.Host).Float64("age_s", seconds(stale.Age))
	if stale.Err == nil {
		line.Msg("the name server is slow: using the addresses of an earlier lookup")
		return
	}
	line.AnErr("cause", stale.Err).Msg("the name cannot be looked up: using the addresses of an earlier lookup")
}
