package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// binaries is where TestMain builds monite-proxy and monite-sim.
var binaries string

func TestMain(m *testing.M) {
	wiretest.ManyAtOnce(2) // most wait for a process, a lifetime or a grace time
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "monite-proxy-e2e-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		binaries = dir
		if err := buildInto(dir); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// buildInto puts monite-proxy and monite-sim into a directory: with the race detector if
// E2E_RACE is set, else as they are shipped, from E2E_BINARIES if make has built them.
func buildInto(dir string) error {
	args, built := []string{"build", "-o", dir + "/"}, os.Getenv("E2E_BINARIES")
	build := exec.Command("go", append(args, "../cmd/...")...)
	switch {
	case os.Getenv("E2E_RACE") != "":
		build = exec.Command("go", append(args, "-race", "../cmd/...")...)
	case built != "":
		build = exec.Command("cp", filepath.Join(built, "monite-proxy"), filepath.Join(built, "monite-sim"), dir)
	default:
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	return build.Run()
}

// sidecar is a running monite-proxy.
type sidecar struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *wiretest.Buffer
	Data  string // http://127.0.0.1:port
	Admin string
	ended chan struct{}
	state *os.ProcessState // after ended
}

// tail is the log, or the end of a long one.
func tail(log *wiretest.Buffer) string {
	const most = 256 << 10
	text := log.String()
	if len(text) <= most {
		return text
	}
	return "[...]" + text[len(text)-most:]
}

// env is what a sidecar is started with: only this, and PATH.
type env map[string]string

// defaultEnv points to an upstream, with the simulator's credentials, every
// identity allowed, and ports of the kernel's choice.
func defaultEnv(upstreamURL string) env {
	return env{
		"MONITE_API_URL":                 upstreamURL,
		"MONITE_CLIENT_ID":               monitetest.DemoClientID,
		"MONITE_CLIENT_SECRET":           monitetest.DemoClientSecret,
		"MONITE_ALLOWED_ENTITY_IDS":      "*",
		"MONITE_ALLOWED_ENTITY_USER_IDS": "*",
		"MONITE_LISTEN_ADDR":             "127.0.0.1:0",
		"MONITE_ADMIN_ADDR":              "127.0.0.1:0",
	}
}

// with returns a copy with name=value pairs changed; an empty value removes.
func (e env) with(pairs ...string) env {
	next := env{}
	for name, value := range e {
		next[name] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(next, pairs[i])
		} else {
			next[pairs[i]] = pairs[i+1]
		}
	}
	return next
}

func (e env) list() []string {
	all := []string{"PATH=" + os.Getenv("PATH")}
	// All of these tests hold with both listeners.
	if chosen := os.Getenv("MONITE_LISTENER"); chosen != "" && e["MONITE_LISTENER"] == "" {
		all = append(all, "MONITE_LISTENER="+chosen)
	}
	for name, value := range e {
		all = append(all, name+"="+value)
	}
	return all
}

// start starts the sidecar and returns when both listeners are open. It is
// killed at the end of the test if it still runs.
func start(t *testing.T, e env, args ...string) *sidecar {
	t.Helper()
	s := launch(t, e, exec.Command(filepath.Join(binaries, "monite-proxy"), args...), nil)
	s.waitFor("both listeners", s.addresses)
	return s
}

// launch starts a command that is the sidecar, or becomes it, and does not wait
// for its listeners. out is its stdout and stderr; nil: s.log. It is killed at
// the end of the test if it still runs.
func launch(t *testing.T, e env, cmd *exec.Cmd, out io.Writer) *sidecar {
	t.Helper()
	s := &sidecar{t: t, cmd: cmd, log: &wiretest.Buffer{}, ended: make(chan struct{})}
	if out == nil {
		out = s.log
	}
	cmd.Env, cmd.Stdout, cmd.Stderr = e.list(), out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		s.state = cmd.ProcessState
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-s.ended
		if t.Failed() {
			t.Logf("log of %v:\n%s", cmd.Args, tail(s.log))
		}
	})
	return s
}

// addresses reads the addresses from the log, and reports whether they are there.
func (s *sidecar) addresses() bool {
	data, admin := s.logField("listen"), s.logField("admin")
	if data == "" || admin == "" {
		return false
	}
	s.Data, s.Admin = "http://"+data, "http://"+admin
	return true
}

// logField returns the value of a text field in the line "listening".
func (s *sidecar) logField(name string) string {
	for line := range strings.Lines(s.log.String()) {
		if !strings.Contains(line, `"message":"listening"`) {
			continue
		}
		if _, rest, ok := strings.Cut(line, `"`+name+`":"`); ok {
			value, _, _ := strings.Cut(rest, `"`)
			return value
		}
	}
	return ""
}

// waitFor polls until done, for up to 15 s; it fails the test when the process
// ends before.
func (s *sidecar) waitFor(what string, done func() bool) {
	s.t.Helper()
	wiretest.Eventually(s.t, what, func() bool {
		if done() {
			return true
		}
		select {
		case <-s.ended:
			if done() {
				return true
			}
			s.t.Fatalf("the sidecar ended (%v) while waiting for %s; log:\n%s", s.state, what, s.log)
		default:
		}
		return false
	})
}

// ready waits until /readyz says yes.
func (s *sidecar) ready() *sidecar {
	s.t.Helper()
	s.waitFor("readiness", func() bool { return s.probe("/readyz") == http.StatusOK })
	return s
}

// probe returns the status of an admin endpoint, 0 without an answer.
func (s *sidecar) probe(path string) int {
	a, _ := exchange(http.DefaultTransport, newRequest(context.Background(), "GET", s.Admin+path, nil))
	return a.Status
}

// wantProbe wants a status of an admin endpoint.
func (s *sidecar) wantProbe(path string, status int) {
	s.t.Helper()
	if got := s.probe(path); got != status {
		s.t.Errorf("%s = %d, want %d", path, got, status)
	}
}

// waitMetric waits until a metric has a value.
func (s *sidecar) waitMetric(name string, value float64) {
	s.t.Helper()
	s.waitFor(fmt.Sprint(name, " = ", value), func() bool { return s.metricValue(name) == value })
}

// waitRefused waits until the data listener is closed.
func (s *sidecar) waitRefused() {
	s.t.Helper()
	s.waitFor("a closed data listener", func() bool { return refusesConnections(s.Data) })
}

// signal sends one.
func (s *sidecar) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// exitCode waits for the end.
func (s *sidecar) exitCode(within time.Duration) int {
	s.t.Helper()
	select {
	case <-s.ended:
		return s.state.ExitCode()
	case <-time.After(within):
		s.t.Fatalf("still running after %v; log:\n%s", within, s.log)
		return -1
	}
}

// ends wants an exit code in time.
func (s *sidecar) ends(code int, within time.Duration) {
	s.t.Helper()
	if got := s.exitCode(within); got != code {
		s.t.Errorf("exit code = %d (%v), want %d", got, s.state, code)
	}
}

// answer is a whole HTTP answer.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// call sends one request on a connection of its own. pairs are header fields.
func (s *sidecar) call(method, path, body string, pairs ...string) (answer, error) {
	return request(context.Background(), method, s.Data+path, body, pairs...)
}

// mustCall fails the test without an answer.
func (s *sidecar) mustCall(method, path, body string, pairs ...string) answer {
	s.t.Helper()
	a, err := s.call(method, path, body, pairs...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// want sends one request, and wants a status.
func (s *sidecar) want(status int, method, path, body string, pairs ...string) answer {
	s.t.Helper()
	a := s.mustCall(method, path, body, pairs...)
	if a.Status != status {
		s.t.Errorf("%s %s = %d %s, want %d", method, path, a.Status, a.Body, status)
	}
	return a
}

// request sends one request on a connection of its own.
func request(ctx context.Context, method, url, body string, pairs ...string) (answer, error) {
	return requestOver(ctx, nil, method, url, body, pairs...)
}

// dialer makes the connection of a request.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// requestOver is request by a dialer.
func requestOver(ctx context.Context, dial dialer, method, url, body string, pairs ...string) (answer, error) {
	// No request of a test may wait for ever: what hangs is to be seen.
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	return exchange(&http.Transport{DisableKeepAlives: true, DialContext: dial}, newRequest(ctx, method, url, strings.NewReader(body), pairs...))
}

// newRequest makes one whose header fields are name, value pairs.
func newRequest(ctx context.Context, method, url string, body io.Reader, pairs ...string) *http.Request {
	in, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		panic(err) // the test is wrong
	}
	for i := 0; i < len(pairs); i += 2 {
		in.Header.Add(pairs[i], pairs[i+1])
	}
	return in
}

// exchange sends a request and reads its whole answer.
func exchange(by http.RoundTripper, in *http.Request) (answer, error) {
	response, err := by.RoundTrip(in)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

// runCommand runs monite-proxy to its end.
func runCommand(t *testing.T, e env, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "monite-proxy"), args...)
	cmd.Env = e.list()
	out, err := cmd.CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// wantCommand runs a command line of monite-proxy, and wants an exit code and texts in
// what it prints.
func wantCommand(t *testing.T, code int, e env, line string, texts ...string) (output string) {
	t.Helper()
	got, output := runCommand(t, e, strings.Fields(line)...)
	if got != code {
		t.Errorf("monite-proxy %s: exit code = %d, want %d; output:\n%s", line, got, code, output)
	}
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("monite-proxy %s does not say %q:\n%s", line, text, output)
		}
	}
	return output
}

// simulate serves a simulated Monite in this process.
func simulate(t *testing.T, config monitetest.Config) (*monitetest.Simulator, string) {
	t.Helper()
	return simulateBehind(t, config, func(sim http.Handler) http.Handler { return sim })
}

// simulateBehind serves a simulated Monite behind a handler of the test.
func simulateBehind(t *testing.T, config monitetest.Config, before func(http.Handler) http.Handler) (*monitetest.Simulator, string) {
	t.Helper()
	sim := monitetest.New(config)
	return sim, serve(t, before(sim))
}

// serve serves a handler, and returns its URL.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() { closeSoon(t, server) })
	return server.URL
}

// closeSoon does not wait for ever: a request that a fault keeps inside may not
// have noticed that its client has gone.
func closeSoon(t *testing.T, server *httptest.Server) {
	closed := make(chan struct{})
	go func() {
		server.CloseClientConnections()
		server.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Log("the simulator still holds requests of clients that have gone")
	}
}

// freePort returns an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return fmt.Sprint(listener.Addr())
}

// portOf is the port of an address, or of an http URL.
func portOf(address string) string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	return port
}

// metricValue returns a metric without labels, 0 if there is none.
func (s *sidecar) metricValue(name string) (value float64) {
	a, err := request(context.Background(), "GET", s.Admin+"/metrics", "")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(a.Body) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, _ = strconv.ParseFloat(strings.TrimSpace(text), 64)
		}
	}
	return value
}

// peakMemory is the most resident memory the process ever had, in bytes.
func (s *sidecar) peakMemory() int64 {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Skip("no /proc: the memory of the process cannot be read")
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, " kB")
	kilobytes, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return kilobytes << 10
}

// requestLine is what the access log says of one request.
type requestLine struct {
	Message     string
	RequestID   string `json:"request_id"`
	Status      int
	Replay      string
	TokenWaitMS float64 `json:"token_wait_ms"`
}

// requestLines is the access log so far.
func (s *sidecar) requestLines() (lines []requestLine) {
	for text := range strings.Lines(s.log.String()) {
		var line requestLine
		if json.Unmarshal([]byte(text), &line) == nil && line.Message == "request" {
			lines = append(lines, line)
		}
	}
	return lines
}

// script serves an upstream of the test's own: what the simulator does not do.
// A nil mint hands out tokens that live for half an hour.
func script(t *testing.T, mint, api http.HandlerFunc) (url string) {
	t.Helper()
	if mint == nil {
		mint = mintToken("scripted-token", 1800)
	}
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/auth/token" {
			api(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body) // or the server does not notice that the client leaves
		r.Body = io.NopCloser(bytes.NewReader(body))
		mint(w, r)
	}))
}

// asksFor reads what a token is asked for.
func asksFor(r *http.Request) (asked struct {
	Grant        string `json:"grant_type"`
	User         string `json:"entity_user_id"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}) {
	_ = json.NewDecoder(r.Body).Decode(&asked)
	return asked
}

func mintToken(token string, lifetime int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":%d,"token_type":"Bearer"}`, token, lifetime)
	}
}

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

// rawOver sends bytes on a connection of their own and reads one response.
func rawOver(network, address, raw string) (answer, error) {
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(conn, raw) // a peer that is refused finds it closed
	method, _, _ := strings.Cut(raw, " ")
	return readFrom(bufio.NewReader(conn), method)
}

// readAnswer reads one whole answer to a GET from a connection.
func readAnswer(conn net.Conn) (answer, error) {
	return readFrom(bufio.NewReader(conn), http.MethodGet)
}

// readFrom reads the next whole answer, to a request with this method.
func readFrom(conn *bufio.Reader, method string) (answer, error) {
	response, err := http.ReadResponse(conn, &http.Request{Method: method})
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

// goOn has workers do something again and again, until stop is called, which waits for
// what they are at.
func goOn(t *testing.T, workers int, do func(worker, n int)) (stop func()) {
	t.Helper()
	var over atomic.Bool
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for n := 0; !over.Load(); n++ {
				do(worker, n)
			}
		})
	}
	stop = func() { over.Store(true); all.Wait() }
	t.Cleanup(stop)
	return stop
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

// wantLogged wants a line of the log that holds all the texts, soon.
func (s *sidecar) wantLogged(texts ...string) {
	s.t.Helper()
	if !s.logged(texts...) {
		s.t.Errorf("no line of the log holds %q", texts)
	}
}

// waitLogged waits for a line of the log that holds all the texts.
func (s *sidecar) waitLogged(texts ...string) {
	s.t.Helper()
	s.waitFor(fmt.Sprintf("a line of the log with %q", texts), func() bool { return s.loggedNow(texts...) })
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
