package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/admin"
)

// shownRequests is how many of the last requests the table has.
const shownRequests = 10

// clearScreen moves to the top and clears what is below, on any terminal of
// the last forty years.
const clearScreen = "\x1b[H\x1b[J"

// status prints what the admin listener's /status says, as a table.
func status(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("monite-proxy status", flag.ContinueOnError)
	flags.SetOutput(stderr)
	watch := flags.Bool("watch", false, "print it again every -every, until interrupted")
	every := flags.Duration("every", 2*time.Second, "with -watch")
	asJSON := flags.Bool("json", false, "print the JSON of /status as it is")
	if code, done := parse(flags, args, stderr); done {
		return code
	}
	if *every < 100*time.Millisecond {
		_, _ = fmt.Fprintln(stderr, "monite-proxy status: -every must be at least 100ms")
		return exitUsage
	}
	client, err := newAdminClient()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	for {
		text, err := client.ask(ctx, "GET", "/status")
		if err == nil && !*asJSON {
			text, err = statusTable(text)
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
			return exitFailure // whom we print for has gone
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

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func compact(text string) string {
	var value json.RawMessage
	if json.Unmarshal([]byte(text), &value) != nil {
		return text
	}
	line, err := json.Marshal(value)
	if err != nil {
		return text
	}
	return string(line)
}

// statusTable turns the JSON into tables for people.
func statusTable(text string) (string, error) {
	var s admin.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return "", fmt.Errorf("what listens on MONITE_ADMIN_ADDR is no monite-proxy: %w", err)
	}
	var out strings.Builder
	line := func(format string, values ...any) { _, _ = fmt.Fprintf(&out, format, values...) }
	environment := plain(s.Environment)
	if s.Production {
		environment += " (PRODUCTION)"
	}
	line("monite-proxy %s  %s  %s  up %s\n", plain(s.Version), environment, plain(s.Upstream), shortSeconds(s.Uptime))
	if s.Ready {
		line("ready")
	} else {
		line("NOT READY: %s", plain(strings.Join(s.Problems, "; ")))
	}
	if c := s.Credentials; c != nil && c.NewPair != "none" {
		line("\nCREDENTIALS: %s", plain(c.Summary))
		if c.Reason != "" {
			line(" (%s, %d tries, next in %s)", plain(c.Reason), c.Tries, shortSeconds(c.RetryIn))
		}
	}
	t := s.Traffic
	line("\n%d in flight; last %s: %d requests, %.2f/s, %.1f %% errors, p50 %s, p95 %s\n\n",
		s.InFlight, shortSeconds(t.Window), t.Requests, t.PerSecond, 100*t.ErrorRate, shortSeconds(t.P50), shortSeconds(t.P95))

	table := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) }
	row("IDENTITY", "USER", "STATE", "AGE", "REFRESH IN", "LEFT", "MINTS", "FAILED", "LAST ERROR")
	for _, one := range s.Identities {
		name, age, refresh, left := one.GrantType, shortSeconds(one.Age), shortSeconds(one.RefreshIn), shortSeconds(one.Left)
		if one.Default {
			name += " (default)"
		}
		if one.State == "missing" {
			age, refresh, left = "-", "-", "-"
		}
		row(plain(name), orDash(plain(one.UserHash)), plain(one.State), age, refresh, left, fmt.Sprint(one.Mints), fmt.Sprint(one.Failures), lastError(one.LastError))
	}
	_ = table.Flush()
	if s.IdentitiesTruncated {
		line("%d of %d identities: the default, those with trouble, and those used last\n", len(s.Identities), s.IdentitiesTotal)
	}
	namedTable(s.Named, line, row)
	_ = table.Flush()
	if len(s.Requests) > 0 {
		line("\n")
		row("TIME", "METHOD", "ROUTE", "STATUS", "ORIGIN", "UPSTREAM", "WAITED", "NOTES", "REQUEST ID")
		for _, r := range s.Requests[:min(len(s.Requests), shownRequests)] {
			row(r.At.Format("15:04:05"), plain(r.Method), plain(r.Route), fmt.Sprint(r.Status), plain(r.Origin),
				shortSeconds(r.Upstream), shortSeconds(r.TokenWait), orDash(plain(notes(r))), plain(r.RequestID))
		}
		_ = table.Flush()
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// namedTable tells of the identities file.
func namedTable(named *admin.NamedStatus, line func(string, ...any), row func(...string)) {
	if named == nil {
		return
	}
	line("\n")
	if named.Stale {
		line("The identities file was changed and cannot be used: these are of before. The log has every mistake.\n")
	}
	row("NAMED", "GRANT", "USER", "ENTITY", "MAY CALL", "REQUESTS", "REACHED BY")
	for _, one := range named.All {
		access := one.Access
		if one.ReadOnly {
			access += ", read only"
		}
		if one.AuditOnly {
			access += ", on trial"
		}
		row(plain(one.Name), plain(one.GrantType), orDash(plain(one.UserHash)), plain(one.Entities), plain(access), fmt.Sprint(one.Requests),
			orDash(plain(strings.Join(one.Ways, "; "))))
	}
}

func lastError(e *admin.ErrorStatus) string {
	if e == nil {
		return "-"
	}
	text := plain(e.Reason)
	if e.Status != 0 {
		text += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.RetryIn > 0 {
		text += ", next try in " + shortSeconds(e.RetryIn)
	}
	return text
}

func notes(r admin.RequestStatus) string {
	var all []string
	for _, note := range []struct {
		text string
		is   bool
	}{
		{r.ErrorType, r.ErrorType != ""}, {r.Outcome, r.Outcome != ""}, {"replayed", r.Replay != ""}, {"retried", r.Retried}, {"cut off", r.Aborted},
	} {
		if note.is {
			all = append(all, note.text)
		}
	}
	return strings.Join(all, ", ")
}

// plain keeps what came over the network from speaking to the terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// shortSeconds writes 1m23s, 4.1s, 12ms.
func shortSeconds(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d.Abs() >= time.Minute:
		d = d.Round(time.Second)
	case d.Abs() >= time.Second:
		d = d.Round(100 * time.Millisecond)
	case d.Abs() >= 10*time.Millisecond:
		d = d.Round(time.Millisecond)
	default:
		d = d.Round(100 * time.Microsecond)
	}
	return d.String()
}
