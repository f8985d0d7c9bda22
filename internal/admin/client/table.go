package client

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/admin"
)

// View describes the terminal that the tables are for. The zero value: a file,
// without limits.
type View struct {
	Width, Height int  // of the terminal, in characters and lines; 0: no limit
	Colour        bool // by the sequences of ANSI terminals
}

// shownRequests is the number of requests in a table that does not go to a terminal.
const shownRequests = 10

// wide is from where on a line has room for what can be looked up elsewhere.
const wide = 110

// line is one line of the output.
type line struct{ text, colour string }

// Colours are background-free, so that they can be read on black and on white.
const (
	plain  = ""
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	bold   = "\x1b[1m"
	reset  = "\x1b[0m"
)

// Table turns the JSON of /status into tables for people: one line for each grant,
// identity and request.
func Table(text string, view View) (string, error) {
	var s admin.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return "", fmt.Errorf("the program that listens on MONITE_ADMIN_ADDR is not a monite-proxy: %w", err)
	}
	all := view.fit(head(&s), tokenTable(&s), namedTable(s.Named), requestTable(&s, view))
	var out strings.Builder
	for i, one := range all {
		if i > 0 {
			out.WriteByte('\n')
		}
		if view.Width > 0 && len(one.text) > view.Width {
			one.text = one.text[:view.Width-1] + ">" // ASCII throughout: see TermSafe
		}
		if view.Colour && one.colour != plain {
			one.text = one.colour + one.text + reset
		}
		out.WriteString(one.text)
	}
	return out.String(), nil
}

// fit puts the parts below each other, in as many lines as there are. The tables
// begin with a heading; the last one gets what the others leave.
func (v View) fit(parts ...[]line) (all []line) {
	left := v.Height
	for i, part := range parts {
		if len(part) == 0 {
			continue
		}
		if i > 0 {
			all, left = append(all, line{}), left-1
		}
		room := len(part)
		if v.Height > 0 && i > 0 {
			room = left
			if i < len(parts)-1 {
				room = max(left/3, 3)
			}
		}
		if v.Height > 0 && len(part) > room {
			more := fmt.Sprintf("... and %d more", len(part)-max(room-1, 1))
			part = append(slices.Clone(part[:max(room-1, 1)]), line{text: more})
			if i == len(parts)-1 {
				part = part[:len(part)-1] // the oldest requests
			}
		}
		all, left = append(all, part...), left-len(part)
	}
	if v.Height > 0 {
		all = all[:min(len(all), v.Height)]
	}
	return all
}

func head(s *admin.Status) (all []line) {
	say := func(colour, format string, values ...any) {
		all = append(all, line{fmt.Sprintf(format, values...), colour})
	}
	environment := TermSafe(s.Environment)
	if s.Production {
		environment += " (PRODUCTION)"
	}
	say(bold, "monite-proxy %s  %s  %s  up %s", TermSafe(s.Version), environment, TermSafe(s.Upstream), ShortSeconds(s.Uptime))
	if s.Ready {
		say(green, "ready")
	} else {
		say(red, "NOT READY: %s", TermSafe(strings.Join(s.Problems, "; ")))
	}
	if t := s.UpstreamTrouble; t != nil {
		say(red, "UPSTREAM: %s; failed requests: %d in %s, the last %s ago", TermSafe(t.What), t.Requests, ShortSeconds(t.Since), ShortSeconds(t.Last))
	}
	if c := s.Credentials; c != nil && c.NewPair != "none" {
		text := "CREDENTIALS: " + TermSafe(c.Summary)
		if c.Reason != "" {
			text += fmt.Sprintf(" (%s, %d tries, next in %s)", TermSafe(c.Reason), c.Tries, ShortSeconds(c.RetryIn))
		}
		say(red, "%s", text)
	}
	if s.UnknownWritesTotal > 0 {
		say(red, "%d WRITES OF UNKNOWN OUTCOME: monite-proxy status -unknown lists them", s.UnknownWritesTotal)
	}
	if shared := s.Shared; shared != nil && shared.State != "unknown" {
		colour, text := plain, "shared with other replicas: "+TermSafe(shared.State)
		if shared.State != "up" {
			colour, text = red, text+" ("+TermSafe(shared.LastError)+")"
		}
		say(colour, "%s", text)
	}
	t := s.Traffic
	say(plain, "%d in flight; last %s: %d requests, %.2f/s, %.1f %% errors, p50 %s, p95 %s",
		s.InFlight, ShortSeconds(t.Window), t.Requests, t.PerSecond, 100*t.ErrorRate, ShortSeconds(t.P50), ShortSeconds(t.P95))
	return all
}

// table aligns the cells of rows, of which the first has the headings.
type table struct {
	out     strings.Builder
	colours []string
	cells   *tabwriter.Writer
}

func newTable(headings ...string) *table {
	t := &table{}
	t.cells = tabwriter.NewWriter(&t.out, 0, 8, 2, ' ', 0)
	t.row(bold, headings...)
	return t
}

func (t *table) row(colour string, cells ...string) {
	t.colours = append(t.colours, colour)
	_, _ = fmt.Fprintln(t.cells, strings.Join(cells, "\t"))
}

func (t *table) lines() (all []line) {
	_ = t.cells.Flush()
	for i, text := range strings.Split(strings.TrimSuffix(t.out.String(), "\n"), "\n") {
		all = append(all, line{strings.TrimRight(text, " "), t.colours[i]})
	}
	return all
}

// tokenTable has one line for each cached grant.
func tokenTable(s *admin.Status) []line {
	t := newTable("TOKEN OF", "GRANT", "USER", "STATE", "AGE", "REFRESH IN", "LEFT", "MINTS", "FAILED", "LAST ERROR")
	for _, one := range s.Identities {
		age, refresh, left := ShortSeconds(one.Age), ShortSeconds(one.RefreshIn), ShortSeconds(one.Left)
		if one.State == "missing" {
			age, refresh, left = "-", "-", "-"
		}
		colour := plain
		if one.LastError != nil {
			colour = red
		}
		t.row(colour, cmp.Or(TermSafe(strings.Join(one.Names, ",")), "-"), TermSafe(one.GrantType), cmp.Or(TermSafe(one.UserHash), "-"), TermSafe(one.State), age, refresh, left,
			fmt.Sprint(one.Mints), fmt.Sprint(one.Failures), lastError(one.LastError))
	}
	all := t.lines()
	if s.IdentitiesTruncated {
		all = append(all, line{text: fmt.Sprintf("%d of %d cached grants: the default, those with trouble, and those used last", len(s.Identities), s.IdentitiesTotal)})
	}
	return all
}

// requestTable has one line for each of the last requests, the newest first.
func requestTable(s *admin.Status, view View) []line {
	if len(s.Requests) == 0 {
		return nil
	}
	headings := []string{"TIME", "IDENTITY", "METHOD", "ROUTE", "STATUS", "UPSTREAM", "NOTES"}
	roomy := view.Width == 0 || view.Width >= wide
	if roomy {
		headings = []string{"TIME", "IDENTITY", "METHOD", "ROUTE", "STATUS", "ORIGIN", "UPSTREAM", "WAITED", "NOTES", "REQUEST ID"}
	}
	t := newTable(headings...)
	most := shownRequests
	if view.Height > 0 {
		most = view.Height
	}
	for _, r := range s.Requests[:min(len(s.Requests), most)] {
		colour := plain
		switch {
		case r.Status >= 500 || r.Aborted:
			colour = red
		case r.Status >= 400:
			colour = yellow
		}
		cells := []string{r.At.Format("15:04:05"), cmp.Or(TermSafe(r.Identity), "-"), TermSafe(r.Method), TermSafe(r.Route), fmt.Sprint(r.Status)}
		if roomy {
			cells = append(cells, TermSafe(r.Origin), ShortSeconds(r.Upstream), ShortSeconds(r.TokenWait), cmp.Or(TermSafe(notes(r)), "-"), TermSafe(r.RequestID))
		} else {
			cells = append(cells, ShortSeconds(r.Upstream), cmp.Or(TermSafe(notes(r)), "-"))
		}
		t.row(colour, cells...)
	}
	return t.lines()
}

// UnknownWrites turns the JSON of /status into the list of writes that upstream may
// have executed.
func UnknownWrites(text string, _ View) (string, error) {
	var s admin.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return "", fmt.Errorf("the program that listens on MONITE_ADMIN_ADDR is not a monite-proxy: %w", err)
	}
	if len(s.UnknownWrites) == 0 {
		return "no writes of unknown outcome", nil
	}
	var out strings.Builder
	t := newTable("TIME (UTC)", "METHOD", "ROUTE", "STATUS", "KEY", "REQUEST ID")
	for _, w := range s.UnknownWrites {
		status, key := "-", "-"
		if w.Status != 0 {
			status = fmt.Sprint(w.Status)
		}
		if w.Keyed {
			key = "yes"
		}
		t.row(plain, w.At.UTC().Format("2006-01-02 15:04:05"), TermSafe(w.Method), TermSafe(w.Route), status, key, TermSafe(w.RequestID))
	}
	for _, one := range t.lines() {
		out.WriteString(one.text + "\n")
	}
	_, _ = fmt.Fprintf(&out, "%d in all. Read each resource in Monite. If a write was not executed, let the app send it again: POST /writes/REQUEST_ID/forget on the admin listener.", s.UnknownWritesTotal)
	return out.String(), nil
}

// namedTable shows the identities file.
func namedTable(named *admin.NamedStatus) []line {
	if named == nil {
		return nil
	}
	t := newTable("NAMED", "GRANT", "USER", "ENTITY", "MAY CALL", "REQUESTS", "REACHED BY")
	for _, one := range named.All {
		access := one.Access
		if one.ReadOnly {
			access += ", read only"
		}
		if one.AuditOnly {
			access += ", on trial"
		}
		t.row(plain, TermSafe(one.Name), TermSafe(one.GrantType), cmp.Or(TermSafe(one.UserHash), "-"), TermSafe(one.Entities), TermSafe(access), fmt.Sprint(one.Requests),
			cmp.Or(TermSafe(strings.Join(one.Ways, "; ")), "-"))
	}
	all := t.lines()
	if named.Stale {
		all = append([]line{{"The changed identities file cannot be used, so these are the old identities. The log lists every mistake.", red}}, all...)
	}
	return all
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
