package doctor

import (
	"fmt"
	"strings"

	"github.com/monite-proxy/monite-proxy/internal/admin/client"
)

// Results of a step. Only a problem is a reason to exit with 1.
const (
	fine    = "ok"
	note    = "note"
	problem = "problem"
	skipped = "skipped"
)

// finding is the result of one step, in words that can be pasted anywhere: without
// secrets, tokens and whole ids, and without text that upstream wrote.
type finding struct {
	Step   string  `json:"step"`
	Result string  `json:"result"`
	What   string  `json:"what"`           // what was seen
	Why    string  `json:"why,omitempty"`  // the probable cause
	Next   string  `json:"next,omitempty"` // what to do
	Took   float64 `json:"took_seconds"`
}

// Report is the result of all steps; -json prints it as JSON.
type Report struct {
	Version     string `json:"version"`
	Environment string `json:"environment,omitempty"`
	Upstream    string `json:"upstream,omitempty"`
	GrantType   string `json:"grant_type,omitempty"`
	// ActsAs says the identity of a request that does not name one.
	ActsAs   string    `json:"acts_as,omitempty"`
	Findings []finding `json:"findings"`
	Problems int       `json:"problems"`
}

func (r *Report) add(f finding) {
	r.Findings = append(r.Findings, f)
	if f.Result == problem {
		r.Problems++
	}
}

// Misconfigured reports the mistakes of a configuration that cannot be loaded.
func Misconfigured(version string, err error) Report {
	found := Report{Version: version}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		found.add(finding{Step: "configuration", Result: problem, What: line, Next: "correct the variable; 'monite-proxy check' lists all of them"})
	}
	return found
}

// Text is the report for people, and for pasting.
func (r *Report) Text() string {
	var out strings.Builder
	_, _ = fmt.Fprintf(&out, "monite-proxy doctor, version %s\n", r.Version)
	if r.Upstream != "" {
		_, _ = fmt.Fprintf(&out, "environment %s, upstream %s, default grant %s\na request without an identity header acts %s\n",
			r.Environment, r.Upstream, r.GrantType, r.ActsAs)
	}
	out.WriteByte('\n')
	for _, f := range r.Findings {
		_, _ = fmt.Fprintf(&out, "%-9s %-13s %s", "["+f.Result+"]", f.Step, f.What)
		if f.Took > 0 {
			_, _ = fmt.Fprintf(&out, " (%s)", client.ShortSeconds(f.Took))
		}
		out.WriteByte('\n')
		if f.Why != "" {
			_, _ = fmt.Fprintf(&out, "%24swhy:  %s\n", "", f.Why)
		}
		if f.Next != "" {
			_, _ = fmt.Fprintf(&out, "%24snext: %s\n", "", f.Next)
		}
	}
	out.WriteString("\n" + r.verdict() + "\n")
	return out.String()
}

func (r *Report) verdict() string {
	notes := 0
	for _, f := range r.Findings {
		if f.Result == note {
			notes++
		}
	}
	text := count(r.Problems, "problem") + " found"
	if notes > 0 {
		text += ", " + count(notes, "note")
	}
	return text
}

func count(n int, of string) string {
	switch n {
	case 0:
		return "no " + of
	case 1:
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
