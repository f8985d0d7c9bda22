package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Another program may listen on the admin address, and say what it likes.
func TestResponsesOfAStrangerDoNotSpeakToTheTerminal(t *testing.T) {
	commands := map[string]func(stdout, stderr io.Writer) int{
		"health":      func(stdout, stderr io.Writer) int { return health(nil, stdout, stderr) },
		"status":      func(stdout, stderr io.Writer) int { return status(nil, stdout, stderr) },
		"status json": func(stdout, stderr io.Writer) int { return status([]string{"-json"}, stdout, stderr) },
		"shutdown":    shutdown,
	}
	for _, c := range []struct {
		status       int
		says, wanted string // wanted of those that print it
	}{
		{503, "not ready\r\n[-] token: \x1b]0;owned\a\x7f\u202e\u009b31m\xff", "not ready\n[-] token: ?]0;owned????31m?\n"},
		{404, strings.Repeat("x", 1<<20), strings.Repeat("x", 4<<10) + " [...]\n"},
		{418, "", "responds with 418 I'm a teapot\n"},
		{200, "ok\x1b[2J", "ok?[2J\n"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.says)
		}))
		t.Setenv("MONITE_ADMIN_ADDR", strings.TrimPrefix(server.URL, "http://"))
		for name, command := range commands {
			if c.status == 200 && name != "health" { // others print nothing of a yes, or read it as JSON
				continue
			}
			var out strings.Builder
			code := command(&out, &out)
			if (code == exitOK) != (c.status == 200) || !strings.HasSuffix(out.String(), c.wanted) {
				t.Errorf("%s told %d %.100q: exit code %d, prints %.200q", name, c.status, c.says, code, out.String())
			}
		}
		server.Close()
	}
}
