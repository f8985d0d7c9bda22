package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/admin/client"
	"github.com/monite-proxy/monite-proxy/internal/named"
)

// check validates the configuration as serve would. It opens nothing, but looks at
// the places where serve would, and whether another program has them already.
func check(stdout, stderr io.Writer) int {
	cfg, err := config.Load()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	if err := cfg.CheckPlaces(); err != nil {
		return badConfiguration(stderr, err)
	}
	taken := takenAddresses(cfg)
	own := len(taken) > 0 && sidecarRuns()
	table := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
	for _, setting := range cfg.Redacted() {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", setting.Name, orDash(setting.Value), setting.Source)
	}
	_ = table.Flush()
	named.Print(stdout, cfg.Identities)
	for _, warning := range cfg.Warnings {
		_, _ = fmt.Fprintf(stdout, "warning: %s\n", warning)
	}
	for _, one := range taken {
		if !own { // no fault of the configuration, but no start either
			_, _ = fmt.Fprintf(stdout, "warning: %s\n", one)
		}
	}
	if own {
		_, _ = fmt.Fprintln(stdout, "note: a running monite-proxy has these addresses, so a second one could not start")
	}
	_, _ = fmt.Fprintf(stdout, "a request without an identity header acts %s\nconfiguration is valid\n", cfg.ActsAs())
	return exitOK
}

// takenAddresses returns one line for each address on which another program listens.
func takenAddresses(cfg *config.Config) (taken []string) {
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

// sidecarRuns reports whether a monite-proxy responds on the admin listener.
func sidecarRuns() bool {
	sidecar, err := client.New()
	if err != nil {
		return false
	}
	text, err := sidecar.Ask(context.Background(), http.MethodGet, "/readyz?verbose")
	return err == nil || strings.Contains(text, "] listener")
}

// badConfiguration prints one line for each mistake.
func badConfiguration(stderr io.Writer, err error) int {
	_, _ = fmt.Fprintln(stderr, "monite-proxy: bad configuration")
	_, _ = fmt.Fprintln(stderr, err)
	return exitUsage
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
