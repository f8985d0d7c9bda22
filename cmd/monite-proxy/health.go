package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/monite-proxy/monite-proxy/internal/admin/client"
)

// health asks one probe of the running sidecar, for HEALTHCHECK and exec probes.
func health(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("health", "", stderr)
	live := flags.Bool("live", false, "ask whether the process is alive")
	ready := flags.Bool("ready", false, "ask whether it is ready for requests (the default)")
	startup := flags.Bool("startup", false, "ask whether it has started")
	if code, done := parse(flags, args, stderr); done {
		return code
	}
	path, asked := "/readyz", 0
	for probe, wanted := range map[string]bool{"/livez": *live, "/readyz": *ready, "/startupz": *startup} {
		if wanted {
			path = probe
			asked++
		}
	}
	if asked > 1 {
		_, _ = fmt.Fprintln(stderr, "monite-proxy health: give one of -live, -ready, -startup")
		return exitUsage
	}
	sidecar, err := client.New()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	text, err := sidecar.Ask(context.Background(), "GET", path)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailure
	}
	_, _ = fmt.Fprintln(stdout, client.Shown(text))
	return exitOK
}

// parse reads flags; done means that the command ends with code.
func parse(flags *flag.FlagSet, args []string, stderr io.Writer) (code int, done bool) {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK, true
		}
		return exitUsage, true
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(stderr, "%s: unexpected argument %q\n", flags.Name(), flags.Arg(0))
		return exitUsage, true
	}
	return 0, false
}
