package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
		s.waitFor("the first mint in the log", func() bool { return strings.Contains(s.log.String(), "token minted") })
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
		if code := s.exitCode(30 * time.Second); code != 0 {
			t.Errorf("%s: exit code %d", format, code)
		}
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				buffer := make([]byte, 64<<10)
				n, _ := conn.Read(buffer)
				request := string(buffer[:n])
				_, say, _ := strings.Cut(request, "\r\nX-Say: ")
				say, _, _ = strings.Cut(say, "\r\n")
				switch {
				case strings.Contains(request, "/v1/auth/token "):
					const token = `{"access_token":"a-token-of-the-liar","token_type":"Bearer","expires_in":1800}`
					_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
						len(token), token)
				case strings.HasPrefix(request, "GET /v1/broken"):
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+say+"\r\n\r\n")
				default:
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Request-Id: "+say+"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				}
			}()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return "http://" + listener.Addr().String()
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
	if got := s.probe("/readyz"); got != http.StatusOK {
		s.t.Errorf("/readyz = %d", got)
	}
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(5 * time.Second); code != 0 {
		s.t.Errorf("ended with %v, want 0", s.state)
	}
}

func (s *sidecar) callMany(n int) {
	s.t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for i := range n {
		in, _ := http.NewRequest("GET", s.Data+"/v1/entities", nil)
		in.Header.Set("X-Request-Id", strings.Repeat("x", 128))
		response, err := client.Do(in)
		if err != nil {
			s.t.Fatalf("request %d: %v", i, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			s.t.Fatalf("request %d = %d", i, response.StatusCode)
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
		s.waitFor("the log to go on", func() bool { return s.logged("log lines were dropped") })
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
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		_, _ = io.Copy(io.Discard, in.Body)
		if in.URL.Path == "/v1/auth/token" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"abandoned-token-00000000","expires_in":7200,"token_type":"Bearer"}`)
			return
		}
		under.Add(1)
		<-release
		n, _ := strconv.Atoi(in.URL.Query().Get("n"))
		w.WriteHeader(statuses[n%len(statuses)])
	}))
	t.Cleanup(upstream.Close)
	audit := filepath.Join(t.TempDir(), "audit.jsonl")
	s := start(t, defaultEnv(upstream.URL).with("MONITE_AUDIT_LOG", audit)).ready()

	var apps []net.Conn
	for n := range writes {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.Data, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		apps = append(apps, conn)
		_, _ = fmt.Fprintf(conn, "POST /v1/tags?n=%d HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: w-%d\r\nContent-Length: 2\r\n\r\n{}", n, n)
	}
	wiretest.Eventually(t, "all writes are at upstream", func() bool { return under.Load() == writes })
	for _, conn := range apps {
		_ = conn.Close()
	}
	wiretest.Eventually(t, "all are followed", func() bool {
		return strings.Contains(s.admin("GET", "/metrics").Body, "monite_proxy_followed_writes "+strconv.Itoa(writes)+"\n")
	})
	s.signal(syscall.SIGTERM)
	time.AfterFunc(300*time.Millisecond, func() { close(release) })
	if code := s.exitCode(30 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}

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
