package e2e

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestEarlyRequestsAreHeldForTheFirstToken(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(time.Second), Times: 1})
	s := start(t, defaultEnv(url))

	begin := time.Now()
	held := s.inBackground(5, "/v1/entities")
	for path, want := range map[string]int{"/readyz": 503, "/startupz": 503, "/livez": 200} {
		if got := s.probe(path); got != want {
			t.Errorf("%s before the first token = %d, want %d", path, got, want)
		}
	}
	for range 5 {
		if o := <-held; o.err != nil || o.answer.Status != http.StatusOK {
			t.Errorf("a held request = %d %s, %v", o.answer.Status, o.answer.Body, o.err)
		}
	}
	if took := time.Since(begin); took < 500*time.Millisecond {
		t.Errorf("the requests took %v: they were not held", took)
	}
	s.ready()
	if got := s.probe("/startupz"); got != http.StatusOK {
		t.Errorf("/startupz = %d, want 200", got)
	}
	if got := sim.Stats().Mints; got != 1 {
		t.Errorf("mints = %d, want 1", got)
	}
}

func TestHoldTimeoutAnswers503(t *testing.T) {
	t.Parallel()
	url := script(t, mintNever, answerOK)
	s := start(t, defaultEnv(url).with("MONITE_HOLD_TIMEOUT", "300ms"))
	begin := time.Now()
	a := s.mustCall("GET", "/v1/entities", "", "X-Request-Id", "held-1")
	if took := time.Since(begin); took < 250*time.Millisecond || took > 3*time.Second {
		t.Errorf("answered after %v, want about 300ms", took)
	}
	kind, message, hint := problemOf(t, a)
	if a.Status != http.StatusServiceUnavailable || kind != "proxy_token_unavailable" {
		t.Errorf("answer = %d %s, want 503 proxy_token_unavailable", a.Status, kind)
	}
	if message == "" || hint == "" || strings.Contains(strings.ToLower(a.Body), "expired") {
		t.Errorf("message %q, hint %q", message, hint)
	}
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 {
		t.Errorf("Retry-After = %q, want seconds", a.Header.Get("Retry-After"))
	}
	for name, want := range map[string]string{
		"X-Monite-Proxy-Outcome": "not_sent", "X-Request-Id": "held-1", "Content-Type": "application/json", "Cache-Control": "no-store",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := a.Header.Get("Proxy-Status"); !strings.HasPrefix(got, "monite-proxy; error=") {
		t.Errorf("Proxy-Status = %q", got)
	}
}

func TestSecondInstanceOnTheSamePortFailsWithinASecond(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	first := start(t, defaultEnv(url)).ready()
	for _, variable := range []string{"MONITE_LISTEN_ADDR", "MONITE_ADMIN_ADDR"} {
		taken := strings.TrimPrefix(first.Data, "http://")
		begin := time.Now()
		code, output := runCommand(t, defaultEnv(url).with(variable, taken))
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%s: took %v", variable, took)
		}
		if code != 1 || !strings.Contains(output, taken) || !strings.Contains(output, "address already in use") {
			t.Errorf("%s taken: exit code = %d, want 1; output:\n%s", variable, code, output)
		}
		if strings.Count(output, "\n") != 1+strings.Count(output, `"level":"warn"`) {
			t.Errorf("%s: want one line besides the warnings:\n%s", variable, output)
		}
	}
	if a := first.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK {
		t.Errorf("the first instance answers %d", a.Status)
	}
}

func TestPortIsFreeAfterTheEnd(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", freePort(t), "MONITE_ADMIN_ADDR", freePort(t))
	for range 3 { // the third finds connections of the others in TIME_WAIT
		s := start(t, e).ready()
		if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK {
			t.Errorf("answer = %d", a.Status)
		}
		s.signal(syscall.SIGTERM)
		if code := s.exitCode(5 * time.Second); code != 0 {
			t.Errorf("exit code = %d, want 0", code)
		}
		for _, address := range []string{e["MONITE_LISTEN_ADDR"], e["MONITE_ADMIN_ADDR"]} {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatalf("after the end: %v", err)
			}
			_ = listener.Close()
		}
	}
}

// A stopped process must find its connections and its token where it left them.
func TestFrozenProcessGoesOn(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	get := func() {
		t.Helper()
		response, err := client.Get(s.Data + "/v1/entities")
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("answer = %d", response.StatusCode)
		}
	}
	get()
	s.freeze()
	during := s.inBackground(3, "/v1/entities")
	<-time.After(2 * time.Second)
	select {
	case o := <-during:
		t.Fatalf("answered while stopped: %d %v", o.answer.Status, o.err)
	default:
	}
	s.signal(syscall.SIGCONT)
	for range 3 {
		if o := <-during; o.err != nil || o.answer.Status != http.StatusOK {
			t.Errorf("a request sent meanwhile = %d, %v", o.answer.Status, o.err)
		}
	}
	get()
	if got := sim.Stats().Mints; got != 1 {
		t.Errorf("mints = %d, want 1", got)
	}
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}

// By default SIGHUP ends a process. Here it reads files again, from the first moment
// to the last.
func TestHangupsDoNotEndTheProcess(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	log, started := &logBuffer{}, make(chan *sidecar, 1)
	hangUp := onWrite{log, func(string) { // each line, the very first and the very last
		s := <-started
		_ = s.cmd.Process.Signal(syscall.SIGHUP)
		started <- s
	}}
	s := startWriting(t, defaultEnv(url), hangUp)
	s.log = log
	started <- s
	s.waitFor("the listeners", func() bool {
		s.Data, s.Admin = "http://"+s.logField("listen"), "http://"+s.logField("admin")
		return s.logField("admin") != ""
	})
	s.ready()
	for range 20 {
		s.signal(syscall.SIGHUP)
		if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK {
			t.Fatalf("answer = %d", a.Status)
		}
	}
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(5 * time.Second); code != 0 {
		t.Errorf("ended with %v, want 0; log:\n%s", s.state, log)
	}
	if !s.logged("secret files read again") {
		t.Errorf("nothing was read again:\n%s", log)
	}
}
