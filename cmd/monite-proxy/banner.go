package main

import (
	"fmt"
	"io"
	"net"
	"strings"

	"golang.org/x/term"

	"github.com/monite-proxy/monite-proxy/config"
)

// forPeople reports whether a person reads the log: it is in the console format, or
// goes to a terminal and JSON was not asked for.
func forPeople(cfg *config.Config, out io.Writer) bool {
	if cfg.LogFormat == "console" {
		return true
	}
	for _, setting := range cfg.Redacted() {
		if setting.Name == "MONITE_LOG_FORMAT" && setting.Source != "default" {
			return false
		}
	}
	return isTerminal(out)
}

// isTerminal reports whether out is a terminal.
func isTerminal(out io.Writer) bool {
	file, ok := out.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(file.Fd()))
}

// banner says to people what they can do now. The listeners are open.
func (s *sidecar) banner() string {
	var text strings.Builder
	line := func(what, how string) { fmt.Fprintf(&text, " %-18s %s\n", what, how) }
	rule := strings.Repeat("=", 78)
	base := s.baseURL()
	fmt.Fprintf(&text, "\n%s\n", rule)
	line("apps call", base+", without credentials")
	if tcp := !strings.HasPrefix(base, "unix:"); tcp {
		token := ""
		if !s.cfg.AppToken().IsZero() {
			token = `-H "X-Monite-Proxy-Token: $MONITE_APP_TOKEN" `
		}
		line("try", "curl -sS "+token+base+s.firstCall())
	} else {
		line("try", "curl -sS --unix-socket "+strings.TrimPrefix(base, "unix:")+" http://localhost/v1"+s.firstCall())
	}
	line("a request acts", s.cfg.ActsAs())
	line("upstream", s.cfg.Upstream.String()+" ("+s.cfg.Environment+")")
	admin := s.admin.address()
	if host, port, err := net.SplitHostPort(admin); err == nil && s.cfg.StatusPage {
		if s.cfg.Admin.Localhost {
			host = "localhost"
		}
		line("the page", "http://"+net.JoinHostPort(host, port)+"/")
	}
	with := ""
	if s.cfg.Admin.String() != "localhost:8081" {
		with = "MONITE_ADMIN_ADDR=" + admin + " "
	}
	line("in a terminal", with+"monite-proxy status -watch")
	line("something wrong?", "monite-proxy doctor, with the same environment")
	fmt.Fprintf(&text, " Ctrl-C stops it.\n%s\n\n", rule)
	return text.String()
}

// firstCall is a path that works for the default grant.
func (s *sidecar) firstCall() string {
	if s.cfg.GrantType == "entity_user" {
		return "/entity_users/me"
	}
	return "/entities"
}
