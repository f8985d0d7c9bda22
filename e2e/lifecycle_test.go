package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestEarlyRequestsAreHeldForTheFirstToken(t *testing.T) {
	t.Parallel()
	sim, gate, url := simulateGated(t, monitetest.Config{})
	release := gate.hold()
	t.Cleanup(release)
	s := start(t, defaultEnv(url))

	held := s.inBackground(5, "/v1/entities")
	s.waitMetric("monite_proxy_in_flight_requests", 5)
	for path, status := range map[string]int{"/readyz": 503, "/startupz": 503, "/livez": 200} {
		s.wantProbe(path, status)
	}
	release()
	for range 5 {
		if o := <-held; o.err != nil || o.answer.Status != http.StatusOK {
			t.Errorf("a held request = %d %s, %v", o.answer.Status, o.answer.Body, o.err)
		}
	}
	s.ready()
	s.wantProbe("/startupz", http.StatusOK)
	if got := sim.Stats().Mints; got != 1 {
		t.Errorf("mints = %d, want 1", got)
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
	first.want(http.StatusOK, "GET", "/v1/entities", "")
}

func TestPortIsFreeAfterTheEnd(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", freePort(t), "MONITE_ADMIN_ADDR", freePort(t))
	for range 3 { // the third finds connections of the others in TIME_WAIT
		s := start(t, e).ready()
		s.want(http.StatusOK, "GET", "/v1/entities", "")
		s.signal(syscall.SIGTERM)
		s.ends(0, 5*time.Second)
		for _, address := range []string{e["MONITE_LISTEN_ADDR"], e["MONITE_ADMIN_ADDR"]} {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatalf("after the end: %v", err)
			}
			_ = listener.Close()
		}
	}
}

// By default SIGHUP ends a process. Here it reads files again, from the first moment
// to the last.
func TestHangupsDoNotEndTheProcess(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	log, started := &wiretest.Buffer{}, make(chan *sidecar, 1)
	hangUp := onWrite{log, func(string) { // each line, the very first and the very last
		s := <-started
		_ = s.cmd.Process.Signal(syscall.SIGHUP)
		started <- s
	}}
	s := startWriting(t, defaultEnv(url), hangUp)
	s.log = log
	started <- s
	s.waitFor("the listeners", s.addresses)
	s.ready()
	for range 20 {
		s.signal(syscall.SIGHUP)
		s.want(http.StatusOK, "GET", "/v1/entities", "")
	}
	s.signal(syscall.SIGTERM)
	s.ends(0, 5*time.Second)
	s.wantLogged("secret files read again")
}

// gated is an upstream whose /v1/slow sends nothing, and whose /v1/stream sends
// half of its answer, until the gate opens.
func gated(t *testing.T) (url string, arrived chan string, gate chan struct{}) {
	t.Helper()
	arrived, gate = make(chan string, 16), make(chan struct{})
	url = script(t, nil, func(w http.ResponseWriter, r *http.Request) {
		wait := func() {
			arrived <- r.URL.Path
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		switch r.URL.Path {
		case "/v1/slow":
			wait()
		case "/v1/stream":
			_, _ = io.WriteString(w, "first half, ")
			_ = http.NewResponseController(w).Flush()
			wait()
		}
		_, _ = io.WriteString(w, "all of it")
	})
	return url, arrived, gate
}

// slowAndStreaming has one request of each kind under way.
func (s *sidecar) slowAndStreaming(arrived <-chan string) (slow, stream <-chan outcome) {
	slow, stream = s.inBackground(1, "/v1/slow"), s.inBackground(1, "/v1/stream")
	<-arrived
	<-arrived
	return slow, stream
}

func TestSignalsDrainWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			url, arrived, gate := gated(t)
			s := start(t, defaultEnv(url)).ready()
			slow, stream := s.slowAndStreaming(arrived)
			s.signal(sig)
			s.waitRefused()
			if a := s.admin("GET", "/readyz?verbose"); a.Status != 503 || !strings.Contains(a.Body, "[-] not draining: the process was asked to stop") {
				t.Errorf("/readyz while draining = %d %s", a.Status, a.Body)
			}
			s.wantProbe("/livez", http.StatusOK)
			close(gate)
			if o := <-slow; o.err != nil || o.answer.Body != "all of it" {
				t.Errorf("the slow request = %+v, want all of it", o)
			}
			if o := <-stream; o.err != nil || o.answer.Body != "first half, all of it" {
				t.Errorf("the streaming request = %+v, want all of it", o)
			}
			s.ends(0, 5*time.Second)
			s.wantLogged(`"message":"draining"`, `"signal":"`+sig.String()+`"`)
			s.wantLogged(`"message":"stopped"`, `"exit_code":0`)
		})
	}
}

func TestShutdownDelayGoesOnServing(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	s := start(t, defaultEnv(url).with("MONITE_SHUTDOWN_DELAY", "1s")).ready()
	idle := s.dial() // open since before the signal
	begin := time.Now()
	s.signal(syscall.SIGTERM)
	s.waitFor("not ready", func() bool { return s.probe("/readyz") == http.StatusServiceUnavailable })
	if took := time.Since(begin); took > 500*time.Millisecond {
		t.Errorf("not ready only after %v", took)
	}
	s.wantProbe("/livez", http.StatusOK) // or a kubelet would kill it
	for range 3 {
		o := <-s.inBackground(1, "/v1/entities")
		if o.err != nil || o.answer.Status != http.StatusOK || o.answer.Header.Get("Connection") != "close" {
			t.Errorf("during the delay: %+v, want 200 and Connection: close", o)
		}
	}
	sendGet(idle, "/v1/entities")
	if a, err := readAnswer(idle); err != nil || a.Status != http.StatusOK {
		t.Errorf("on a connection from before: %d, %v", a.Status, err)
	}
	s.ends(0, 5*time.Second)
	if took := time.Since(begin); took < time.Second || took > 4*time.Second {
		t.Errorf("ended after %v, want a little more than the delay of 1 s", took)
	}
}

func TestDrainTimeoutCutsVisibly(t *testing.T) {
	t.Parallel()
	url, arrived, _ := gated(t)
	s := start(t, defaultEnv(url).with("MONITE_DRAIN_TIMEOUT", "300ms")).ready()
	slow, stream := s.slowAndStreaming(arrived)
	begin := time.Now()
	s.signal(syscall.SIGTERM)
	if o := <-slow; o.err != nil || o.answer.Status != http.StatusBadGateway || o.answer.Header.Get("X-Monite-Proxy-Outcome") != "unknown" {
		t.Errorf("the slow request = %+v, want 502 and the outcome", o)
	}
	if o := <-stream; o.err == nil || o.answer.Body != "first half, " {
		t.Errorf("the streaming request = %+v, want an error after its first half", o)
	}
	s.ends(1, 5*time.Second)
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("ended after %v", took)
	}
	s.wantLogged("drain timed out", `"requests":2`)
	s.wantLogged(`"message":"stopped"`, `"exit_code":1`)
}

// The apps of some writes have gone, and one app still waits: at the end of the drain the
// log tells of both.
func TestDrainThatEndsTellsOfFollowedWrites(t *testing.T) {
	t.Parallel()
	url, arrived, gate := gated(t)
	defer close(gate)
	s := start(t, defaultEnv(url).with("MONITE_DRAIN_TIMEOUT", "300ms")).ready()
	slow := s.inBackground(1, "/v1/slow")
	<-arrived
	app := s.dial()
	_, _ = io.WriteString(app, "POST /v1/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
	<-arrived
	_ = app.Close()
	s.waitMetric("monite_proxy_followed_writes", 1)
	s.signal(syscall.SIGTERM)
	<-slow
	s.ends(1, 5*time.Second)
	s.wantLogged("drain timed out", `"requests":1`)
	s.wantLogged("writes whose apps had gone", `"writes":1`)
}

// The token comes while the sidecar drains: the early request still gets its
// answer.
func TestSIGTERMBeforeTheFirstToken(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(time.Second), Times: 1})
	s := start(t, defaultEnv(url))
	early := s.inBackground(1, "/v1/entities")
	s.waitMetric("monite_proxy_in_flight_requests", 1)
	s.signal(syscall.SIGTERM)
	if o := <-early; o.err != nil || o.answer.Status != http.StatusOK {
		t.Errorf("the early request = %+v, want 200", o)
	}
	s.ends(0, 5*time.Second)
}

// What the kernel has accepted counts as accepted: the app sees an open
// connection and has sent its request.
func TestSIGTERMAnswersWhatWaitsInTheKernelsQueue(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerSlowly)
	for name, listen := range map[string]string{
		"port":   "127.0.0.1:0",
		"socket": "unix:" + filepath.Join(shortDir(t), "data.sock"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, connections := range []int{1, 1, 1, 20} {
				// One processor, as in a container with a limit of one: the goroutine that
				// stops is not overtaken by the one that accepts.
				s := start(t, defaultEnv(url).with("MONITE_LISTEN_ADDR", listen, "GOMAXPROCS", "1")).ready()
				s.freeze()
				waiting := s.inBackground(connections, "/v1/entities")
				s.signal(syscall.SIGTERM)
				s.signal(syscall.SIGCONT)
				for range connections {
					if o := <-waiting; o.err != nil || o.answer.Status != http.StatusOK {
						t.Errorf("one of %d connections: %d, %v", connections, o.answer.Status, o.err)
					}
				}
				s.ends(0, 5*time.Second)
			}
		})
	}
}

// Idle connections do not hold up the end: they are closed after a grace time,
// in which a request on one is still answered.
func TestIdleConnectionsHaveAGraceTime(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	s := start(t, defaultEnv(url)).ready()
	idle, used := s.dial(), s.dial()
	for _, conn := range []net.Conn{idle, used} {
		sendGet(conn, "/v1/entities")
		if a, err := readAnswer(conn); err != nil || a.Status != http.StatusOK {
			t.Fatalf("%d, %v", a.Status, err)
		}
	}
	begin := time.Now()
	s.signal(syscall.SIGTERM)
	s.waitFor("the drain", func() bool { return s.probe("/readyz") == http.StatusServiceUnavailable })
	sendGet(used, "/v1/entities")
	if a, err := readAnswer(used); err != nil || a.Status != http.StatusOK || a.Header.Get("Connection") != "close" {
		t.Errorf("in the grace time: %d, %v, Connection %q", a.Status, err, a.Header.Get("Connection"))
	}
	if _, err := bufio.NewReader(idle).ReadByte(); err != io.EOF {
		t.Errorf("the idle connection ends with %v, want EOF", err)
	}
	s.ends(0, 5*time.Second)
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("ended after %v", took)
	}
}
