package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// stops is how often the sidecar is stopped under load: E2E_SIGTERM, or 5.
func stops(t *testing.T) int {
	text := os.Getenv("E2E_SIGTERM")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 10_000 {
		t.Fatalf("E2E_SIGTERM = %q, want a number from 1 to 10000", text)
	}
	return n
}

// A request that was sent on an accepted connection gets its whole answer, and
// is executed at most once, whenever the signal comes.
func TestSIGTERMUnderLoadDropsNothing(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{KeepRequests: -1})
	answered, refused := 0, 0
	for round := range stops(t) {
		sim.ResetStats()
		s := start(t, defaultEnv(url)).ready()
		w := newWorkers(s, fmt.Sprint("round-", round))
		<-time.After(time.Duration(50+rand.IntN(200)) * time.Millisecond)
		s.signal(syscall.SIGTERM)
		w.running.Wait()
		if code := s.exitCode(10 * time.Second); code != 0 {
			t.Errorf("round %d: exit code = %d, want 0", round, code)
		}
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
	t.Logf("%d stops, %d requests answered, %d connections refused", stops(t), answered, refused)
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
		head = fmt.Sprintf("POST /v1/tags HTTP/1.1\r\nHost: localhost\r\nX-Monite-Entity-Id: %s\r\nX-Sim-Nonce: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n",
			monitetest.DemoEntityID, nonce, len(body))
	}
	if !lasting {
		head += "Connection: close\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"+body); err != nil {
		return false, err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return false, err
	}
	if response.StatusCode/100 != 2 {
		return false, fmt.Errorf("%d %s", response.StatusCode, text)
	}
	w.note(func() {
		w.answered++
		if post {
			w.posted[nonce] = true
		}
	})
	return response.Close, nil
}

func (w *workers) note(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}
