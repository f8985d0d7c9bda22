package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// A request that was sent on an accepted connection gets its whole answer, and
// is executed at most once, whenever the signal comes.
func TestSIGTERMUnderLoadDropsNothing(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{KeepRequests: -1})
	stops, answered, refused := wiretest.Number(t, "E2E_SIGTERM", 3), 0, 0
	for round := range stops {
		sim.ResetStats()
		s := start(t, defaultEnv(url)).ready()
		w := newWorkers(s, fmt.Sprint("round-", round))
		<-time.After(time.Duration(50+rand.IntN(200)) * time.Millisecond)
		s.signal(syscall.SIGTERM)
		w.running.Wait()
		s.ends(0, 10*time.Second)
		for _, dropped := range w.dropped {
			t.Errorf("round %d: %s", round, dropped)
		}
		if len(w.posted) == 0 {
			t.Fatalf("round %d: nothing was posted", round)
		}
		for nonce, times := range sim.Stats().Executed {
			if times > 1 || !w.posted[nonce] {
				t.Errorf("round %d: %s was executed %d times, answered: %t", round, nonce, times, w.posted[nonce])
			}
		}
		answered += w.answered
		refused += w.refused
	}
	t.Logf("%d stops, %d requests answered, %d connections refused", stops, answered, refused)
}

// workers are apps that call without a pause until nobody listens any more: a
// quarter each of GETs and POSTs, on connections of their own and on lasting ones.
type workers struct {
	address string
	running sync.WaitGroup

	mu       sync.Mutex // guards all below
	answered int
	refused  int
	posted   map[string]bool // nonces that were answered 201
	dropped  []string
}

const maxWorkers = 32

func newWorkers(s *sidecar, round string) *workers {
	w := &workers{address: strings.TrimPrefix(s.Data, "http://"), posted: map[string]bool{}}
	for i := range maxWorkers {
		w.running.Go(func() {
			for n := 0; w.connection(fmt.Sprint(round, "-", i, "-", n), i%2 == 0, i%4 < 2); n++ {
			}
		})
	}
	return w
}

// connection opens one and uses it once, or until the sidecar says that it
// ends. It reports false when nobody accepts any more.
func (w *workers) connection(name string, post, lasting bool) bool {
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		w.note(func() {
			w.refused++
			if !errors.Is(err, syscall.ECONNREFUSED) {
				w.dropped = append(w.dropped, name+": "+err.Error())
			}
		})
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	reader := bufio.NewReader(conn)
	for n := 0; ; n++ {
		nonce := fmt.Sprint(name, "-", n)
		last, err := w.exchange(conn, reader, nonce, post, lasting)
		if err != nil {
			w.note(func() { w.dropped = append(w.dropped, fmt.Sprintf("%s (lasting %t): %v", nonce, lasting, err)) })
			return true
		}
		if last || !lasting {
			return true
		}
	}
}

// exchange sends one request and reads its whole answer.
func (w *workers) exchange(conn net.Conn, reader *bufio.Reader, nonce string, post, lasting bool) (last bool, err error) {
	head := "GET /v1/entities?limit=1 HTTP/1.1\r\nHost: localhost\r\n"
	body := ""
	if post {
		body = `{"name":"` + nonce + `"}`
		head = fmt.Sprintf("POST /v1/tags HTTP/1.1\r\nHost: localhost\r\nX-Monite-Entity-Id: %s\r\n"+
			"X-Sim-Nonce: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n",
			monitetest.DemoEntityID, nonce, len(body))
	}
	if !lasting {
		head += "Connection: close\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"+body); err != nil {
		return false, err
	}
	a, err := readFrom(reader, http.MethodPost)
	if err != nil {
		return false, err
	}
	if a.Status/100 != 2 {
		return false, fmt.Errorf("%d %s", a.Status, a.Body)
	}
	w.note(func() {
		w.answered++
		if post {
			w.posted[nonce] = true
		}
	})
	return a.Header.Get("Connection") == "close", nil
}

func (w *workers) note(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// TestReloadsUnderLoad changes the identities file E2E_RELOADS times, while apps
// call by every way that stays. Each change must take effect, and no request of
// the apps may fail or be sent as somebody else.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	reloads := wiretest.Number(t, "E2E_RELOADS", 40)
	w := &witness{minted: map[string]int{}}
	url := w.serve(t)
	directory := shortDir(t)
	path, stays, comes := filepath.Join(directory, "identities.yaml"), freePort(t), [2]string{freePort(t), freePort(t)}
	write := func(round int) {
		t.Helper()
		text := fmt.Sprintf(spell(`identities:
  - {name: stays, grant_type: entity_user, entity_user_id: U1, entity_id: E1, path_prefix: /as/stays, listen_addr: "%s"}
  - {name: shop, grant_type: client_credentials, entity_id: E2, path_prefix: /as/shop-%d}
  - {name: extra-%d, grant_type: client_credentials, entity_id: E3, path_prefix: /extra/%d, listen_addr: "%s"}
`), stays, round, round, round, comes[round%2])
		put(t, path, text)
	}
	write(0)
	s := start(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path, "MONITE_ENTITY_ID", shortIDs["E1"])).ready()

	apps := []struct{ base, path, name, want string }{
		{s.Data, "/v1/payables", "", "cc/E1 /v1/payables"},
		{s.Data, "/v1/payables", "stays", "U1/E1 /v1/payables"},
		{s.Data, "/v1/payables", "shop", "cc/E2 /v1/payables"},
		{s.Data, "/as/stays/v1/payables", "", "U1/E1 /v1/payables"},
		{"http://" + stays, "/v1/payables", "", "U1/E1 /v1/payables"},
	}
	transport := &http.Transport{MaxIdleConnsPerHost: len(apps)}
	t.Cleanup(transport.CloseIdleConnections)
	var sent, wrong atomic.Int64
	stop := goOn(t, len(apps), func(worker, _ int) {
		app := apps[worker]
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		in := newRequest(ctx, "GET", app.base+app.path, nil)
		if app.name != "" {
			in.Header.Set("X-Monite-Identity", app.name)
		}
		sent.Add(1)
		if a, err := exchange(transport, in); err != nil || a.Body != spell(app.want) {
			wrong.Add(1)
			t.Errorf("%s%s as %q: %d %s, %v, want %s", app.base, app.path, app.name, a.Status, a.Body, err, app.want)
		}
		time.Sleep(time.Millisecond) // two cores
	})

	begin := time.Now()
	for round := 1; round <= reloads && !t.Failed(); round++ {
		write(round)
		s.signal(syscall.SIGHUP)
		extra := fmt.Sprintf("extra-%d", round)
		s.waitFor(extra, func() bool {
			return s.mustCall("GET", "/v1/payables", "", "X-Monite-Identity", extra).Body == spell("cc/E3 /v1/payables")
		})
		if a, err := request(context.Background(), "GET", "http://"+comes[round%2]+"/v1/payables", ""); err != nil ||
			a.Body != spell("cc/E3 /v1/payables") {
			t.Errorf("round %d, new listener: %s, %v", round, a.Body, err)
		}
		for _, gone := range []string{fmt.Sprintf("/extra/%d/v1/payables", round-1), fmt.Sprintf("/as/shop-%d/v1/payables", round-1)} {
			s.want(403, "GET", gone, "")
		}
	}
	took := time.Since(begin)
	stop()
	t.Logf("%d reloads in %v, %d requests of apps, %d failed", reloads, took.Round(time.Millisecond), sent.Load(), wrong.Load())
	// The last one is counted when the listener that it removed is closed.
	s.waitFor("the count of all reloads", func() bool {
		return s.metricValue(`monite_proxy_identity_reloads_total{result="ok"}`) == float64(reloads)
	})
	if got := s.metricValue(`monite_proxy_identity_reloads_total{result="failed"}`); got != 0 {
		t.Errorf("%v failed reloads are counted", got)
	}
	if s.loggedNow("the old identities stay") {
		t.Error("a reload failed")
	}
	s.signal(syscall.SIGTERM)
	s.ends(0, 10*time.Second)
}
