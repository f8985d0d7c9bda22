package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/admin"
)

// shownRequests is how many of the last requests the table has.
const shownRequests = 10

// Table turns the JSON of /status into tables for people.
func Table(text string) (string, error) {
	var s admin.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return "", fmt.Errorf("what listens on MONITE_ADMIN_ADDR is not a monite-proxy: %w", err)
	}
	var out strings.Builder
	line := func(format string, values ...any) { _, _ = fmt.Fprintf(&out, format, values...) }
	environment := TermSafe(s.Environment)
	if s.Production {
		environment += " (PRODUCTION)"
	}
	line("monite-proxy %s  %s  %s  up %s\n", TermSafe(s.Version), environment, TermSafe(s.Upstream), ShortSeconds(s.Uptime))
	if s.Ready {
		line("ready")
	} else {
		line("NOT READY: %s", TermSafe(strings.Join(s.Problems, "; ")))
	}
	if c := s.Credentials; c != nil && c.NewPair != "none" {
		line("\nCREDENTIALS: %s", TermSafe(c.Summary))
		if c.Reason != "" {
			line(" (%s, %d tries, next in %s)", TermSafe(c.Reason), c.Tries, ShortSeconds(c.RetryIn))
		}
	}
	t := s.Traffic
	line("\n%d in flight; last %s: %d requests, %.2f/s, %.1f %% errors, p50 %s, p95 %s\n\n",
		s.InFlight, ShortSeconds(t.Window), t.Requests, t.PerSecond, 100*t.ErrorRate, ShortSeconds(t.P50), ShortSeconds(t.P95))

	table := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) }
	row("IDENTITY", "USER", "STATE", "AGE", "REFRESH IN", "LEFT", "MINTS", "FAILED", "LAST ERROR")
	for _, one := range s.Identities {
		name, age, refresh, left := one.GrantType, ShortSeconds(one.Age), ShortSeconds(one.RefreshIn), ShortSeconds(one.Left)
		if one.Default {
			name += " (default)"
		}
		if one.State == "missing" {
			age, refresh, left = "-", "-", "-"
		}
		row(TermSafe(name), orDash(TermSafe(one.UserHash)), TermSafe(one.State), age, refresh, left, fmt.Sprint(one.Mints), fmt.Sprint(one.Failures), lastError(one.LastError))
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
			row(r.At.Format("15:04:05"), TermSafe(r.Method), TermSafe(r.Route), fmt.Sprint(r.Status), TermSafe(r.Origin),
				ShortSeconds(r.Upstream), ShortSeconds(r.TokenWait), orDash(TermSafe(notes(r))), TermSafe(r.RequestID))
		}
		_ = table.Flush()
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// namedTable shows the identities file.
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
		row(TermSafe(one.Name), TermSafe(one.GrantType), orDash(TermSafe(one.UserHash)), TermSafe(one.Entities), TermSafe(access), fmt.Sprint(one.Requests),
			orDash(TermSafe(strings.Join(one.Ways, "; "))))
	}
}

func lastError(e *admin.ErrorStatus) string {
	if e == nil {
		return "-"
	}
	text := TermSafe(e.Reason)
	if e.Status != 0 {
		text += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.RetryIn > 0 {
		text += ", next try in " + ShortSeconds(e.RetryIn)
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

// ShortSeconds writes seconds in three digits: 4.12ms, 45.6ms, 1.23s, 12.3s; from a
// minute on as 1m23s.
func ShortSeconds(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	digit := time.Second
	if d.Abs() < time.Minute {
		for digit = time.Nanosecond; d.Abs()/digit >= 1000; digit *= 10 {
		}
		digit = max(digit, time.Microsecond)
	}
	return d.Round(digit).String()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
