package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// boundsAttack is what one connection of an attack does once it is open.
type boundsAttack struct {
	name, listener string // data, admin or vend
	send           string
	trickle        bool // one more byte now and then
	noRead         bool
}

func boundsAttacks() []boundsAttack {
	long := "GET /v1/payables HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("x", 60<<10)
	return []boundsAttack{
		{name: "silent", listener: "data"}, {name: "silent", listener: "admin"}, {name: "silent", listener: "vend"},
		{name: "unfinished head of 60 KB", listener: "data", send: long},
		{name: "unfinished head of 60 KB", listener: "vend", send: long},
		{name: "unfinished head", listener: "admin", send: "GET /status HTTP/1.1\r\nHost: localhost\r\nX: "},
		{name: "trickling body", listener: "data", trickle: true, send: "POST /v1/payables HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n"},
		{name: "unread /status", listener: "admin", noRead: true, send: strings.Repeat("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n", 20)},
		{name: "unread /metrics", listener: "admin", noRead: true, send: strings.Repeat("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 20)},
		{name: "event stream", listener: "admin", noRead: true, send: "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"},
	}
}

// TestBounds attacks each listener with BOUNDS connections (300), with 256
// descriptors for the sidecar, and asks meanwhile: requests of apps are answered in
// time, the probes too, and memory stays within what a container gives.
func TestBounds(t *testing.T) {
	connections, lasting := 300, 1500*time.Millisecond
	if text := os.Getenv("BOUNDS"); text != "" {
		var err error
		if connections, err = strconv.Atoi(text); err != nil || connections < 1 || connections > 20_000 {
			t.Fatalf("BOUNDS = %q, want a number from 1 to 20000", text)
		}
		lasting = 4 * time.Second
	}
	const most = 96 << 20
	for _, attack := range boundsAttacks() {
		t.Run(attack.listener+"/"+attack.name, func(t *testing.T) {
			url := script(t, nil, answerOK)
			cmd := exec.Command("/bin/sh", "-c", `ulimit -n 256 && exec "$0"`, filepath.Join(binaries, "monite-proxy"))
			s := launch(t, defaultEnv(url).with("MONITE_VEND_ADDR", "127.0.0.1:0").
				with("MONITE_ALLOWED_ENTITY_USER_IDS", "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"), cmd, nil)
			s.waitFor("the listeners", s.addresses)
			s.ready()
			address := map[string]string{
				"data": strings.TrimPrefix(s.Data, "http://"), "admin": strings.TrimPrefix(s.Admin, "http://"), "vend": s.logField("vend"),
			}[attack.listener]
			before := s.usage()
			stop, attacking := make(chan struct{}), sync.WaitGroup{}
			for range connections {
				attacking.Go(func() { attack.run(address, stop) })
			}
			defer attacking.Wait()
			defer close(stop)
			var worst time.Duration
			asks, failures, probes, peak := 0, 0, 0, before
			client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			for began := time.Now(); time.Since(began) < lasting; <-time.After(50 * time.Millisecond) {
				for _, ask := range []string{s.Data + "/v1/payables", s.Admin + "/livez"} {
					asked := time.Now()
					asks++
					response, err := client.Get(ask)
					failed := err != nil || response.StatusCode != http.StatusOK
					switch {
					case failed && ask == s.Data+"/v1/payables":
						failures++
						t.Logf("%s: %v", ask, err)
					case failed: // pushed out by newer connections to the same listener: the kubelet asks again
						probes++
					}
					if err == nil {
						_ = response.Body.Close()
					}
					worst = max(worst, time.Since(asked))
				}
				now := s.usage()
				peak.rss, peak.fds = max(peak.rss, now.rss), max(peak.fds, now.fds)
			}
			t.Logf("%d connections: VmRSS %.1f MiB, %.1f before; %d descriptors of 256; slowest of data and livez %v; %d of data failed, %d of livez",
				connections, mib(peak.rss), mib(before.rss), peak.fds, worst.Round(time.Millisecond), failures, probes)
			// Behind the attacked listener itself a newcomer may be the one that makes room.
			tolerated := 0
			if attack.listener == "data" {
				tolerated = asks / 20
			}
			if failures > tolerated || worst > 2*time.Second {
				t.Errorf("%d requests failed and the slowest took %v", failures, worst)
			}
			if peak.rss > most {
				t.Errorf("VmRSS %.1f MiB, want at most %.0f", mib(peak.rss), mib(most))
			}
		})
	}
}

// run opens its connection again whenever it is closed.
func (a boundsAttack) run(address string, stop <-chan struct{}) {
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_, _ = io.WriteString(conn, a.send)
			a.hold(conn, stop)
			_ = conn.Close()
		}
		select {
		case <-stop:
			return
		case <-time.After(time.Second):
		}
	}
}

func (a boundsAttack) hold(conn net.Conn, stop <-chan struct{}) {
	closed := make(chan struct{})
	if a.noRead {
		closed = nil // nothing tells
	} else {
		go func() {
			defer close(closed)
			_, _ = io.Copy(io.Discard, conn)
		}()
		defer func() { _ = conn.Close(); <-closed }()
	}
	for limit := time.After(2 * time.Second); ; {
		var next <-chan time.Time
		if a.trickle {
			next = time.After(200 * time.Millisecond)
		}
		select {
		case <-stop:
			return
		case <-closed:
			return
		case <-limit:
			if a.noRead {
				return
			}
			limit = nil
		case <-next:
			if _, err := fmt.Fprint(conn, "x"); err != nil {
				return
			}
		}
	}
}
