package upstream

import (
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

// warmed is a Transport that keeps a connection warm although its origin is a pipe,
// in a time of which a pipe's connections are trusted.
func warmed(t *testing.T, change ...func(*Transport)) (tr *Transport, dials *atomic.Int64) {
	tr = &Transport{KeepWarm: 20 * time.Second, IdleTimeout: 1500 * time.Millisecond}
	dials = pipes(tr, pipeAnswering(okBody("hello")))
	for _, f := range change {
		f(tr)
	}
	tr.once.Do(tr.setup)
	tr.warm.init(tr)
	t.Cleanup(tr.CloseIdleConnections)
	return tr, dials
}

func TestRequestsAfterAPauseFindAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, dials := warmed(t)
		mustDo(t, tr, pipeRequest("GET", nil, 0))
		most := 0
		for range 100 {
			for range 30 {
				time.Sleep(time.Second/10 + time.Duration(rand.IntN(int(time.Millisecond))))
				most = max(most, tr.Stats().Open)
			}
			before := dials.Load()
			mustDo(t, tr, pipeRequest("POST", nil, 0))
			if dials.Load() != before {
				t.Fatal("a request had to wait for a connection")
			}
		}
		if most > 2 {
			t.Errorf("%d connections were open, want 2 at most", most)
		}
		made, used, unused := tr.MadeAhead()
		if made != uint64(dials.Load()-1) || used < 100 || used > made || made-used-unused > 1 {
			t.Errorf("made %d, used %d, unused %d of %d dials", made, used, unused, dials.Load())
		}
	})
}

func TestNothingIsKeptWarmWithoutTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, dials := warmed(t)
		for range 3 {
			mustDo(t, tr, pipeRequest("GET", nil, 0))
			time.Sleep(tr.KeepWarm + 3*time.Second)
			if s := tr.Stats(); s.Open != 0 || tr.warm.armed.Load() || tr.pool.armed {
				t.Errorf("after the traffic: %+v, timers %v %v", s, tr.warm.armed.Load(), tr.pool.armed)
			}
			before := dials.Load()
			time.Sleep(time.Hour)
			if dials.Load() != before {
				t.Errorf("%d connections were made for nobody", dials.Load()-before)
			}
		}
	})
}

// Mints come by themselves: they keep nothing warm.
func TestReservedRequestsAreNoTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, dials := warmed(t)
		resp, err := tr.Reserved().RoundTrip(pipeRequest("POST", nil, 0))
		wiretest.Must(t, err)
		_, _ = io.ReadAll(resp.Body)
		time.Sleep(time.Minute)
		if dials.Load() != 1 || tr.Stats().Open != 0 {
			t.Errorf("%d dials, %+v", dials.Load(), tr.Stats())
		}
	})
}

func TestUpstreamThatIsDownIsNotDialledAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		var failed atomic.Int64
		tr, _ := warmed(t, func(tr *Transport) {
			tr.KeepWarm = 10 * time.Minute
			up := tr.Dial
			tr.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if down.Load() {
					failed.Add(1)
					return nil, errStopped
				}
				return up(ctx, network, addr)
			}
		})
		mustDo(t, tr, pipeRequest("GET", nil, 0))
		down.Store(true)
		time.Sleep(11 * time.Minute)
		if got, most := failed.Load(), int64(10*time.Minute/warmRetry)+1; got == 0 || got > most {
			t.Errorf("%d dials, want some, %d at most", got, most)
		}
	})
}

func TestNothingIsMadeAheadWhileOthersWaitOrHoldAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, dials := warmed(t, func(tr *Transport) { tr.MaxConns = 1 })
		mustDo(t, tr, pipeRequest("GET", nil, 0))
		resp, err := tr.RoundTrip(pipeRequest("GET", nil, 0))
		wiretest.Must(t, err)
		time.Sleep(10 * time.Second)
		if dials.Load() != 1 {
			t.Errorf("%d connections", dials.Load())
		}
		_ = resp.Body.Close()
	})
}

// The tickets of TLS 1.3 lie unread in the socket of a connection that has not been
// used: they are no reason to throw it away.
func TestConnectionMadeAheadIsUsedInSpiteOfItsTickets(t *testing.T) {
	t.Parallel()
	// Go's server sends tickets with its Finished, and not behind ours as others do,
	// unless it asks for a certificate in a handshake that resumes nothing.
	config := ca().Server()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		fresh := ca().Server()
		fresh.ClientAuth = tls.RequestClientCert
		fresh.SetSessionTicketKeys([][32]byte{{byte(rand.Int())}, {byte(rand.Int())}})
		return fresh, nil
	}
	o := wiretest.Listen(t, config, func(p *wiretest.Peer) {
		_ = p.Conn.(*tls.Conn).Handshake()
		wiretest.Answering(okBody("hello"))(p)
	})
	tr := transport(t, o, trusting, func(tr *Transport) { tr.KeepWarm, tr.IdleTimeout = time.Minute, time.Second })
	mustDo(t, tr, newRequest(t.Context(), o, "GET", "/", nil, 0))
	wiretest.Eventually(t, "a connection made ahead", func() bool { made, _, _ := tr.MadeAhead(); return made > 0 })
	wiretest.Eventually(t, "the end of the one before", func() bool { return tr.Stats().Open == 1 })
	var trace Trace
	_, body := mustDo(t, tr, newRequest(context.WithValue(t.Context(), TraceKey{}, &trace), o, "POST", "/", nil, 0))
	if made, used, unused := tr.MadeAhead(); body != "hello" || trace.DialDuration != 0 || used == 0 {
		t.Errorf("%q after a dial of %v; made %d, used %d, unused %d", body, trace.DialDuration, made, used, unused)
	}
}

// What is no ticket is a stray answer, and whoever closes does not answer.
func TestConnectionMadeAheadIsNotTrustedBlindly(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]string{"closed": "", "a stray answer": okBody("stray")} {
		t.Run(name, func(t *testing.T) {
			gone := make(chan struct{})
			o := wiretest.Listen(t, ca().Server(), func(p *wiretest.Peer) {
				if p.Index != 2 {
					wiretest.Answering(okBody("hello"))(p)
					return
				}
				p.Say(say) // makes the handshake
				if say == "" {
					_ = p.Conn.(interface{ Handshake() error }).Handshake()
					p.Cut(false)
				}
				close(gone)
				p.UntilCut()
			})
			tr := transport(t, o, trusting, func(tr *Transport) { tr.KeepWarm, tr.IdleTimeout = time.Minute, time.Second })
			mustDo(t, tr, newRequest(t.Context(), o, "GET", "/", nil, 0))
			<-gone
			wiretest.Eventually(t, "the end of the one before", func() bool { return tr.Stats().Open <= 1 })
			for range 3 {
				if _, body := mustDo(t, tr, newRequest(t.Context(), o, "POST", "/", nil, 0)); body != "hello" {
					t.Errorf("body = %q", body)
				}
			}
			if n := o.Complete.Load(); n != 4 {
				t.Errorf("%d requests were executed, want 4", n)
			}
		})
	}
}

func TestWritesTakeTheYoungestConnection(t *testing.T) {
	now := time.Now()
	for _, write := range []bool{true, false} {
		p := &pool{maxOpen: 9, maxIdle: 9, idleTimeout: time.Second, open: 3}
		for _, age := range []time.Duration{3, 1, 2} {
			client, _ := net.Pipe()
			c := newConn(&wire{Conn: client}, client, now.Add(time.Hour))
			c.made, c.idleFrom, c.urgent = now.Add(-age*time.Minute), now, true
			p.idle = append(p.idle, c)
		}
		want := p.idle[2] // used last
		if write {
			want = p.idle[1]
		}
		if got, err := p.get(t.Context(), time.Second, needs(write)); got != want || err != nil {
			t.Errorf("write %v: connection of %v, %v", write, now.Sub(got.made), err)
		}
		p.closeIdle()
	}
}

func needs(write bool) *want { return &want{youngest: write} }

func TestReserveIsForReservedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{MaxConns: 3, Reserve: 1, ResponseHeaderTimeout: time.Hour}
		pipes(tr, pipeAnswering(okBody("hello")))
		hold := func(rt http.RoundTripper) *http.Response {
			resp, err := rt.RoundTrip(pipeRequest("GET", nil, 0))
			if err != nil {
				t.Error(err)
			}
			return resp
		}
		first, second := hold(tr), hold(tr)
		var third *http.Response
		var waiting sync.WaitGroup
		waiting.Go(func() { third = hold(tr) })
		synctest.Wait()
		if s := tr.Stats(); s.Open != 2 || s.Waiting != 1 {
			t.Errorf("a third one: %+v, want it to wait", s)
		}
		for range 5 { // what a mint leaves idle is not for the third either
			_, _ = io.ReadAll(hold(tr.Reserved()).Body)
			synctest.Wait()
			if s := tr.Stats(); s.Waiting != 1 {
				t.Errorf("after a mint: %+v", s)
			}
		}
		_, _ = io.ReadAll(first.Body)
		waiting.Wait()
		_, _ = io.ReadAll(second.Body)
		_, _ = io.ReadAll(third.Body)
		tr.CloseIdleConnections()
		if s := tr.Stats(); s.Open != 0 || tr.pool.ordinary != 0 {
			t.Errorf("at the end: %+v, %d held", s, tr.pool.ordinary)
		}
	})
}

// Whatever comes in whatever order: nobody waits for what is free, and nobody holds
// what is not his.
func TestPoolUnderAnyOrderOfRequests(t *testing.T) {
	for seed := range wiretest.Sized[uint64](80, 200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable
			tr := &Transport{MaxConns: 1 + random.IntN(5), ResponseHeaderTimeout: time.Hour}
			tr.Reserve = random.IntN(tr.MaxConns)
			pipes(tr, pipeAnswering(okBody("hello")))
			var all sync.WaitGroup
			var held [2]int // ordinary, urgent
			var mu sync.Mutex
			for range 40 {
				urgent := random.IntN(3) == 0
				keep, cut := time.Duration(random.IntN(50))*time.Millisecond, random.IntN(4) == 0
				time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
				all.Go(func() {
					rt, kind := http.RoundTripper(tr), 0
					if urgent {
						rt, kind = tr.Reserved(), 1
					}
					resp, err := rt.RoundTrip(pipeRequest("GET", nil, 0))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					held[kind]++
					if held[0] > tr.MaxConns-tr.Reserve || held[0]+held[1] > tr.MaxConns {
						t.Errorf("seed %d: %v are held of %d, reserve %d", seed, held, tr.MaxConns, tr.Reserve)
					}
					mu.Unlock()
					time.Sleep(keep)
					mu.Lock()
					held[kind]--
					mu.Unlock()
					if cut {
						_ = resp.Body.Close()
					} else {
						_, _ = io.ReadAll(resp.Body)
					}
				})
				synctest.Wait()
				p := &tr.pool
				p.mu.Lock()
				if p.open < p.maxOpen && (p.urgent.Len() > 0 || p.waiters.Len() > 0 && p.mayLocked(false)) {
					t.Errorf("seed %d: somebody waits, with %d of %d open", seed, p.open, p.maxOpen)
				}
				p.mu.Unlock()
			}
			all.Wait()
			tr.CloseIdleConnections()
			if s := tr.Stats(); s.Open != 0 || tr.pool.ordinary != 0 {
				t.Errorf("seed %d, at the end: %+v, %d held", seed, s, tr.pool.ordinary)
			}
		})
	}
}
