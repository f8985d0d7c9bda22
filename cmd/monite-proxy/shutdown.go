package main

import (
	"context"
	"fmt"
	"io"
)

// shutdown asks the running sidecar to drain and stop, for Jobs whose sidecar
// would otherwise run for ever.
func shutdown(stdout, stderr io.Writer) int {
	client, err := newAdminClient()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	if _, err := client.ask(context.Background(), "POST", "/quitquitquit"); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailure
	}
	_, _ = fmt.Fprintln(stdout, "draining")
	return exitOK
}
