package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/admin/client"
	"github.com/monite-proxy/monite-proxy/internal/doctor"
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
	taken := doctor.Taken(cfg)
	own := len(taken) > 0 && client.Runs(context.Background())
	table := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
	for _, setting := range cfg.Redacted() {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", setting.Name, cmp.Or(setting.Value, "-"), setting.Source)
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

// badConfiguration prints one line for each mistake.
func badConfiguration(stderr io.Writer, err error) int {
	_, _ = fmt.Fprintln(stderr, "monite-proxy: bad configuration")
	_, _ = fmt.Fprintln(stderr, err)
	return exitUsage
}
