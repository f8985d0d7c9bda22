package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What an app or upstream can put into a request or an answer never breaks a
// line of the log, in either format, nor reaches a terminal.
func TestLogLinesCannotBeForged(t *testing.T) {
	t.Parallel()
	texts := []string{
		"a\nb", "a\r\n{\"level\":\"fatal\",\"message\":\"forged\"}", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u2028x\u2029", "\u0085", "\x9b31m", "\x00", "\x7f", `"},{"forged":"`, `\n`, "\xff\xfe", strings.Repeat("x", 9000), "%0a%1b[2J", "\u202eforged", "\ufeff", "\b\b\b", "\x0b\x0c",
	}
	places := []string{
		"GET /v1/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /v1/x?%s HTTP/1.1\r\nHost: localhost\r\n\r\n", "%s /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: %s\r\n\r\n", "GET /v1/x %s\r\nHost: localhost\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: %s\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: localhost\r\n%s: x\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Monite-Entity-Id: %s\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nOrigin: %s\r\n\r\n",
		"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Monite-Version: %s\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nUser-Agent: %s\r\n\r\n", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n",
		"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: %s\r\n\r\n", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n", "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n%s\r\n\r\n", "%s\r\n\r\n",
		"GET /v1/broken HTTP/1.1\r\nHost: localhost\r\nX-Say: %s\r\n\r\n", "GET /v1/id HTTP/1.1\r\nHost: localhost\r\nX-Say: %s\r\n\r\n",
	}
	upstream := listenLiar(t)
	for _, format := range []string{"json", "console"} {
		data, admin := freePort(t), freePort(t)
		s := startWriting(t, defaultEnv(upstream).with("MONITE_LOG_FORMAT", format, "MONITE_LOG_LEVEL", "trace", "MONITE_LISTEN_ADDR", data, "MONITE_ADMIN_ADDR", admin), nil)
		s.Data, s.Admin = "http://"+data, "http://"+admin
		s.ready()
		start := len(s.log.String()) // the console greets people in several lines
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
			if err := json.Unmarshal([]byte(line), &fields); format == "json" && (err != nil || fields["level"] == "fatal" || fields["message"] == "forged" || fields["forged"] != nil) {
				t.Fatalf("json: %v: %q", err, line)
			}
			if format == "console" && !strings.Contains(line, " INF ") && !strings.Contains(line, " WRN ") && !strings.Contains(line, " ERR ") && !strings.Contains(line, " DBG ") {
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
					_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(token), token)
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
