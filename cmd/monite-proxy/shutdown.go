package main

import (
	"context"
	"fmt"
	"io"

	"github.com/monite-proxy/monite-proxy/internal/admin/client"
)

// shutdown asks the running sidecar to drain and stop, for Jobs whose sidecar
// would otherwise run for ever.
func shutdown(stdout, stderr io.Writer) int {
	sidecar, err := client.New()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	if _, err := sidecar.Ask(context.Background(), "POST", "/quitquitquit"); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailure
	}
	_, _ = fmt.Fprintln(stdout, "draining")
	return exitOK
}
