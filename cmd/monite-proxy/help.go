package main

import (
	"fmt"
	"io"

	"github.com/monite-proxy/monite-proxy/config"
)

const usage = `monite-proxy: apps call localhost without credentials, and Monite answers.

Usage: monite-proxy [command]

  serve      run the sidecar (the default)
  check      validate the configuration and print the effective one, redacted
  doctor     try everything on the way to Monite, and say what is wrong; -json
  status     what the running sidecar does, as a table; -watch, -json
  health     ask the running sidecar: -live, -ready (default) or -startup
  wait       block until the running sidecar is ready, at most -timeout (30s)
  shutdown   ask the running sidecar to drain and stop (MONITE_QUIT_ENDPOINT=true)
  version    print version, commit and Go version
  help       print this

Exit codes: 0 success or clean stop, 1 failure at run time or drain timed out,
2 bad configuration or usage.

Environment variables (an empty one counts as unset):

`

func help(stdout io.Writer) int {
	_, _ = fmt.Fprint(stdout, usage, config.Usage())
	return exitOK
}
