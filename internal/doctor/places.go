package doctor

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
)

// checkPlaces checks, where no sidecar runs, whether one could start: its folders, and
// the ports that other programs have.
func (e *examination) checkPlaces() {
	if err := e.cfg.CheckPlaces(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			e.report.add(finding{Step: "places", Result: problem, What: line, Next: "a sidecar with these settings would not start here: correct the variable"})
		}
	}
	if e.cfg.Confine == "require" {
		e.checkLandlock()
	}
	for _, line := range Taken(e.cfg) {
		e.report.add(finding{Step: "places", Result: problem, What: line, Next: "stop that program, or choose another address: a sidecar would not start"})
	}
}

// checkLandlock is for MONITE_CONFINE=require, with which a sidecar does not start
// where it cannot be confined.
func (e *examination) checkLandlock() {
	inForce, err := e.confined()
	switch {
	case err != nil:
		e.report.add(finding{Step: "places", Result: problem, What: "MONITE_CONFINE is require, and a sidecar cannot be confined here", Why: err.Error(),
			Next: "use a kernel with Landlock, let the seccomp profile allow it, or set MONITE_CONFINE=auto"})
	case !inForce.Ports:
		e.report.add(finding{Step: "places", Result: problem, What: "MONITE_CONFINE is require, and this kernel confines files, but not connections",
			Next: "use Linux 6.7 or newer, or set MONITE_CONFINE=auto"})
	}
}

// Taken returns one line for each configured address on which a program listens.
func Taken(cfg *config.Config) (taken []string) {
	cfg.EachListen(func(variable, name string, at config.Listen) {
		if name != "" {
			variable += " as listen_addr of " + name
		}
		for _, address := range at.Addresses() {
			if strings.HasSuffix(address, ":0") || address == "" {
				continue
			}
			network, dialled := config.Listen{Network: at.Network, Address: address}.DialAddress()
			conn, err := net.DialTimeout(network, dialled, time.Second)
			if err != nil {
				continue
			}
			_ = conn.Close()
			taken = append(taken, fmt.Sprintf("%s: another program listens on %s", variable, address))
			return
		}
	})
	return taken
}
