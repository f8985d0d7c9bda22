package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/named"
)

// check validates the configuration as serve would. It opens nothing, but looks at
// the places where serve would.
func check(stdout, stderr io.Writer) int {
	cfg, err := config.Load()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	if err := cfg.CheckPlaces(); err != nil {
		return badConfiguration(stderr, err)
	}
	table := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
	for _, setting := range cfg.Redacted() {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", setting.Name, orDash(setting.Value), setting.Source)
	}
	_ = table.Flush()
	named.Print(stdout, cfg.Identities)
	for _, warning := range cfg.Warnings {
		_, _ = fmt.Fprintf(stdout, "warning: %s\n", warning)
	}
	_, _ = fmt.Fprintln(stdout, "configuration is valid")
	return exitOK
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
