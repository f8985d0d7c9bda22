package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
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

// A request that is on its way when upstream closes would be of unknown outcome.
func TestConnectionIsNotUsedWhenUpstreamIsAboutToCloseIt(t *testing.T) {
	for _, row := range []struct {
		says  string
		idle  time.Duration
		dials int64
	}{
		{"", 1500 * time.Millisecond, 1},
		{"timeout=2", 900 * time.Millisecond, 1},
		{"timeout=2", 1100 * time.Millisecond, 2},
		{"max=9, Timeout=2", 1100 * time.Millisecond, 2},
		{"timeout=1", 400 * time.Millisecond, 1},
		{"timeout=1", 600 * time.Millisecond, 2},
		{"timeout=0", time.Millisecond, 2},
		{"timeout=60", 1500 * time.Millisecond, 1},
		{"timeout=x, timeout", 1500 * time.Millisecond, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			tr := &Transport{}
			dials := pipes(tr, pipeAnswering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: "+row.says+"\r\n\r\n"))
			mustDo(t, tr, pipeRequest("POST", nil, 0))
			time.Sleep(row.idle)
			mustDo(t, tr, pipeRequest("POST", nil, 0))
			if dials.Load() != row.dials {
				t.Errorf("%q, idle for %v: %d connections, want %d", row.says, row.idle, dials.Load(), row.dials)
			}
			tr.CloseIdleConnections()
		})
	}
}

func TestOldConnectionTakesNoNewRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{}
		dials := pipes(tr, pipeAnswering(okEmpty))
		start := time.Now()
		var changed []time.Duration
		for last := int64(0); len(changed) < 20; time.Sleep(time.Second) {
			mustDo(t, tr, pipeRequest("GET", nil, 0))
			if dials.Load() != last {
				last = dials.Load()
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
		w := &waiter{given: make(chan given, 1)}
		w.joinLocked(&p.waiters)
		p.offerLocked(offered)
		_, err := p.wait(ctx, time.Minute, w)
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

// far makes tr's dials take a second, as to an origin that is far away, and its
// requests the time that they name.
func far(tr *Transport) (dials *atomic.Int64) {
	dials = pipes(tr, func(c net.Conn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			took, _ := time.ParseDuration(req.Header.Get("Takes"))
			time.Sleep(took)
			_, _ = io.WriteString(c, okBody("x"))
		}
	})
	near := tr.Dial
	tr.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
			return near(ctx, network, addr)
		}
	}
	tr.once.Do(tr.setup)
	tr.pool.far = true
	return dials
}

func taking(d time.Duration) *http.Request {
	req := pipeRequest(http.MethodGet, nil, 0)
	req.Header.Set("Takes", d.String())
	return req
}

// wantAtRest checks that no slot and no share is lost.
func wantAtRest(t *testing.T, tr *Transport, idle int) {
	t.Helper()
	synctest.Wait()
	if s := tr.Stats(); s != (Stats{Open: idle, Idle: idle}) || tr.pool.ordinary != 0 || tr.pool.dialling.Len() != 0 || len(tr.pool.spares) != 0 {
		t.Errorf("Stats() = %+v, %d ordinary, %d dialling, %d spare, want %d idle and nothing else",
			s, tr.pool.ordinary, tr.pool.dialling.Len(), len(tr.pool.spares), idle)
	}
}

// A request that dials is served by a connection that another one gives back, and what
// it has dialled serves the next.
func TestRequestTakesTheFirstConnectionItCanGet(t *testing.T) {
	for _, row := range []struct {
		name   string
		far    bool
		second time.Duration // after which the second request has its response
		dials  int64
	}{
		{"far origin", true, 300 * time.Millisecond, 2},
		{"near origin: no connection is opened that no request uses", false, 1100 * time.Millisecond, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &Transport{}
				dials := far(tr)
				tr.pool.far = row.far
				mustDo(t, tr, taking(0)) // one connection
				var both sync.WaitGroup
				start := time.Now()
				both.Go(func() { mustDo(t, tr, taking(200*time.Millisecond)) })
				synctest.Wait()
				both.Go(func() { mustDo(t, tr, taking(100*time.Millisecond)) })
				both.Wait()
				if took := time.Since(start); took != row.second {
					t.Errorf("the second request took %v, want %v", took, row.second)
				}
				time.Sleep(time.Second)
				wantAtRest(t, tr, 2)
				start = time.Now()
				both.Go(func() { mustDo(t, tr, taking(time.Millisecond)) })
				both.Go(func() { mustDo(t, tr, taking(time.Millisecond)) })
				both.Wait()
				if took := time.Since(start); took != time.Millisecond || dials.Load() != row.dials {
					t.Errorf("two more took %v with %d dials, want both idle connections used", took, dials.Load())
				}
				tr.CloseIdleConnections()
				wantAtRest(t, tr, 0)
			})
		})
	}
}

// Requests that are short beside a dial: there are no more dials than requests at one
// time, though most requests find no idle connection.
func TestSharedDialsAreNoMoreThanRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const requests = 8
		tr := &Transport{}
		dials := far(tr)
		mustDo(t, tr, taking(0))
		var all sync.WaitGroup
		for range requests {
			all.Go(func() {
				for range 200 {
					mustDo(t, tr, taking(10*time.Millisecond))
				}
			})
		}
		all.Wait()
		if n := dials.Load(); n > requests {
			t.Errorf("%d dials for %d requests at a time", n, requests)
		}
		time.Sleep(2 * time.Second)
		wantAtRest(t, tr, int(dials.Load()))
		tr.CloseIdleConnections()
	})
}

func TestDialThatOutlastsItsRequest(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(tr *Transport, cancel context.CancelFunc, fail *atomic.Bool)
		idle int // connections after a second
	}{
		{"serves later", func(*Transport, context.CancelFunc, *atomic.Bool) {}, 2},
		{"is not cancelled with it", func(_ *Transport, cancel context.CancelFunc, _ *atomic.Bool) { cancel() }, 2},
		{"fails", func(_ *Transport, _ context.CancelFunc, fail *atomic.Bool) { fail.Store(true) }, 1},
		{"ends with the idle connections", func(tr *Transport, _ context.CancelFunc, _ *atomic.Bool) { tr.CloseIdleConnections() }, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr, fail := &Transport{}, atomic.Bool{}
				far(tr)
				slow := tr.dialer.dial
				tr.dialer.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					nc, err := slow(ctx, network, addr)
					if err == nil && fail.Load() {
						_ = nc.Close()
						return nil, io.ErrUnexpectedEOF
					}
					return nc, err
				}
				mustDo(t, tr, taking(0))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var both sync.WaitGroup
				both.Go(func() { mustDo(t, tr, taking(100*time.Millisecond)) })
				synctest.Wait()
				both.Go(func() { mustDo(t, tr, taking(100*time.Millisecond).WithContext(ctx)) })
				both.Wait() // the second one's dial has 800 ms to go
				row.do(tr, cancel, &fail)
				time.Sleep(time.Second)
				wantAtRest(t, tr, row.idle)
				fail.Store(false)
				mustDo(t, tr, taking(0))
				tr.CloseIdleConnections()
				wantAtRest(t, tr, 0)
			})
		})
	}
}

// The connection that is given back to a request that dials may have been closed by
// upstream: the request dials in its slot.
func TestDiallingRequestIsNotGivenAClosedConnection(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _, _ = p.Request()
		p.Say(okBody("hello"))
	})
	dials, gate := atomic.Int64{}, make(chan struct{})
	tr := transport(t, o, func(tr *Transport) {
		tr.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) == 2 {
				<-gate
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
		tr.once.Do(tr.setup)
		tr.pool.far = true
	})
	first, err := tr.RoundTrip(get(t, o))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(first.Body, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	c := first.Body.(*exchange).c
	wiretest.Eventually(t, "FIN arrives", func() bool { return !c.live.ok(0) })
	done := make(chan error)
	go func() {
		_, _, err := do(tr, get(t, o))
		done <- err
	}()
	wiretest.Eventually(t, "the second request dials", func() bool { return dials.Load() == 2 })
	if _, err := io.ReadAll(first.Body); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || dials.Load() != 3 {
		t.Errorf("second request: %v after %d dials, want it served by the third", err, dials.Load())
	}
	close(gate)
	wiretest.Eventually(t, "all is closed", func() bool { tr.CloseIdleConnections(); return tr.Stats().Open == 0 })
}

// Many requests that come, wait, leave and fail at random moments: no slot is lost, no
// connection is in two hands, and no request waits for ever.
func TestSharedDialsKeepTheCount(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			tr := &Transport{MaxConns: 6, Reserve: 2}
			far(tr)
			slow, fails := tr.dialer.dial, atomic.Uint64{}
			tr.dialer.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if fails.Add(1)%5 == 0 {
					time.Sleep(time.Millisecond)
					return nil, io.ErrUnexpectedEOF
				}
				return slow(ctx, network, addr)
			}
			var all sync.WaitGroup
			for range 200 {
				time.Sleep(time.Duration(random.ExpFloat64() * float64(100*time.Millisecond)))
				req := taking(time.Duration(random.IntN(400)) * time.Millisecond)
				trip, patience := tr.RoundTrip, time.Duration(random.IntN(3000)+1)*time.Millisecond
				if random.IntN(4) == 0 {
					trip = tr.Reserved().RoundTrip
				}
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					if resp, err := trip(req.WithContext(ctx)); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
					}
				})
			}
			all.Wait()
			time.Sleep(3 * time.Second)
			wantAtRest(t, tr, tr.Stats().Idle)
			tr.CloseIdleConnections()
			wantAtRest(t, tr, 0)
		})
	}
}

// hang makes some of tr's dials hang, from one to another.
func hang(tr *Transport, from, to int64) {
	dial, dials := tr.dialer.dial, atomic.Int64{}
	tr.dialer.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if n := dials.Add(1); n < from || n > to {
			return dial(ctx, network, addr)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

// No dial ends any more: a read that has begun one, after it has counted on another's, does
// not lose its turn to a later read.
func TestConnectionGoesToTheReadThatHasWaitedLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{}
		far(tr)
		hang(tr, 2, 4)
		mustDo(t, tr, taking(0))
		var all sync.WaitGroup
		for _, read := range []struct{ takes, pause, whole time.Duration }{
			{100 * time.Millisecond, 0, 100 * time.Millisecond},
			{600 * time.Millisecond, 150 * time.Millisecond, 700 * time.Millisecond}, // its dial is nobody's from 100 ms on
			{10 * time.Millisecond, 350 * time.Millisecond, 560 * time.Millisecond},  // dials from 400 ms on
			{10 * time.Millisecond, 0, 220 * time.Millisecond},                       // counts on the dial of the second
		} {
			all.Go(func() {
				start := time.Now()
				if mustDo(t, tr, taking(read.takes)); time.Since(start) != read.whole {
					t.Errorf("the read of %v took %v, want %v", read.takes, time.Since(start), read.whole)
				}
			})
			synctest.Wait()
			time.Sleep(read.pause)
		}
		all.Wait()
		tr.CloseIdleConnections()
		wantAtRest(t, tr, 0)
	})
}

// A dial that nobody waits for may hang: a request that counts on it dials itself after a
// while, and an urgent one at once.
func TestSpareDialThatHangsHoldsUpNobody(t *testing.T) {
	for urgent, want := range map[bool]time.Duration{false: spareTrust + time.Second, true: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			tr := &Transport{Reserve: 16}
			far(tr)
			hang(tr, 2, 2)
			mustDo(t, tr, taking(0))
			var all sync.WaitGroup
			all.Go(func() { mustDo(t, tr, taking(100*time.Millisecond)) })
			synctest.Wait()
			all.Go(func() { mustDo(t, tr, taking(time.Minute)) }) // gets the connection of the first; its dial hangs
			time.Sleep(200 * time.Millisecond)
			trip := tr.RoundTrip
			if urgent {
				trip = tr.Reserved().RoundTrip
			}
			start := time.Now()
			resp, err := trip(taking(0))
			if took := time.Since(start); err != nil || took != want {
				t.Errorf("urgent %v: %v after %v, want a response after %v", urgent, err, took, want)
			} else {
				_, _ = io.Copy(io.Discard, resp.Body)
			}
			all.Wait()
			tr.CloseIdleConnections()
			wantAtRest(t, tr, 0)
		})
	}
}

// A connection that was given back just now may be about to be closed, and that does not
// show yet. A read is sent again then; a write waits for its own connection.
func TestWriteWaitsForItsOwnConnection(t *testing.T) {
	for _, spare := range []bool{false, true} { // a dial that nobody waits for is under way
		synctest.Test(t, func(t *testing.T) {
			tr := &Transport{}
			far(tr)
			mustDo(t, tr, taking(0))
			var all sync.WaitGroup
			all.Go(func() { mustDo(t, tr, taking(100*time.Millisecond)) })
			synctest.Wait()
			if spare {
				all.Go(func() { mustDo(t, tr, taking(100*time.Millisecond)) })
				time.Sleep(150 * time.Millisecond)
			}
			all.Go(func() {
				write := taking(0)
				write.Method = http.MethodPost
				start := time.Now()
				if mustDo(t, tr, write); time.Since(start) != time.Second {
					t.Errorf("spare %v: a write had its response after %v, want the time of a dial", spare, time.Since(start))
				}
			})
			all.Wait()
			time.Sleep(2 * time.Second)
			tr.CloseIdleConnections()
			wantAtRest(t, tr, 0)
		})
	}
}

// CloseIdleConnections waits for the dials that it has ended, and for none that began
// later.
func TestIdleConnectionsAreClosedBesideTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{}
		far(tr)
		mustDo(t, tr, taking(0))
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				for range 100 {
					time.Sleep(time.Duration(n) * time.Millisecond)
					mustDo(t, tr, taking(20*time.Millisecond))
				}
			})
		}
		for range 50 {
			time.Sleep(30 * time.Millisecond)
			start := time.Now()
			if tr.CloseIdleConnections(); time.Since(start) > 0 {
				t.Errorf("it took %v", time.Since(start))
			}
		}
		all.Wait()
		time.Sleep(2 * time.Second)
		tr.CloseIdleConnections()
		wantAtRest(t, tr, 0)
	})
}

func TestDialThatPanicsIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{}
		far(tr)
		tr.dialer.dial = func(context.Context, string, string) (net.Conn, error) { panic("on purpose") }
		_, err := tr.RoundTrip(taking(0))
		wantError(t, err, OpDial, NotSent)
		wantAtRest(t, tr, 0)
	})
}

func TestDialThatPanicsLeavesNoConnection(t *testing.T) {
	config := ca().Server()
	config.ClientAuth = tls.RequestClientCert
	o := wiretest.Listen(t, config, func(p *wiretest.Peer) { p.UntilCut() }) // makes the handshake
	tr := transport(t, o, trusting, func(tr *Transport) {
		tr.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { panic("on purpose") }
	})
	_, err := tr.RoundTrip(get(t, o))
	wantError(t, err, OpDial, NotSent)
	wiretest.Eventually(t, "the connection is closed", func() bool { return o.Open.Load() == 0 })
}
