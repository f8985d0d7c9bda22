package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

const (
	unreachable = "502 upstream_unreachable not_sent"
	broken      = "502 upstream_broken unknown"
	timedOut    = "504 upstream_timeout unknown"
)

// stayAwake takes a connection, reads what comes, and never says a word.
func stayAwake(conn net.Conn) bool {
	_, _ = io.Copy(io.Discard, conn)
	return true
}

// Without a connection nothing is sent, and the answer says so.
func faultsUnreachable(r *faultRun) {
	later := func() time.Time { return time.Now().Add(time.Hour) }
	retls := func(config func(ca *faultCA) *tls.Config) func(o *faultOrigin, ca *faultCA) {
		return func(o *faultOrigin, ca *faultCA) { o.speak(config(ca)) }
	}
	clientCert := func(version uint16) func(ca *faultCA) *tls.Config {
		return func(ca *faultCA) *tls.Config {
			config := ca.server("localhost", later())
			config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			config.MinVersion, config.MaxVersion = version, version
			return config
		}
	}
	taken := func(take func(net.Conn) bool) func(*faultOrigin, *faultCA) {
		return func(o *faultOrigin, _ *faultCA) { o.behave(take, nil) }
	}
	faults := map[string]func(o *faultOrigin, ca *faultCA){
		"refused": func(o *faultOrigin, _ *faultCA) { o.stop() },
		"tls_expired": retls(func(ca *faultCA) *tls.Config {
			return ca.server("localhost", time.Now().Add(-time.Minute))
		}),
		"tls_unknown_ca": retls(func(ca *faultCA) *tls.Config {
			return &tls.Config{Certificates: []tls.Certificate{wiretest.SelfSigned()}}
		}),
		"tls_wrong_host": retls(func(ca *faultCA) *tls.Config { return ca.server("example.com", later()) }),
		"tls_1_1": retls(func(ca *faultCA) *tls.Config {
			config := ca.server("localhost", later())
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			return config
		}),
		"tls_client_cert_1_2": retls(clientCert(tls.VersionTLS12)),
		"tls_client_cert_1_3": retls(clientCert(tls.VersionTLS13)),
		"tls_plaintext": taken(func(conn net.Conn) bool {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return stayAwake(conn)
		}),
		"tls_garbage": taken(func(conn net.Conn) bool { _, _ = conn.Write(noise[:4096]); return stayAwake(conn) }),
		"tls_fin":     taken(func(net.Conn) bool { return true }),
		"tls_rst":     taken(func(conn net.Conn) bool { wiretest.ResetOnClose(conn); return true }),
		"tls_hang":    taken(stayAwake), // the dial time-out of 5 s
	}
	for _, name := range sortedNames(faults) {
		said, when := unreachable, inUsual
		switch name {
		case "tls_client_cert_1_3":
			// The server refuses only after the client's first bytes: that is TLS 1.3.
			said = broken + " | " + unreachable
		case "refused":
			when = inShort
		}
		r.each(when, name, shapesOfAll, func(c *faultCell, shape faultShape) {
			ca := newCA(c.T)
			o := c.origin(ca.server("localhost", later()))
			c.start(defaultEnv(o.url()).with("MONITE_CA_FILE", ca.file))
			c.served(c.do(shape))
			c.takeBaseline()
			good := o.tls
			faults[name](o, ca)
			o.cut(false)
			for range 3 {
				one := c.do(shape)
				c.want(one, said, 0, 0, 0)
				if one.took > 7*time.Second {
					c.Errorf("answered after %v", one.took)
				}
			}
			o.speak(good)
			o.behave(nil, nil)
			if name == "refused" {
				o.listen(o.addr)
			}
			c.recovers(time.Second, shape)
			c.backToBaseline(2 * time.Second)
		})
	}
	r.each(inUsual, "syn_blackhole", shapesShort, func(c *faultCell, shape faultShape) {
		o := c.warm(shape, defaultEnv)
		if !wiretest.FilterSocket(o.listener, wiretest.DropAll) {
			c.Skip("no socket filters here")
		}
		o.cut(false)
		c.want(c.do(shape), unreachable, 0, 0, 0)
		wiretest.FilterSocket(o.listener, nil)
		c.recovers(2*time.Second, shape)
	})
	for name, trouble := range map[string]string{"nxdomain": "NXDOMAIN", "servfail": "SERVFAIL", "silence": "silent"} {
		r.each(inUsual, "dns_"+name, shapesShort, func(c *faultCell, shape faultShape) {
			o := c.origin(nil)
			names := newNameServer(c.T, "")
			c.s = startAsking(c.T, names, namedEnv(o)).ready()
			c.served(c.do(shape))
			names.Trouble(trouble)
			o.cut(false)
			one := c.do(shape) // at the addresses of an earlier lookup
			c.served(one)
			if one.took > time.Second {
				c.Errorf("it took %v", one.took)
			}
		})
	}
	r.cell(inUsual, "dns_invalid_tld/GET", func(c *faultCell) {
		c.s = start(c.T, quickEnv("https://does-not-exist.invalid"))
		c.ledger = newOrigin(c.T, nil) // stays empty
		c.want(c.do(shapeGET), unavailable, 0, 0, 0)
	})
}

// urlOf names the origin by another host.
func (o *faultOrigin) urlOf(host string) string {
	port := portOf(o.addr)
	return "http://" + net.JoinHostPort(host, port)
}

// connectionKinds are the two kinds of connection a fault may meet.
var connectionKinds = []string{"fresh", "reused"}

// Upstream takes the request and says nothing: 504 after the time that is set,
// and the connection is given up.
func faultsHang(r *faultRun) {
	hangs := map[string]struct {
		api      func(x *faultExchange) bool
		executed int
	}{
		"after_head": {(*faultExchange).hang, 0},
		"after_execution": {func(x *faultExchange) bool {
			return x.execute() && x.hang()
		}, 1},
		"in_the_head": {func(x *faultExchange) bool {
			return x.execute() && x.say("HTTP/1.1 200 OK\r\nContent-Ty") && x.hang()
		}, 1},
		"after_100": {func(x *faultExchange) bool {
			return x.execute() && x.say("HTTP/1.1 100 Continue\r\n\r\n") && x.hang()
		}, 1},
		"endless_100": {func(x *faultExchange) bool {
			x.execute()
			for x.say("HTTP/1.1 102 Processing\r\n\r\n") {
				time.Sleep(100 * time.Millisecond)
			}
			x.o.mu.Lock()
			x.o.left[x.nonce] = time.Now()
			x.o.mu.Unlock()
			return false
		}, 1},
	}
	for _, name := range sortedNames(hangs) {
		for _, kind := range connectionKinds {
			when := inUsual
			if name == "after_execution" && kind == "reused" {
				when = inShort
			}
			r.each(when, name+"_"+kind, shapesOfAll, func(c *faultCell, shape faultShape) {
				o := c.warm(shape, quickEnv, unfollowed...)
				if kind == "fresh" {
					o.cut(false)
				}
				o.behave(nil, hangs[name].api)
				one := c.do(shape)
				ended := time.Now()
				c.want(one, timedOut, 1, hangs[name].executed, hangs[name].executed)
				if one.took < 450*time.Millisecond || one.took > 2*time.Second {
					c.Errorf("answered after %v, want about 500ms", one.took)
				}
				c.s.waitFor("the connection to be given up", func() bool { _, gone := o.leftAt(one.nonce); return gone })
				if at, _ := o.leftAt(one.nonce); at.Sub(ended) > time.Second {
					c.Errorf("the connection was given up %v after the answer", at.Sub(ended))
				}
				c.backToBaseline(time.Second)
				o.behave(nil, faultOK)
				c.recovers(time.Second, shape)
			})
		}
	}
	// As it is by default: the app has its 504 as soon, and a write that the kernel has
	// taken whole is read to its end.
	for _, name := range sortedNames(hangs) {
		r.each(inUsual, name+"_followed", shapesOfAll, func(c *faultCell, shape faultShape) {
			o := c.warm(shape, quickEnv)
			o.behave(nil, hangs[name].api)
			one := c.do(shape)
			c.want(one, timedOut, 1, hangs[name].executed, hangs[name].executed)
			if one.took < 450*time.Millisecond || one.took > 2*time.Second {
				c.Errorf("answered after %v, want about 500ms", one.took)
			}
			if shape.method == http.MethodGet {
				c.s.waitFor("the connection to be given up", func() bool { _, gone := o.leftAt(one.nonce); return gone })
			} else {
				c.followed(1)
				if _, gone := o.leftAt(one.nonce); gone {
					c.Error("the connection of a write that is followed was given up")
				}
			}
			o.cut(false)
			c.followed(0)
			o.behave(nil, faultOK)
			c.recovers(time.Second, shape)
			c.backToBaseline(time.Second)
		})
	}
	r.each(inUsual, "before_reading", shapesOfAll, func(c *faultCell, shape faultShape) {
		o := c.upstream(quickEnv, append([]string{"MONITE_KEEP_WARM", "0s"}, unfollowed...)...)
		o.behave(stayAwake, nil)
		o.cut(false) // the connection of the mint
		c.takeBaseline()
		c.want(c.do(shape), timedOut, 0, 0, 0)
		c.backToBaseline(time.Second)
		o.behave(nil, faultOK)
		c.recovers(time.Second, shape)
	})
	// The limit between two bytes of a body is a minute, and no variable.
	r.each(inFull, "in_the_body", shapesOfAll, func(c *faultCell, shape faultShape) {
		o := c.warm(shape, quickEnv)
		o.behave(nil, func(x *faultExchange) bool { return x.execute() && x.say(okHead+faultAnswer[:5]) && x.hang() })
		one := c.do(shape)
		c.want(one, "abort", 1, 1, 1)
		if one.took < 59*time.Second || one.took > 70*time.Second {
			c.Errorf("aborted after %v, want 60 to 64 s", one.took)
		}
		c.backToBaseline(time.Second)
		o.behave(nil, faultOK)
		c.recovers(time.Second, shape)
	})
}

// faultPhase is a moment at which upstream breaks the connection.
type faultPhase struct {
	before   func(x *faultExchange) bool // what it does until then
	executed int
	said     string
}

var faultPhases = map[string]faultPhase{
	"after_head":      {func(*faultExchange) bool { return true }, 0, broken},
	"after_execution": {(*faultExchange).execute, 1, broken},
	"in_status_line":  {func(x *faultExchange) bool { return x.execute() && x.say("HTTP/1.1 20") }, 1, broken},
	"in_header":       {func(x *faultExchange) bool { return x.execute() && x.say(okHead[:len(okHead)-2]) }, 1, broken},
	"after_100":       {func(x *faultExchange) bool { return x.execute() && x.say("HTTP/1.1 100 Continue\r\n\r\n") }, 1, broken},
	"after_header":    {func(x *faultExchange) bool { return x.execute() && x.say(okHead) }, 1, "abort"},
	"in_body":         {func(x *faultExchange) bool { return x.execute() && x.say(okHead+faultAnswer[:5]) }, 1, "abort"},
	"before_last_byte": {func(x *faultExchange) bool {
		return x.execute() && x.say(okHead+faultAnswer[:len(faultAnswer)-1])
	}, 1, "abort"},
	"in_chunk": {func(x *faultExchange) bool {
		return x.execute() && x.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n"+faultAnswer[:5])
	}, 1, "abort"},
	"before_last_chunk": {func(x *faultExchange) bool {
		return x.execute() && x.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n"+faultAnswer+"\r\n")
	}, 1, "abort"},
}

// Whenever the connection breaks: a write is tried once, a GET twice at most.
func faultsBroken(r *faultRun) {
	for _, name := range sortedNames(faultPhases) {
		phase := faultPhases[name]
		for _, end := range []string{"fin", "rst"} {
			strike := func(x *faultExchange) bool {
				phase.before(x)
				if end == "rst" {
					// What was written must have left: a reset overtakes it.
					time.Sleep(20 * time.Millisecond)
					return x.reset()
				}
				return x.fin()
			}
			for _, kind := range connectionKinds {
				when := inUsual
				if name == "after_execution" && kind == "reused" {
					when = inShort
				}
				r.each(when, name+"_"+end+"_"+kind, shapesOfAll, func(c *faultCell, shape faultShape) {
					o := c.warm(shape, defaultEnv)
					for range 3 {
						if kind == "fresh" {
							o.cut(false)
						}
						o.behave(nil, strike)
						c.wantBroken(c.do(shape), phase)
						o.behave(nil, faultOK)
						c.recovers(time.Second, shape)
					}
					c.backToBaseline(time.Second)
				})
			}
			// Once only: the second attempt of a GET is served, that of a write is not made.
			r.each(inUsual, name+"_"+end+"_once", shapesOfAll, func(c *faultCell, shape faultShape) {
				o := c.upstream(defaultEnv)
				o.behave(nil, func(x *faultExchange) bool {
					if arrived, _ := o.count(x.nonce); arrived == 1 {
						return strike(x)
					}
					return faultOK(x)
				})
				one := c.do(shape)
				if shape.method == http.MethodGet && phase.said == broken {
					c.want(one, "200", 2, 1, 2)
					return
				}
				c.wantBroken(one, phase)
			})
		}
	}
	opens := map[string]func(conn net.Conn) bool{
		"on_accept_fin": func(net.Conn) bool { return true },
		"on_accept_rst": func(conn net.Conn) bool { wiretest.ResetOnClose(conn); return true },
		"after_a_byte_rst": func(conn net.Conn) bool {
			_, _ = conn.Read(make([]byte, 1))
			wiretest.ResetOnClose(conn)
			return true
		},
	}
	for _, name := range sortedNames(opens) {
		r.each(inUsual, name, shapesOfAll, func(c *faultCell, shape faultShape) {
			o := c.upstream(defaultEnv, "MONITE_KEEP_WARM", "0s")
			o.cut(false) // the connection of the mint
			c.takeBaseline()
			o.behave(opens[name], nil)
			before := o.connections()
			c.want(c.do(shape), broken+" | "+unreachable, 0, 0, 0)
			if got := o.connections() - before; shape.method != http.MethodGet && got > 1 || got > 2 {
				c.Errorf("%s was tried on %d connections", shape.name, got)
			}
			o.behave(nil, faultOK)
			c.recovers(time.Second, shape)
			c.backToBaseline(time.Second)
		})
	}
	// With a connection made ahead, which meets the trouble as well, or is made after it.
	for _, name := range sortedNames(opens) {
		r.each(inUsual, name+"_kept_warm", shapesOfAll, func(c *faultCell, shape faultShape) {
			o := c.warm(shape, defaultEnv)
			o.behave(opens[name], nil)
			o.cut(false)
			for range 3 {
				c.want(c.do(shape), broken+" | "+unreachable, 0, 0, 0)
			}
			o.behave(nil, faultOK)
			c.recovers(time.Second, shape)
		})
	}
	// An idle connection that has ended is noticed before it is used.
	for _, reset := range []bool{false, true} {
		r.each(inUsual, fmt.Sprintf("while_idle_rst_%t", reset), shapesOfAll, func(c *faultCell, shape faultShape) {
			o := c.upstream(defaultEnv)
			for range 20 {
				c.served(c.do(shape))
				o.cut(reset)
			}
		})
	}
}

func (c *faultCell) wantBroken(r faultResult, phase faultPhase) {
	c.Helper()
	if r.shape.method == http.MethodGet {
		c.want(r, phase.said, 2, phase.executed, 2*phase.executed)
		return
	}
	// Upstream may go away before it has taken a body that streams.
	c.want(r, phase.said, 1, phase.executed, phase.executed)
}

// frame is one of HTTP/2.
func frame(kind, flags byte, stream uint32, payload ...byte) string {
	head := make([]byte, 9)
	binary.BigEndian.PutUint32(head[0:], uint32(len(payload))<<8|uint32(kind))
	head[4] = flags
	binary.BigEndian.PutUint32(head[5:], stream)
	return string(head) + string(payload)
}

func word(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// HTTP/2 is not spoken to upstream, so an upstream that speaks it is answered
// in HTTP/1.1, or it is an upstream that talks nonsense: one attempt, 502.
func faultsHTTP2(r *faultRun) {
	const settings, rstStream, goaway, ping = 4, 3, 7, 6
	answers := map[string]string{
		"settings":         frame(settings, 0, 0),
		"settings_flood":   strings.Repeat(frame(settings, 0, 0, 0, 3, 0, 0, 0, 100), 10_000),
		"max_frame_size_0": frame(settings, 0, 0, 0, 5, 0, 0, 0, 0),
		"ping":             frame(ping, 0, 0, make([]byte, 8)...),
		"preface":          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"status_line":      "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"status_line_2":    "HTTP/2 200\r\ncontent-length: 0\r\n\r\n",
		"switch_to_h2c":    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + frame(settings, 0, 0),
	}
	for _, last := range []uint32{0, 1, 1<<31 - 1} {
		answers["goaway_last_"+strconv.Itoa(int(last))] = frame(settings, 0, 0) + frame(goaway, 0, 0, append(word(last), word(0)...)...)
	}
	for code := range uint32(14) {
		answers[fmt.Sprintf("rst_stream_%02d", code)] = frame(settings, 0, 0) + frame(rstStream, 0, 1, word(code)...)
		answers[fmt.Sprintf("rst_stream_%02d_after_headers", code)] = frame(settings, 0, 0) + frame(1, 4, 1, 0x88) + frame(rstStream, 0, 1, word(code)...)
		answers[fmt.Sprintf("rst_stream_%02d_in_data", code)] = frame(settings, 0, 0) + frame(1, 4, 1, 0x88) + frame(0, 0, 1, 'x') +
			frame(rstStream, 0, 1, word(code)...)
	}
	for _, name := range sortedNames(answers) {
		when := inUsual
		if name == "rst_stream_01" {
			when = inShort // PROTOCOL_ERROR, after which the standard transport repeats
		}
		r.each(when, name, shapesShort, func(c *faultCell, shape faultShape) {
			o := c.warm(shape, quickEnv)
			o.behave(nil, func(x *faultExchange) bool { return x.execute() && x.say(answers[name]) && x.hang() })
			// What looks like the beginning of a head is waited for.
			c.wantBroken(c.do(shape), faultPhase{executed: 1, said: broken + " | " + timedOut})
			o.behave(nil, faultOK)
			c.recovers(time.Second, shape)
		})
	}
	for name, protocols := range map[string][]string{"alpn_h2_first": {"h2", "http/1.1"}, "alpn_h2_only": {"h2"}, "alpn_none_of_ours": {"h3"}} {
		r.each(inUsual, name, shapesOfAll, func(c *faultCell, shape faultShape) {
			ca := newCA(c.T)
			good := ca.server("localhost", time.Now().Add(time.Hour))
			o := c.origin(good)
			c.start(defaultEnv(o.url()).with("MONITE_CA_FILE", ca.file))
			offering := good.Clone()
			offering.NextProtos = protocols
			o.speak(offering)
			o.cut(false)
			if name == "alpn_none_of_ours" {
				c.want(c.do(shape), unreachable, 0, 0, 0)
				return
			}
			c.served(c.do(shape)) // read by an HTTP/1.1 parser
		})
	}
}

// What upstream says of its load is the app's to know, unchanged, after one
// attempt.
func faultsPassed(r *faultRun) {
	for _, status := range []int{429, 503, 500, 502, 504, 409, 423} {
		when := inUsual
		if status == 409 || status == 429 || status == 503 {
			when = inShort
		}
		r.each(when, fmt.Sprint(status), shapesOfAll, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{})
			c.start(defaultEnv(url))
			oldEnough() // or a wrong idea of the token would have no effect
			const said = `{"error":{"message":"Too many requests"}}`
			sim.Inject(monitetest.Fault{Status: status, Body: said, Header: map[string]string{"Retry-After": "7", "RateLimit-Remaining": "0"}})
			for range 3 {
				one := c.do(shape)
				c.want(one, strconv.Itoa(status), 1, 0, 0)
				if one.byProxy() || one.body != said || one.header.Get("Retry-After") != "7" || one.header.Get("RateLimit-Remaining") != "0" {
					c.Errorf("the answer was changed: %v %s", one.header, one.body)
				}
			}
			if mints := sim.Stats().Mints; mints != 1 {
				c.Errorf("mints = %d, want 1: the token has nothing to do with it", mints)
			}
			sim.ClearFaults()
			c.recovers(time.Second, shape)
		})
	}
}
