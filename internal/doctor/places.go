package doctor

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
)

// checkPlaces looks, where no sidecar runs, whether one could start: its folders,
// and the ports that somebody else has.
func (e *examination) checkPlaces() {
	if err := e.cfg.CheckPlaces(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			e.report.add(finding{Step: "places", Result: problem, What: line, Next: "a sidecar with these settings would not start here: correct the variable"})
		}
	}
	for _, line := range Taken(e.cfg) {
		e.report.add(finding{Step: "places", Result: problem, What: line, Next: "stop that program, or choose another address: a sidecar would not start"})
	}
}

// Taken has one line for each address on which somebody listens.
func Taken(cfg *config.Config) (taken []string) {
	look := func(variable, of string, at config.Listen) {
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
			taken = append(taken, fmt.Sprintf("%s%s: another program listens on %s", variable, of, address))
			return
		}
	}
	look("MONITE_LISTEN_ADDR", "", cfg.Listen)
	look("MONITE_ADMIN_ADDR", "", cfg.Admin)
	look("MONITE_VEND_ADDR", "", cfg.Vend)
	if cfg.Identities != nil {
		for _, one := range cfg.Identities.All {
			look("MONITE_IDENTITIES_FILE", " as listen_addr of "+one.Name, one.Listen)
		}
	}
	return taken
}
