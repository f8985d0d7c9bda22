package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// Bad links, made by a relay: what tc would do where it is not to be had. Losses
// and black holes are filters on the relay's sockets, so they meet what the
// sidecar sends; what it receives is held back instead.
func faultsNetwork(r *faultRun) {
	link := func(c *faultCell, e func(string) env, pairs ...string) *wiretest.Relay {
		l := wiretest.NewRelay(c.T, c.origin(nil).url())
		c.start(e(l.URL()).with(pairs...))
		return l
	}
	lengths := map[time.Duration]faultWhen{time.Second: inUsual, 3 * time.Second: inUsual, 30 * time.Second: inFull}
	for length, when := range lengths {
		for _, name := range []string{"stalled", "black_hole"} {
			r.each(when, fmt.Sprintf("%s_%v", name, length), shapesOfAll, func(c *faultCell, shape faultShape) {
				l := link(c, quickEnv, unfollowed...)
				c.served(c.do(shape))
				c.takeBaseline()
				filter := wiretest.DropAll
				if name == "stalled" {
					filter = nil
				}
				if !l.Part(filter) {
					c.Skip("no socket filters here")
				}
				for began := time.Now(); time.Since(began) < length; {
					// 504 with the limit of 500 ms; in a black hole a dial takes longer.
					c.want(c.do(shape), timedOut+" | "+unreachable, 1, 0, 1)
				}
				l.Heal()
				c.recovers(2*time.Second, shape)
				c.backToBaseline(2 * time.Second)
			})
		}
		// As it is by default: what became of a write in the partition is known after it.
		r.each(inUsual, "stalled_followed", shapesOfAll, func(c *faultCell, shape faultShape) {
			l := link(c, quickEnv)
			c.served(c.do(shape))
			if !l.Part(nil) {
				c.Skip("no socket filters here")
			}
			for range 2 {
				c.want(c.do(shape), timedOut+" | "+unreachable, 1, 0, 1)
			}
			l.Heal()
			c.followed(0)
			c.recovers(2*time.Second, shape)
		})
		// Requests wait the partition out if they may.
		r.each(when, fmt.Sprintf("waited_out_%v", length), shapesOfAll, func(c *faultCell, shape faultShape) {
			l := link(c, defaultEnv)
			c.served(c.do(shape))
			l.Part(nil)
			time.AfterFunc(length, l.Heal)
			c.served(c.do(shape))
		})
	}
	r.each(inUsual, "loss_30_percent", shapesOfAll, func(c *faultCell, shape faultShape) {
		l := link(c, defaultEnv)
		c.served(c.do(shape))
		if !l.Lossy(wiretest.DropThirty) {
			c.Skip("no socket filters here, and no netem: loss cannot be made")
		}
		answered, slowest := 0, time.Duration(0)
		for began := time.Now(); time.Since(began) < 8*time.Second; {
			one := c.do(shape)
			c.want(one, "200 | "+unreachable+" | "+broken+" | "+timedOut, 2, 0, 1)
			if one.status == http.StatusOK {
				answered++
			}
			slowest = max(slowest, one.took)
		}
		if answered == 0 {
			c.Error("nothing was answered")
		}
		c.figure("%d requests were answered, the slowest after %v", answered, slowest)
		l.Heal()
		c.recovers(2*time.Second, shape)
	})
	r.each(inShort, "mtu_black_hole", shapesOfAll, func(c *faultCell, shape faultShape) {
		l := link(c, quickEnv, unfollowed...)
		if !l.Lossy(wiretest.DropLarge) {
			c.Skip("no socket filters here")
		}
		said, executed := "200", 1
		if shape.name == shapeStream.name {
			said, executed = timedOut, 0 // its segments never arrive
		}
		one := c.do(shape)
		c.want(one, said, 1, executed, executed)
		l.Heal()
		c.recovers(2*time.Second, shape)
	})
	r.each(inUsual, "latency_2s", shapesOfAll, func(c *faultCell, shape faultShape) {
		l := link(c, defaultEnv)
		l.Slow(0, time.Second) // each way
		one := c.do(shape)
		c.served(one)
		if one.took < 1900*time.Millisecond {
			c.Errorf("it took %v: there was no latency", one.took)
		}
		l.Heal()
		c.recovers(2*time.Second, shape)
	})
	r.each(inUsual, "1KiB_per_second", shapesShort, func(c *faultCell, shape faultShape) {
		l := link(c, defaultEnv)
		l.Slow(1024, 0)
		c.served(c.do(shape))
		c.served(c.do(shape))
		l.Heal()
		c.recovers(time.Second, shape)
	})
	// 70 KB at 1 KiB/s: more than the limit of a minute, and it moves all the time.
	r.cell(inFull, "1KiB_per_second/POST_stream", func(c *faultCell) {
		l := link(c, defaultEnv)
		l.Slow(1024, 0)
		began := time.Now()
		one := c.do(shapeStream)
		c.figure("%s after %v", one, time.Since(began))
		c.want(one, "200 | "+timedOut, 1, 0, 1)
	})
	// localhost is ::1 and 127.0.0.1 to a resolver; only the second works.
	for _, name := range []string{"refused", "black_hole"} {
		r.each(inUsual, "ipv6_"+name, shapesShort, func(c *faultCell, shape faultShape) {
			o := c.origin(nil)
			if name == "black_hole" && !wiretest.FilterSocket(holdPort(c, "[::1]:"+portOf(o.addr)), wiretest.DropAll) {
				c.Skip("no socket filters here")
			}
			names := newNameServer(c.T, "")
			names.Lead("127.0.0.1", "::1")
			c.s = startAsking(c.T, names, namedEnv(o)).ready()
			for range 3 {
				one := c.do(shape)
				c.served(one)
				if one.took > 2*time.Second {
					c.Errorf("it took %v", one.took)
				}
				o.cut(false)
			}
		})
	}
}

// Upstream moves: what is new goes to the new place, and nothing is sent twice.
func faultsMove(r *faultRun) {
	both := func(c *faultCell) (old, next *faultOrigin) {
		old, next = newOrigin(c.T, nil), newOrigin(c.T, nil)
		c.ledger = bothLedgers{old, next}
		return old, next
	}
	r.each(inShort, "old_one_closes", shapesOfAll, func(c *faultCell, shape faultShape) {
		old, next := both(c)
		l := wiretest.NewRelay(c.T, old.url())
		c.start(defaultEnv(l.URL()))
		for _, place := range []*faultOrigin{next, old, next} {
			c.served(c.do(shape))
			l.MoveTo(place.url())
			l.Cut()
			one := c.do(shape)
			c.served(one)
			if _, executed := place.count(one.nonce); executed != 1 {
				c.Errorf("the new place executed it %d times", executed)
			}
		}
	})
	// A rolling deploy: the old one says Connection: close, and ends.
	r.each(inUsual, "rolling_under_load", shapesShort, func(c *faultCell, shape faultShape) {
		old, next := both(c)
		l := wiretest.NewRelay(c.T, old.url())
		c.start(defaultEnv(l.URL()))
		old.behave(nil, func(x *faultExchange) bool {
			return x.execute() && x.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 11\r\n\r\n"+faultAnswer) && x.fin()
		})
		var moved atomic.Bool
		atOnce(8, func(worker int) {
			for i := range 40 {
				if worker == 0 && i == 20 {
					l.MoveTo(next.url())
					moved.Store(true)
				}
				c.served(c.do(shape))
			}
		})
		if next.executions() == 0 || old.executions() == 0 {
			c.Errorf("%d requests at the old place, %d at the new one", old.executions(), next.executions())
		}
	})
	r.each(inUsual, "name_moves", shapesShort, func(c *faultCell, shape faultShape) {
		old, next := both(c)
		c.moveName(old, next, shape)
		old.cut(false)
		one := c.do(shape)
		c.served(one)
		if _, executed := next.count(one.nonce); executed != 1 {
			c.Error("a new connection did not follow the name")
		}
	})
	// The old place stays up: the age of its connections leads away from it.
	r.each(inFull, "name_moves_and_old_stays", shapesShort, func(c *faultCell, shape faultShape) {
		old, next := both(c)
		c.moveName(old, next, shape)
		began := time.Now()
		for next.executions() == 0 && time.Since(began) < 75*time.Second {
			c.served(c.do(shape))
			time.Sleep(100 * time.Millisecond)
		}
		took := time.Since(began)
		c.figure("followed after %v", took.Round(time.Millisecond))
		if took > 62*time.Second {
			c.Errorf("followed the name after %v, want 60 s", took)
		}
	})
}

// moveName starts a sidecar whose upstream's name leads to old, and then to next.
func (c *faultCell) moveName(old, next *faultOrigin, shape faultShape) {
	next.stop()
	next.listen("127.0.0.2:" + portOf(old.addr))
	names := newNameServer(c.T, "")
	c.s = startAsking(c.T, names, namedEnv(old)).ready()
	c.served(c.do(shape))
	names.Lead("127.0.0.2", "")
	time.Sleep(1100 * time.Millisecond) // what was found just now is used for a second
}

// bothLedgers adds up.
type bothLedgers []*faultOrigin

func (b bothLedgers) count(nonce string) (arrived, executed int) {
	for _, o := range b {
		a, e := o.count(nonce)
		arrived, executed = arrived+a, executed+e
	}
	return arrived, executed
}
func (bothLedgers) countsReads() bool { return true }

// Two sidecars with one secret do not take each other's tokens away.
func faultsTwoSidecars(r *faultRun) {
	r.each(inUsual, "side_by_side", shapesShort, func(c *faultCell, shape faultShape) {
		sim, url := c.simulate(monitetest.Config{TokenLifetime: 2 * time.Second})
		pair := []*sidecar{start(c.T, defaultEnv(url)).ready(), start(c.T, defaultEnv(url)).ready()}
		for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(20 * time.Millisecond) {
			for _, s := range pair {
				c.served(c.doTo(s, shape))
			}
		}
		c.wantNoRevocation(sim)
	})
	r.each(inShort, "rolling_restart", shapesShort, func(c *faultCell, shape faultShape) {
		sim, url := c.simulate(monitetest.Config{})
		pair := []*sidecar{start(c.T, defaultEnv(url)).ready(), start(c.T, defaultEnv(url)).ready()}
		for i := range 4 {
			leaving, staying := pair[i%2], pair[1-i%2]
			leaving.signal(syscall.SIGTERM)
			atOnce(8, func(int) { c.served(c.doTo(staying, shape)) })
			leaving.ends(0, 5*time.Second)
			c.served(c.doTo(staying, shape))
			pair[i%2] = start(c.T, defaultEnv(url)).ready()
			c.served(c.doTo(pair[i%2], shape))
			c.served(c.doTo(staying, shape))
		}
		c.wantNoRevocation(sim)
	})
}

func (c *faultCell) wantNoRevocation(sim *monitetest.Simulator) {
	c.Helper()
	stats := sim.Stats()
	if n := stats.Requests["POST /v1/auth/revoke"]; n > 0 || stats.AuthRejected > 0 {
		c.Errorf("%d revocations, %d refused tokens, want none", n, stats.AuthRejected)
	}
}

// holdPort keeps an address from being used by others.
func holdPort(c *faultCell, addr string) net.Listener {
	listener, err := wiretest.ListenPlain(addr)
	if err != nil {
		c.Skip("cannot listen on ", addr, ": ", err)
	}
	c.Cleanup(func() { _ = listener.Close() })
	return listener
}

// newNameServer is one of those in the sidecar's resolv.conf. It knows one name,
// api.monite.test at 127.0.0.1, and has one trouble.
func newNameServer(t *testing.T, trouble string) *wiretest.Names {
	t.Helper()
	names := wiretest.NewNames(t, "api.monite.test", "127.0.0.1")
	names.Trouble(trouble)
	return names
}

// namedEnv names the upstream as those name servers do.
func namedEnv(o *faultOrigin) env {
	return defaultEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true")
}

// ownEtc makes a directory that the sidecar sees as /etc.
func ownEtc(t *testing.T, more string, servers ...*wiretest.Names) string {
	t.Helper()
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		t.Skip("NOT TESTED: only root with unshare -m can give the sidecar name servers of its own")
	}
	etc := t.TempDir()
	writeFile(t, filepath.Join(etc, "hosts"), "127.0.0.1 localhost\n")
	writeFile(t, filepath.Join(etc, "resolv.conf"), resolvConf(more, servers...))
	return etc
}

func resolvConf(more string, servers ...*wiretest.Names) string {
	text := more
	for _, server := range servers {
		text += "nameserver " + server.Address + "\n"
	}
	return text
}

func startIn(t *testing.T, etc string, e env) *sidecar {
	t.Helper()
	return startUnder(t, e, "unshare", "-m", "sh", "-c", `mount --bind "$1" /etc && shift && exec "$@"`, "sh", etc)
}

// startAsking starts a sidecar that asks this name server alone.
func startAsking(t *testing.T, names *wiretest.Names, e env) *sidecar {
	t.Helper()
	return startIn(t, ownEtc(t, "options timeout:1 attempts:1\n", names), e)
}

func TestNameServersInTroubleAtTheStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		troubles []string // of each name server
		conf     string
		within   time.Duration
	}{
		{"silent, then good", []string{"silent", ""}, "", 7 * time.Second},
		{"two silent, then good", []string{"silent", "silent", ""}, "", 13 * time.Second},
		{"slow", []string{"slow"}, "", 4 * time.Second},
		{"lossy", []string{"lossy"}, "", 7 * time.Second},
		{"two lossy", []string{"lossy", "lossy"}, "", 13 * time.Second},
		{"AAAA silent", []string{"AAAA silent"}, "", 2 * time.Second},
		{"AAAA silent on all of three", []string{"AAAA silent", "AAAA silent", "AAAA silent"}, "", 2 * time.Second},
		{"FORMERR, then good", []string{"FORMERR", ""}, "", 2 * time.Second},
		{"SERVFAIL, then good", []string{"SERVFAIL", ""}, "", 2 * time.Second},
		{"truncated", []string{"truncated"}, "", 2 * time.Second},
		{"a search list that is silent", []string{"search silent"}, "search a.corp.test b.corp.test\noptions ndots:5\n", 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var servers []*wiretest.Names
			for _, trouble := range tc.troubles {
				servers = append(servers, newNameServer(t, trouble))
			}
			etc := ownEtc(t, tc.conf, servers...)
			o := newOrigin(t, nil)
			began := time.Now()
			s := startIn(t, etc, namedEnv(o)).ready()
			if took := time.Since(began); took > tc.within {
				t.Errorf("ready after %v, want %v", took, tc.within)
			}
			o.cut(false)
			s.want(http.StatusOK, "GET", "/v1/entities", "")
		})
	}
}

func TestNameServersThatComeIntoTroubleLater(t *testing.T) {
	t.Parallel()
	for _, trouble := range []string{"silent", "slow", "lossy", "NXDOMAIN", "SERVFAIL", "FORMERR", "AAAA silent"} {
		t.Run(trouble, func(t *testing.T) {
			t.Parallel()
			first, second := newNameServer(t, ""), newNameServer(t, "")
			etc := ownEtc(t, "", first, second)
			o := newOrigin(t, nil)
			s := startIn(t, etc, namedEnv(o)).ready()
			s.mustCall("GET", "/v1/entities", "")
			time.Sleep(time.Second) // what was found just now would be used
			first.Trouble(trouble)
			second.Trouble(trouble)
			callAnew(s, o, "GET")
			callAnew(s, o, "POST")
			if said := strings.Contains(s.log.String(), "using the addresses of an earlier lookup"); said != (trouble != "AAAA silent") {
				t.Errorf("said in the log: %v", said)
			}
		})
	}
}

// callAnew wants a call on a new connection to be served within a second.
func callAnew(s *sidecar, o *faultOrigin, method string) {
	s.t.Helper()
	o.cut(false)
	began := time.Now()
	s.want(http.StatusOK, method, "/v1/entities", "")
	if took := time.Since(began); took > time.Second {
		s.t.Errorf("%s: served after %v", method, took)
	}
}

func TestFORMERRIsNamedWithItsRemedy(t *testing.T) {
	t.Parallel()
	etc := ownEtc(t, "", newNameServer(t, "FORMERR"))
	o := newOrigin(t, nil)
	e := namedEnv(o)
	s := startIn(t, etc, e)
	s.waitLogged("GODEBUG=netedns0=0")
	startIn(t, etc, e.with("GODEBUG", "netedns0=0")).ready()
}

// A VPN client puts a link in the place of resolv.conf. Landlock does not let us
// follow it: we go on with the name servers that we know, and say why.
func TestResolvConfBecomesALink(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	server := newNameServer(t, "")
	etc, elsewhere := ownEtc(t, "", server), t.TempDir()
	o := newOrigin(t, nil)
	s := startIn(t, etc, namedEnv(o).with("MONITE_CONFINE", "require")).ready()
	s.mustCall("GET", "/v1/entities", "")
	writeFile(t, filepath.Join(elsewhere, "resolv.conf"), resolvConf("", server))
	link := filepath.Join(etc, "link")
	if err := os.Symlink(filepath.Join(elsewhere, "resolv.conf"), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(etc, "resolv.conf")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5100 * time.Millisecond) // package net looks at it every 5 s
	callAnew(s, o, "GET")
	time.Sleep(1100 * time.Millisecond)
	server.Trouble("SERVFAIL")
	s.waitFor("the cause in the log", func() bool {
		callAnew(s, o, "GET")
		return s.loggedNow("Landlock")
	})
}
