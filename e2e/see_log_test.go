package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// What an app or upstream can put into a request or an answer never breaks a
// line of the log, in either format, nor reaches a terminal.
func TestLogLinesCannotBeForged(t *testing.T) {
	t.Parallel()
	texts := []string{
		"a\nb", "a\r\n{\"level\":\"fatal\",\"message\":\"forged\"}", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u2028x\u2029", "\u0085",
		"\x9b31m", "\x00", "\x7f", `"},{"forged":"`, `\n`, "\xff\xfe", strings.Repeat("x", 9000), "%0a%1b[2J", "\u202eforged", "\ufeff",
		"\b\b\b", "\x0b\x0c",
	}
	places := []string{
		"GET /v1/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /v1/x?%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"%s /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: %s\r\n\r\n", "GET /v1/x %s\r\nHost: localhost\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: %s\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: localhost\r\n%s: x\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Monite-Entity-Id: %s\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nOrigin: %s\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Monite-Version: %s\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nUser-Agent: %s\r\n\r\n", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n",
		"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: %s\r\n\r\n",
		"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
		"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n%s\r\n\r\n", "%s\r\n\r\n",
		"GET /v1/broken HTTP/1.1\r\nHost: localhost\r\nX-Say: %s\r\n\r\n", "GET /v1/id HTTP/1.1\r\nHost: localhost\r\nX-Say: %s\r\n\r\n",
	}
	upstream := listenLiar(t)
	for _, format := range []string{"json", "console"} {
		data, admin := freePort(t), freePort(t)
		s := startWriting(t, defaultEnv(upstream).with("MONITE_LOG_FORMAT", format, "MONITE_LOG_LEVEL", "trace", "MONITE_LISTEN_ADDR", data,
			"MONITE_ADMIN_ADDR", admin), nil)
		s.Data, s.Admin = "http://"+data, "http://"+admin
		s.ready()
		// The console greets people in several lines, before the first mint is told.
		s.waitLogged("token minted")
		start := len(s.log.String())
		sent := 0
		for _, place := range places {
			for _, text := range texts {
				conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.Data, "http://"), 5*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				if strings.HasPrefix(place, "GET") && !strings.Contains(place, "Connection") {
					place = strings.Replace(place, "\r\n", "\r\nConnection: close\r\n", 1)
				}
				_, _ = io.WriteString(conn, strings.ReplaceAll(place, "%s", text))
				if !strings.HasPrefix(place, "GET") { // or the app has gone before its answer
					_ = conn.(*net.TCPConn).CloseWrite()
				}
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
				sent++
			}
		}
		s.signal(syscall.SIGTERM)
		s.ends(0, 30*time.Second)
		lines := 0
		for line := range strings.Lines(s.log.String()[start:]) {
			line = strings.TrimSuffix(line, "\n")
			lines++
			for _, c := range line {
				if c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' || c == '\u202e' || c == '\ufeff' || c == '\ufffd' {
					t.Fatalf("%s: %U in %q", format, c, line)
				}
			}
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); format == "json" &&
				(err != nil || fields["level"] == "fatal" || fields["message"] == "forged" || fields["forged"] != nil) {
				t.Fatalf("json: %v: %q", err, line)
			}
			if format == "console" && !strings.Contains(line, " INF ") && !strings.Contains(line, " WRN ") && !strings.Contains(line, " ERR ") &&
				!strings.Contains(line, " DBG ") {
				t.Fatalf("console: not a line of ours: %q", line)
			}
		}
		if lines < sent/5 {
			t.Errorf("%s: %d lines for %d requests", format, lines, sent)
		}
		t.Logf("%s: %d requests, %d lines", format, sent, lines)
	}
}

// listenLiar mints tokens, and otherwise says in odd places what X-Say says.
func listenLiar(t *testing.T) string {
	return wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_ = p.SetDeadline(time.Now().Add(10 * time.Second))
		buffer := make([]byte, 64<<10)
		n, _ := p.Read(buffer)
		request := string(buffer[:n])
		_, say, _ := strings.Cut(request, "\r\nX-Say: ")
		say, _, _ = strings.Cut(say, "\r\n")
		switch {
		case strings.Contains(request, "/v1/auth/token "):
			p.Say(strings.Replace(tokenAnswer(`"access_token":"a-token-of-the-liar","token_type":"Bearer","expires_in":1800`),
				"\r\n", "\r\nConnection: close\r\n", 1))
		case strings.HasPrefix(request, "GET /v1/broken"):
			p.Say("HTTP/1.1 200 OK\r\n" + say + "\r\n\r\n")
		default:
			p.Say("HTTP/1.1 200 OK\r\nX-Request-Id: " + say + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		}
	}).URL.String()
}

// startOn starts the sidecar with a pipe for its output and returns the pipe's
// other end, from which the lines up to "listening" have been read.
func startOn(t *testing.T, e env) (*sidecar, *os.File) {
	t.Helper()
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	s := startWriting(t, e, theirs)
	_ = theirs.Close()
	for lines := bufio.NewReaderSize(ours, 1); s.Admin == "http://" || s.Admin == ""; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the log ended: %v", err)
		}
		_, _ = io.WriteString(s.log, line)
		s.Data, s.Admin = "http://"+s.logField("listen"), "http://"+s.logField("admin")
	}
	return s, ours
}

// goesOn wants more answers than a pipe holds lines, and a clean end.
func (s *sidecar) goesOn() {
	s.t.Helper()
	s.callMany(400)
	s.wantProbe("/readyz", http.StatusOK)
	s.signal(syscall.SIGTERM)
	s.ends(0, 5*time.Second)
}

func (s *sidecar) callMany(n int) {
	s.t.Helper()
	for i := range n {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		a, err := exchange(http.DefaultTransport, newRequest(ctx, "GET", s.Data+"/v1/entities", nil, "X-Request-Id", strings.Repeat("x", 128)))
		cancel()
		if err != nil || a.Status != http.StatusOK {
			s.t.Fatalf("request %d = %d, %v", i, a.Status, err)
		}
	}
}

func TestRequestsGoOnWithoutAReaderOfTheLog(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	t.Run("the reader is gone", func(t *testing.T) {
		s, reader := startOn(t, defaultEnv(url))
		_ = reader.Close()
		s.goesOn()
	})
	t.Run("the reader does not read", func(t *testing.T) {
		s, reader := startOn(t, defaultEnv(url))
		s.callMany(2400) // more than the pipe and the queue hold
		if !regexp.MustCompile(`(?m)^monite_proxy_log_lines_dropped_total [1-9]`).MatchString(s.admin("GET", "/metrics").Body) {
			t.Error("the dropped lines are not counted")
		}
		go func() { _, _ = io.Copy(s.log, reader) }() // it reads again
		s.waitLogged("log lines were dropped")
		s.goesOn()
	})
	t.Run("closed from the start", func(t *testing.T) {
		e := defaultEnv(url).with("MONITE_LISTEN_ADDR", freePort(t), "MONITE_ADMIN_ADDR", freePort(t))
		cmd := exec.Command("/bin/sh", "-c", `exec "$0" <&- >&- 2>&-`, filepath.Join(binaries, "monite-proxy"))
		s := launch(t, e, cmd, nil)
		s.Data, s.Admin = "http://"+e["MONITE_LISTEN_ADDR"], "http://"+e["MONITE_ADMIN_ADDR"]
		s.ready().goesOn()
	})
}

// The apps of 50 writes have gone, and the sidecar is told to stop: it stays until
// upstream has responded to each, and the audit file has the true statuses.
func TestAuditFileHasTheTrueStatusOfAbandonedWrites(t *testing.T) {
	t.Parallel()
	const writes = 50
	statuses := []int{201, 200, 204, 400, 409, 422, 500, 503}
	var under atomic.Int64
	release := make(chan struct{})
	url := script(t, nil, func(w http.ResponseWriter, in *http.Request) {
		_, _ = io.Copy(io.Discard, in.Body)
		under.Add(1)
		<-release
		n, _ := strconv.Atoi(in.URL.Query().Get("n"))
		w.WriteHeader(statuses[n%len(statuses)])
	})
	audit := filepath.Join(t.TempDir(), "audit.jsonl")
	s := start(t, defaultEnv(url).with("MONITE_AUDIT_LOG", audit)).ready()

	var apps []net.Conn
	for n := range writes {
		conn := s.dial()
		apps = append(apps, conn)
		_, _ = fmt.Fprintf(conn, "POST /v1/tags?n=%d HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: w-%d\r\nContent-Length: 2\r\n\r\n{}", n, n)
	}
	wiretest.Eventually(t, "all writes are at upstream", func() bool { return under.Load() == writes })
	for _, conn := range apps {
		_ = conn.Close()
	}
	s.waitMetric("monite_proxy_followed_writes", writes)
	s.signal(syscall.SIGTERM)
	s.waitRefused()
	close(release)
	s.ends(0, 30*time.Second)

	text, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var fields struct {
			RequestID string `json:"request_id"`
			Status    int    `json:"status"`
			Delivered *bool  `json:"delivered"`
			Outcome   string `json:"outcome"`
		}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(fields.RequestID, "w-"))
		want := statuses[n%len(statuses)]
		if fields.Status != want || fields.Delivered == nil || *fields.Delivered || seen[fields.RequestID] {
			t.Errorf("%s, want status %d", line, want)
		}
		if unknown := fields.Outcome == "unknown"; unknown != (want == 500) {
			t.Errorf("%s: outcome", line)
		}
		seen[fields.RequestID] = true
	}
	if len(seen) != writes {
		t.Errorf("%d writes are in the audit file, want %d", len(seen), writes)
	}
}
