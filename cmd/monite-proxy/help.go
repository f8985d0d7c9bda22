package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/monite-proxy/monite-proxy/config"
)

const usage = `monite-proxy: apps on this host call Monite's API without credentials.
All it needs is MONITE_CLIENT_ID and MONITE_CLIENT_SECRET.

Usage: monite-proxy [command]

  serve      run the sidecar (the default)
  run        start a sidecar on free ports, then a command that calls it:
             monite-proxy run -- npm test; it gets MONITE_API_URL, no secrets
  check      validate the configuration and print the effective one, redacted
  doctor     test each step on the way to Monite and say what is wrong; -json
  status     show what the running sidecar does; -watch, -unknown, -json
  health     ask the running sidecar: -live, -ready (default) or -startup
  wait       block until the running sidecar is ready, at most -timeout (30s)
  shutdown   ask the running sidecar to stop, where MONITE_QUIT_ENDPOINT is set
  version    print version, commit and Go version; also --version, -v
  help       print this, or explain one variable, topic or command

Exit codes: 0 success or clean stop, 1 failure at run time or drain timed out,
2 bad configuration or usage.

Environment variables by topic (an empty one counts as unset):

`

// help prints the usage, or what one variable or topic means.
func help(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		_, _ = fmt.Fprint(stdout, usage, config.Usage())
		return exitOK
	}
	code := exitOK
	for _, word := range args {
		if word == "-h" || word == "-help" || word == "--help" {
			word = "help"
		}
		if text := ofCommand(word); text != "" {
			_, _ = fmt.Fprint(stdout, text)
			continue
		}
		text, ok := config.Explain(word)
		if !ok {
			_, _ = fmt.Fprintf(stderr, "monite-proxy: %q: %s", word, text)
			code = exitUsage
			continue
		}
		_, _ = fmt.Fprint(stdout, text)
	}
	return code
}

// newFlags are those of a command, whose help is its lines of the usage and its flags.
func newFlags(name, arguments string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("monite-proxy "+name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprintf(stderr, "%s\nUsage: monite-proxy %s [flags]%s\n\n", ofCommand(name), name, arguments)
		flags.PrintDefaults()
	}
	return flags
}

// ofCommand returns the lines of the usage on one command; empty: there is none.
func ofCommand(name string) string {
	var found strings.Builder
	for line := range strings.Lines(usage) {
		begins := strings.HasPrefix(line, "  "+name+" ")
		if begins || found.Len() > 0 && strings.HasPrefix(line, "      ") {
			found.WriteString(line)
		} else if found.Len() > 0 {
			break
		}
	}
	return found.String()
}
