package admin

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

// Health serves the probes. All it looks at is inside this process.
type Health struct {
	Tokens Tokens
	// Listening is set once the data listener is open.
	Listening atomic.Bool
	// Draining is set when the process is asked to stop, and never unset.
	Draining atomic.Bool
}

func (h *Health) checks(withDraining bool) []CheckStatus {
	checks := []CheckStatus{{Name: "configuration"}, {Name: "listener"}, {Name: "token"}}
	if !h.Listening.Load() {
		checks[1].Problem = "the data listener is not open yet"
	}
	if !h.Tokens.Warmed() {
		checks[2].Problem = h.whyNoToken()
	}
	if withDraining {
		drain := CheckStatus{Name: "not draining"}
		if h.Draining.Load() {
			drain.Problem = "the process was asked to stop"
		}
		checks = append(checks, drain)
	}
	return checks
}

// whyNoToken says in words what the first mint ran into.
func (h *Health) whyNoToken() string {
	for _, s := range h.Tokens.Status() {
		if !s.Warm || s.LastFailure == nil {
			continue
		}
		return Explain(s.LastFailure, s.Grant.Type)
	}
	return "waiting for the first token"
}

// Ready reports whether the process is ready, and if not, why.
func (h *Health) Ready() (ready bool, problems []string) {
	for _, c := range h.checks(true) {
		if c.Problem != "" {
			problems = append(problems, c.Problem)
		}
	}
	return len(problems) == 0, problems
}

func (h *Health) live(w http.ResponseWriter, r *http.Request) {
	answer(w, r, []CheckStatus{{Name: "process"}})
}

func (h *Health) ready(w http.ResponseWriter, r *http.Request) { answer(w, r, h.checks(true)) }

// startup turns good once and stays so: a startupProbe runs until then only.
func (h *Health) startup(w http.ResponseWriter, r *http.Request) { answer(w, r, h.checks(false)) }

// answer uses the format of kube-apiserver's health endpoints.
func answer(w http.ResponseWriter, r *http.Request, checks []CheckStatus) {
	status, verdict := http.StatusOK, "ok"
	var lines strings.Builder
	for _, c := range checks {
		if c.Problem == "" {
			fmt.Fprintf(&lines, "[+] %s ok\n", c.Name)
			continue
		}
		status, verdict = http.StatusServiceUnavailable, "not ready"
		fmt.Fprintf(&lines, "[-] %s: %s\n", c.Name, c.Problem)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if _, verbose := r.URL.Query()["verbose"]; verbose || status != http.StatusOK {
		_, _ = fmt.Fprint(w, lines.String())
	}
	_, _ = fmt.Fprintln(w, verdict)
}
