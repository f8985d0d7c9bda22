package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestIdleConnectionsAgeOutWithoutAnyRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{}
		closedAt := make(chan time.Time, 2)
		pipes(tr, func(c net.Conn, br *bufio.Reader) {
			pipeAnswering(okEmpty)(c, br)
			closedAt <- time.Now()
		})
		start := time.Now()
		mustDo(t, tr, pipeRequest("GET", nil, 0))
		if d := (<-closedAt).Sub(start); d != 30*time.Second {
			t.Errorf("idle connection closed after %v, want 30s", d)
		}
		synctest.Wait()
		if s := tr.Stats(); s.Open != 0 || tr.pool.armed {
			t.Errorf("Stats() = %+v, timer armed %v, want nothing", s, tr.pool.armed)
		}
		// Two of different age: the timer runs once for each.
		first, err := tr.RoundTrip(pipeRequest("GET", nil, 0))
		wiretest.Must(t, err)
		_ = first
		start = time.Now()
		time.Sleep(time.Second)
		mustDo(t, tr, pipeRequest("GET", nil, 0)) // LIFO: the same connection again
		if d := (<-closedAt).Sub(start); d != 31*time.Second {
			t.Errorf("idle connection closed after %v, want 31s", d)
		}
	})
}

func TestOldConnectionTakesNoNewRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{}
		dials := pipes(tr, pipeAnswering(okEmpty))
		start := time.Now()
		var changed []time.Duration
		for last := 0; len(changed) < 20; time.Sleep(time.Second) {
			mustDo(t, tr, pipeRequest("GET", nil, 0))
			if *dials != last {
				last = *dials
				changed = append(changed, time.Since(start))
				start = time.Now()
			}
		}
		different := map[time.Duration]bool{}
		for _, age := range changed[1:] {
			different[age] = true
			if age < 48*time.Second || age > 61*time.Second {
				t.Errorf("connection was used for %v, want 48s to 60s", age)
			}
		}
		if len(different) < 2 {
			t.Errorf("every connection lived for %v, want jitter", changed[1])
		}
		tr.CloseIdleConnections()
	})
}

func TestRetiredConnectionIsNeitherKeptNorTaken(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	tr := transport(t, o)
	mustDo(t, tr, get(t, o))
	tr.pool.idle[0].retire = time.Now() // grew old while idle
	resp, err := tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", nil, 0))
	if err != nil || resp.StatusCode != 200 || o.Accepted.Load() != 2 {
		t.Errorf("err = %v, connections = %d, want 2", err, o.Accepted.Load())
	}
	old := transport(t, o, func(tr *Transport) { tr.MaxConnAge = 1 }) // grew old while busy
	mustDo(t, old, get(t, o))
	if s := old.Stats(); s.Open != 0 {
		t.Errorf("Stats() = %+v, want the connection closed", s)
	}
}

// The connection that a waiting request is given may have been closed by
// upstream: the request dials in its place.
func TestWaiterIsNotGivenAClosedConnection(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _, _ = p.Request()
		p.Say(okBody("hello"))
	})
	tr := transport(t, o, func(tr *Transport) { tr.MaxConns = 1 })
	first, err := tr.RoundTrip(get(t, o))
	wiretest.Must(t, err)
	if _, err := io.ReadFull(first.Body, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	c := first.Body.(*exchange).c
	wiretest.Eventually(t, "FIN arrives", func() bool { return !c.live.ok(0) })
	done := make(chan error)
	go func() {
		_, _, err := do(tr, newRequest(t.Context(), o, "POST", "/", nil, 0))
		done <- err
	}()
	wiretest.Eventually(t, "second request waits", func() bool { return tr.Stats().Waiting == 1 })
	if _, err := io.ReadAll(first.Body); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("second request: %v, want it served on a new connection", err)
	}
	if o.Accepted.Load() != 2 {
		t.Errorf("connections = %d, want 2", o.Accepted.Load())
	}
	wiretest.Eventually(t, "all is closed", func() bool { tr.CloseIdleConnections(); return tr.Stats().Open == 0 })
}

func TestRequestsWaitForAConnectionInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{MaxConns: 1}
		pipes(tr, func(c net.Conn, br *bufio.Reader) {
			for {
				req, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				time.Sleep(time.Second)
				if req.Header.Get("Cut") != "" {
					return
				}
				_, _ = io.WriteString(c, okEmpty)
			}
		})
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				req := pipeRequest("GET", nil, 0)
				if i%5 == 0 { // a broken connection hands on its slot
					req.Header.Set("Cut", "1")
				}
				_, _, _ = do(tr, req)
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
			synctest.Wait() // i is queued
		}
		if s := tr.Stats(); s.Open != 1 || s.Waiting != 19 {
			t.Errorf("Stats() = %+v, want 1 open, 19 waiting", s)
		}
		all.Wait()
		for i, got := range order {
			if got != i {
				t.Fatalf("order = %v, want first come first served", order)
			}
		}
		tr.CloseIdleConnections()
	})
}

func TestWaitingForAConnectionIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{MaxConns: 1}
		pipes(tr, pipeAnswering(okBody("hello")))
		busy, err := tr.RoundTrip(pipeRequest("GET", nil, 0))
		wiretest.Must(t, err)
		start := time.Now()
		_, err = tr.RoundTrip(pipeRequest("POST", nil, 0))
		if e := wantError(t, err, OpConnLimit, NotSent); !e.Timeout || time.Since(start) != time.Minute {
			t.Errorf("err = %v after %v, want a time-out after 1m", e, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = tr.RoundTrip(pipeRequest("POST", nil, 0).WithContext(ctx))
		wantError(t, err, OpConnLimit, NotSent)
		if s := tr.Stats(); s.Waiting != 0 {
			t.Errorf("Waiting = %d, want 0", s.Waiting)
		}
		busy.Body.Close()
		mustDo(t, tr, pipeRequest("GET", nil, 0))
		tr.CloseIdleConnections()
	})
}

func TestColdestConnectionGoesAboveMaxIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{MaxIdleConns: 2}
		pipes(tr, pipeAnswering(okBody("hello")))
		var answers []*http.Response
		for range 4 {
			resp, err := tr.RoundTrip(pipeRequest("GET", nil, 0))
			wiretest.Must(t, err)
			answers = append(answers, resp)
		}
		var warmest *conn
		for _, resp := range answers {
			warmest = resp.Body.(*exchange).c
			_, _ = io.ReadAll(resp.Body)
		}
		if s := tr.Stats(); s.Idle != 2 || s.Open != 2 {
			t.Errorf("Stats() = %+v, want 2 idle, 2 open", s)
		}
		if tr.pool.idle[1] != warmest {
			t.Error("the connection used last is not on top")
		}
		tr.CloseIdleConnections()
	})
}

// A request gives up waiting at the very moment when it is offered a slot, or
// a connection: what it was offered goes on to the next.
func TestOfferToALeavingWaiterIsNotLost(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	left := 0
	for i := range 200 {
		p := &pool{maxOpen: 1, maxIdle: 1, idleTimeout: time.Minute}
		p.open = 1
		var offered *conn
		if i%2 == 0 {
			client, _ := net.Pipe()
			offered = newConn(&wire{Conn: client}, client, time.Now().Add(time.Minute))
			offered.idleFrom = time.Now()
		}
		offer := make(chan *conn, 1)
		place := p.waiters.PushBack(offer)
		p.offerLocked(offered)
		_, err := p.wait(ctx, time.Minute, &p.waiters, place, offer)
		if err == nil {
			continue // it saw the offer first
		}
		left++
		want := Stats{}
		if offered != nil {
			want = Stats{Open: 1, Idle: 1}
		}
		if got := p.snapshot(); got != want {
			t.Fatalf("Stats() = %+v, want %+v", got, want)
		}
		p.closeIdle()
	}
	if left == 0 {
		t.Error("no waiter ever left: the test has lost its point")
	}
}
