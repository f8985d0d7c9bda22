package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/monite-proxy/monite-proxy/internal/admin/client"
)

// clearScreen moves the cursor to the top and clears the screen below, on any
// terminal of the last forty years.
const clearScreen = "\x1b[H\x1b[J"

// status prints /status of the running sidecar as a table.
func status(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("status", "", stderr)
	watch := flags.Bool("watch", false, "print it again every -every, until interrupted")
	every := flags.Duration("every", 2*time.Second, "with -watch")
	asJSON := flags.Bool("json", false, "print the JSON of /status as it is")
	unknown := flags.Bool("unknown", false, "print only the writes of unknown outcome: upstream may have executed them")
	if code, done := parse(flags, args, stderr); done {
		return code
	}
	table := client.Table
	if *unknown {
		table = client.UnknownWrites
	}
	if *every < 100*time.Millisecond {
		_, _ = fmt.Fprintln(stderr, "monite-proxy status: -every must be at least 100ms")
		return exitUsage
	}
	sidecar, err := client.New()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	for {
		text, err := sidecar.Ask(ctx, "GET", "/status")
		if err == nil && !*asJSON {
			text, err = table(text, viewOf(stdout, *watch))
		}
		if ctx.Err() != nil {
			return exitOK
		}
		switch {
		case err != nil && !*watch:
			_, _ = fmt.Fprintln(stderr, err)
			return exitFailure
		case err != nil:
			text = err.Error() // it may come back: that is worth watching
		case *asJSON && *watch:
			text = compact(text) // one line each
		}
		if *watch && !*asJSON && isTerminal(stdout) {
			text = clearScreen + text
		}
		if _, err := fmt.Fprintln(stdout, text); err != nil {
			return exitFailure // the reader has gone
		}
		if !*watch {
			return exitOK
		}
		select {
		case <-ctx.Done():
			return exitOK
		case <-time.After(*every):
		}
	}
}

// viewOf asks the terminal at each turn: it may have changed its size. The last
// line is left for the cursor.
func viewOf(out io.Writer, watch bool) client.View {
	if !isTerminal(out) {
		return client.View{}
	}
	view := client.View{Colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	width, height, err := term.GetSize(int(out.(interface{ Fd() uintptr }).Fd()))
	if err != nil {
		return view
	}
	view.Width = width
	if watch {
		view.Height = max(height-1, 1)
	}
	return view
}

func compact(text string) string {
	var line bytes.Buffer
	if json.Compact(&line, []byte(text)) != nil {
		return text
	}
	return line.String()
}
