package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script serves an upstream of the test's own: what the simulator does not do.
// A nil mint hands out tokens that live for half an hour.
func script(t *testing.T, mint, api http.HandlerFunc) (url string) {
	t.Helper()
	if mint == nil {
		mint = mintToken("scripted-token", 1800)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/auth/token" {
			api(w, r)
			return
		}
		// Without reading it the server does not notice that the client leaves.
		_, _ = io.Copy(io.Discard, r.Body)
		mint(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func mintToken(token string, lifetime int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":%d,"token_type":"Bearer"}`, token, lifetime)
	}
}

// mintNever hangs until the sidecar goes away.
func mintNever(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func answerOK(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"data":[]}`) }

// answerSlowly takes longer than a drain takes to find no connection open.
func answerSlowly(w http.ResponseWriter, r *http.Request) {
	<-time.After(20 * time.Millisecond)
	answerOK(w, r)
}

// problemOf reads the envelope of an answer made by the proxy.
func problemOf(t *testing.T, a answer) (kind, message, hint string) {
	t.Helper()
	var envelope struct {
		Error struct {
			Type    string `json:"type"`
			Message string `json:"message"`
			Hint    string `json:"hint"`
		} `json:"error"`
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(a.Body), &envelope); err != nil {
		t.Fatalf("the answer is not JSON: %v\n%d %s", err, a.Status, a.Body)
	}
	if id := a.Header.Get("X-Request-Id"); envelope.RequestID == "" || envelope.RequestID != id {
		t.Errorf("request_id = %q, want that of the header, %q", envelope.RequestID, id)
	}
	return envelope.Error.Type, envelope.Error.Message, envelope.Error.Hint
}

// dial opens one connection to the data listener.
func (s *sidecar) dial() net.Conn {
	s.t.Helper()
	network, address := "tcp", strings.TrimPrefix(s.Data, "http://")
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// freeze stops the process and returns when none of its threads runs any more.
func (s *sidecar) freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	s.waitFor("all threads to stop", func() bool {
		states, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
		for _, path := range states {
			text, readErr := os.ReadFile(path)
			if _, state, _ := strings.Cut(string(text), ") "); readErr != nil || !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return err == nil
	})
}

// refusesConnections reports whether nobody listens on the address any more. A
// connection that was begun just before the end is refused a second later.
func refusesConnections(address string) bool {
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(address, "http://"), 5*time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

// sendGet sends a GET that leaves the connection open, unlike call.
func sendGet(conn net.Conn, path string) {
	_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
}

// readAnswer reads one whole answer to a GET from a connection.
func readAnswer(conn net.Conn) (answer, error) {
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.Close { // ReadResponse has taken the field away
		response.Header.Set("Connection", "close")
	}
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

// admin sends one request to the admin listener.
func (s *sidecar) admin(method, path string, pairs ...string) answer {
	s.t.Helper()
	a, err := request(context.Background(), method, s.Admin+path, "", pairs...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// outcome is how one request in the background ended.
type outcome struct {
	answer answer
	err    error
}

// inBackground sends requests at the same time, each on a connection that could
// serve another one; each ends in the channel.
func (s *sidecar) inBackground(n int, path string) <-chan outcome {
	s.t.Helper()
	ended := make(chan outcome, n)
	for range n {
		conn := s.dial()
		go func() {
			sendGet(conn, path)
			a, err := readAnswer(conn)
			ended <- outcome{a, err}
		}()
	}
	return ended
}

// logged reports whether a line of the log holds all the texts.
func (s *sidecar) logged(texts ...string) bool {
	// Lines are gathered for a moment before they are written.
	for end := time.Now().Add(time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s.loggedNow(texts...) {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func (s *sidecar) loggedNow(texts ...string) bool {
next:
	for line := range strings.Lines(s.log.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		return true
	}
	return false
}

// startWriting starts the sidecar with what is given as its stdout and stderr
// and does not wait for the listeners.
func startWriting(t *testing.T, e env, out io.Writer) *sidecar {
	t.Helper()
	return launch(t, e, exec.Command(filepath.Join(binaries, "monite-proxy")), out)
}

// onWrite calls a function before each write.
type onWrite struct {
	io.Writer
	do func(text string)
}

func (w onWrite) Write(p []byte) (int, error) {
	w.do(string(p))
	return w.Writer.Write(p)
}
