package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/admin/client"
)

// wait blocks until the running sidecar is ready, for entrypoints of apps.
func wait(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("wait", "", stderr)
	timeout := flags.Duration("timeout", 30*time.Second, "how long to wait")
	if code, done := parse(flags, args, stderr); done {
		return code
	}
	if *timeout <= 0 {
		_, _ = fmt.Fprintln(stderr, "monite-proxy wait: -timeout must be positive")
		return exitUsage
	}
	sidecar, err := client.New()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	const pause = 100 * time.Millisecond
	last := error(nil)
	for {
		_, err := sidecar.Ask(ctx, "GET", "/readyz")
		if err == nil {
			_, _ = fmt.Fprintln(stdout, "ready")
			return exitOK
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			_, _ = fmt.Fprintf(stderr, "not ready after %v: %v\n", *timeout, last)
			return exitFailure
		case <-time.After(pause):
		}
	}
}
