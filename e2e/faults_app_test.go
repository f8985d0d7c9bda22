package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

var errAppGone = errors.New("the app went away before the answer")

// wire is the shape as bytes, on a connection that stays.
func (shape faultShape) wire(nonce string) (head, body string) {
	head = fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nX-Sim-Nonce: %s\r\n", shape.method, shape.path(nonce), nonce)
	if shape.method != http.MethodGet {
		head += fmt.Sprintf("Idempotency-Key: %s\r\nContent-Length: %d\r\n", nonce, len(shape.body))
	}
	return head + "\r\n", shape.body
}

// begin sends a request on a connection that the test holds. Whatever comes of
// it, its outcome is unknown to the app.
func (c *faultCell) begin(shape faultShape) (conn net.Conn, nonce string) {
	nonce = newNonce()
	head, body := shape.wire(nonce)
	conn = c.s.dial()
	if _, err := io.WriteString(conn, head+body); err != nil {
		c.Fatal(err)
	}
	c.remember(faultResult{shape: shape, nonce: nonce, err: errAppGone})
	return conn, nonce
}

func (c *faultCell) arrives(o *faultOrigin, nonce string) {
	c.Helper()
	c.s.waitFor("the request at upstream", func() bool { arrived, _ := o.count(nonce); return arrived > 0 })
}

// givenUp wants upstream to see the end within a second.
func (c *faultCell) givenUp(o *faultOrigin, nonce string, since time.Time) {
	c.Helper()
	c.s.waitFor("the end of the request at upstream", func() bool { _, gone := o.leftAt(nonce); return gone })
	if at, _ := o.leftAt(nonce); at.Sub(since) > time.Second {
		c.Errorf("upstream saw the end %v after the app had gone, want 1 s at most", at.Sub(since))
	}
}

// An app that goes away takes its request with it, wherever that is.
func faultsAppGone(r *faultRun) {
	for _, end := range []string{"fin", "rst"} {
		leave := func(conn net.Conn) time.Time {
			if end == "rst" {
				wiretest.ResetOnClose(conn)
			}
			_ = conn.Close()
			return time.Now()
		}
		r.each(inUsual, "before_the_token_"+end, shapesOfAll, func(c *faultCell, shape faultShape) {
			o := c.origin(nil)
			gate := make(chan struct{})
			o.mintsBy(func(x *faultExchange) bool { <-gate; return faultToken(x) })
			c.s = start(c.T, defaultEnv(o.url()))
			conn, nonce := c.begin(shape)
			c.s.waitMetric("monite_proxy_in_flight_requests", 1)
			leave(conn)
			c.s.waitMetric("monite_proxy_in_flight_requests", 0)
			close(gate)
			c.recovers(2*time.Second, shape)
			if arrived, _ := o.count(nonce); arrived > 0 {
				c.Errorf("a request whose app had gone arrived %d times", arrived)
			}
		})
		when := inUsual
		if end == "fin" {
			when = inShort
		}
		r.each(when, "while_upstream_works_"+end, shapesOfAll, func(c *faultCell, shape faultShape) {
			o := c.warm(shape, defaultEnv, unfollowed...)
			o.behave(nil, func(x *faultExchange) bool { return x.execute() && x.hang() })
			for range 3 {
				conn, nonce := c.begin(shape)
				c.arrives(o, nonce)
				c.givenUp(o, nonce, leave(conn))
			}
			o.behave(nil, faultOK)
			c.backToBaseline(time.Second)
			c.recovers(time.Second, shape)
		})
		// As it is by default: a read ends with its app, and a write is read to its end.
		r.each(inUsual, "while_upstream_works_followed_"+end, shapesOfAll, func(c *faultCell, shape faultShape) {
			o := c.warm(shape, defaultEnv)
			gate := make(chan struct{})
			o.behave(nil, func(x *faultExchange) bool {
				if shape.method == http.MethodGet {
					return x.execute() && x.hang()
				}
				done := x.execute()
				<-gate
				return done && x.say(okHead+faultAnswer)
			})
			var nonces []string
			for range 3 {
				conn, nonce := c.begin(shape)
				c.arrives(o, nonce)
				if gone := leave(conn); shape.method == http.MethodGet {
					c.givenUp(o, nonce, gone)
				}
				nonces = append(nonces, nonce)
			}
			if shape.method != http.MethodGet {
				c.followed(3)
			}
			close(gate)
			c.followed(0)
			for _, nonce := range nonces {
				if _, executed := o.count(nonce); executed != 1 {
					c.Errorf("executed %d times", executed)
				}
			}
			o.behave(nil, faultOK)
			c.recovers(time.Second, shape)
			o.cut(false) // the connections of the three are idle now
			c.backToBaseline(2 * time.Second)
		})
		r.each(inUsual, "in_the_answer_"+end, shapesOfAll, func(c *faultCell, shape faultShape) {
			o := c.warm(shape, defaultEnv, unfollowed...)
			o.behave(nil, func(x *faultExchange) bool {
				return x.execute() && x.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin") && x.hang()
			})
			for range 3 {
				conn, nonce := c.begin(shape)
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					c.Fatal(err)
				}
				if _, err := io.ReadFull(response.Body, make([]byte, 5)); err != nil {
					c.Fatal(err)
				}
				c.givenUp(o, nonce, leave(conn))
			}
			o.behave(nil, faultOK)
			c.backToBaseline(time.Second)
			c.recovers(time.Second, shape)
		})
		for _, shape := range []faultShape{shapeBody, shapeStream} {
			r.cell(inUsual, "in_the_upload_"+end+"/"+shape.name, func(c *faultCell) {
				o := c.warm(shape, defaultEnv, unfollowed...) // which wait for the first 64 KiB
				o.behave(nil, func(x *faultExchange) bool {
					if x.execute() {
						return faultOK(x)
					}
					return x.hang()
				})
				for range 3 {
					nonce := newNonce()
					head, body := shape.wire(nonce)
					conn := c.s.dial()
					_, _ = io.WriteString(conn, head+body[:len(body)/2])
					if shape.name == shapeStream.name {
						c.arrives(o, nonce)
					}
					gone := leave(conn)
					c.remember(faultResult{shape: shape, nonce: nonce, err: errAppGone})
					if shape.name == shapeStream.name {
						c.givenUp(o, nonce, gone)
					}
					c.backToBaseline(2 * time.Second)
					if _, executed := o.count(nonce); executed > 0 {
						c.Error("half a request was carried out")
					}
				}
				o.behave(nil, faultOK)
				c.recovers(time.Second, shape)
			})
		}
	}
}

// countClosed reports how many of the connections the sidecar has ended.
func countClosed(conns []net.Conn) (closed int) {
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		_, err := conn.Read(make([]byte, 4096))
		if netErr, ok := errors.AsType[net.Error](err); err != nil && (!ok || !netErr.Timeout()) {
			closed++
		}
	}
	return closed
}

func faultsSlowApps(r *faultRun) {
	faultsSlowHeads(r)
	faultsSlowBodies(r)
	faultsSlowReads(r)
	faultsLongConnections(r)
}

func faultsSlowHeads(r *faultRun) {
	for _, name := range []string{"slowloris", "silent"} {
		r.cell(inUsual, name+"/GET", func(c *faultCell) {
			const n = 100
			c.warm(shapeGET, defaultEnv)
			began, conns := time.Now(), make([]net.Conn, n)
			for i := range conns {
				conns[i] = c.s.dial()
			}
			for at := 0; time.Since(began) < 7*time.Second; at++ {
				if name == "slowloris" {
					for _, conn := range conns {
						_, _ = io.WriteString(conn, "GET /v1/tags HTTP/1.1\r\nHost: localhost\r\nX-Slow: "[at:at+1])
					}
				}
				one := c.do(shapeGET)
				c.served(one)
				if one.took > time.Second {
					c.Errorf("a good request took %v", one.took)
				}
				time.Sleep(200 * time.Millisecond)
			}
			closed := 0
			for deadline := began.Add(10 * time.Second); closed < n && time.Now().Before(deadline); {
				closed = countClosed(conns)
			}
			if closed != n {
				c.Errorf("%d of %d connections were closed after %v", closed, n, time.Since(began))
			}
			c.backToBaseline(time.Second)
			c.flat(16 << 20)
		})
	}
}

func faultsSlowBodies(r *faultRun) {
	for _, shape := range []faultShape{shapeBody, shapeStream} {
		r.cell(inUsual, "slow_body/"+shape.name, func(c *faultCell) {
			o := c.upstream(quickEnv)
			nonce := newNonce()
			head, body := shape.wire(nonce)
			conn := c.s.dial()
			_, _ = io.WriteString(conn, head)
			for piece := max(len(body)/20, 1); len(body) > 0; body = body[min(piece, len(body)):] {
				time.Sleep(60 * time.Millisecond) // in all more than the limit to the head
				_, _ = io.WriteString(conn, body[:min(piece, len(body))])
			}
			a, err := readAnswer(conn)
			if _, executed := o.count(nonce); err != nil || a.Status != http.StatusOK || executed != 1 {
				c.Errorf("%d %s %v, executed %d times", a.Status, a.Body, err, executed)
			}
		})
		// The limit between two bytes is a minute, and no variable.
		r.cell(inFull, "stalled_body/"+shape.name, func(c *faultCell) {
			o := c.warm(shape, defaultEnv)
			nonce := newNonce()
			head, body := shape.wire(nonce)
			conn := c.s.dial()
			_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
			began := time.Now()
			_, _ = io.WriteString(conn, head+body[:len(body)/2])
			a, err := readAnswer(conn)
			if took := time.Since(began); err != nil || a.Status != http.StatusBadRequest || took < 55*time.Second || took > 75*time.Second {
				c.Errorf("%d %s %v after %v, want 400 after a minute", a.Status, a.Body, err, took)
			}
			if _, executed := o.count(nonce); executed > 0 {
				c.Error("half a request was carried out")
			}
			_ = conn.Close()
			c.backToBaseline(2 * time.Second)
		})
	}
}

func faultsSlowReads(r *faultRun) {
	r.each(inUsual, "slow_read", shapesShort, func(c *faultCell, shape faultShape) {
		const size = 4 << 20
		o := c.upstream(quickEnv)
		o.behave(nil, func(x *faultExchange) bool {
			return x.execute() && x.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)))
		})
		conn, _ := c.begin(shape)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			c.Fatal(err)
		}
		n := 0
		for err == nil {
			var m int
			time.Sleep(10 * time.Millisecond)
			m, err = response.Body.Read(make([]byte, 32<<10))
			n += m
		}
		if err != io.EOF || n != size {
			c.Errorf("%d bytes and %v, want %d and the end", n, err, size)
		}
	})
	r.each(inFull, "stalled_read", shapesShort, func(c *faultCell, shape faultShape) {
		o := c.warm(shape, defaultEnv)
		o.behave(nil, func(x *faultExchange) bool {
			x.execute()
			x.say("HTTP/1.1 200 OK\r\n\r\n")
			_, _ = io.Copy(x.conn, zeros{})
			return x.hang()
		})
		began := time.Now()
		conn, nonce := c.begin(shape)
		for time.Since(began) < 100*time.Second {
			if _, gone := o.leftAt(nonce); gone {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(began); took < 55*time.Second || took > 80*time.Second {
			c.Errorf("the app that does not read was given up after %v, want a minute", took)
		}
		_ = conn.Close()
		c.backToBaseline(2 * time.Second)
	})
}

// faultsLongConnections has connections that carry more than one request, or
// only one direction to the end.
func faultsLongConnections(r *faultRun) {
	// An app that closes its sending side may be gone, or may wait: it gets the
	// whole answer or none, never an empty success.
	r.each(inUsual, "half_close", shapesOfAll, func(c *faultCell, shape faultShape) {
		o := c.upstream(quickEnv)
		for _, pause := range []time.Duration{0, 200 * time.Millisecond} {
			o.behave(nil, func(x *faultExchange) bool {
				if !x.execute() {
					return false
				}
				time.Sleep(pause)
				return x.say(okHead + faultAnswer)
			})
			for range 5 {
				conn, _ := c.begin(shape)
				_ = conn.(*net.TCPConn).CloseWrite()
				a, err := readAnswer(conn)
				if err == nil && (a.Status != http.StatusOK || a.Body != faultAnswer) {
					c.Errorf("answer = %d %q", a.Status, a.Body)
				}
				_ = conn.Close()
			}
		}
	})
	r.each(inShort, "pipelining", shapesShort, func(c *faultCell, shape faultShape) {
		const n = 20
		o := c.upstream(quickEnv)
		o.behave(nil, func(x *faultExchange) bool {
			return x.execute() && x.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(x.nonce), x.nonce))
		})
		conn := c.s.dial()
		var all strings.Builder
		var nonces []string
		for range n {
			nonces = append(nonces, newNonce())
			head, body := shape.wire(nonces[len(nonces)-1])
			all.WriteString(head + body)
		}
		_, _ = io.WriteString(conn, all.String())
		reader := bufio.NewReader(conn)
		for _, nonce := range nonces {
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				c.Fatal(err)
			}
			text, _ := io.ReadAll(response.Body)
			if _, executed := o.count(nonce); string(text) != nonce || executed != 1 {
				c.Errorf("the answer to %s is %q, executed %d times", nonce, text, executed)
			}
		}
	})
	for when, n := range map[faultWhen]int{inUsual: 5_000, inFull: 200_000} {
		keepAlive := func(c *faultCell, shape faultShape, most int64, settings ...string) {
			o := c.upstream(defaultEnv, settings...)
			conn := c.s.dial()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
			reader := bufio.NewReader(conn)
			executed := 0
			for i := range n {
				if i == n/10 {
					c.takeBaseline()
				}
				nonce := fmt.Sprint("kept-", i)
				head, body := shape.wire(nonce)
				_, _ = io.WriteString(conn, head+body)
				response, err := http.ReadResponse(reader, nil)
				if err != nil || response.StatusCode != http.StatusOK {
					c.Fatalf("request %d: %v", i, err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_, once := o.count(nonce)
				executed += once
			}
			if executed != n {
				c.Errorf("%d requests were executed %d times", n, executed)
			}
			c.backToBaseline(time.Second)
			c.flat(most)
		}
		r.each(when, fmt.Sprint("keep_alive_", n), shapesShort, func(c *faultCell, shape faultShape) { keepAlive(c, shape, 8<<20, unfollowed...) })
		// As it is by default each write is remembered, 10,000 at most, in 40 MiB.
		r.each(when, fmt.Sprint("keep_alive_remembered_", n), shapesShort, func(c *faultCell, shape faultShape) { keepAlive(c, shape, 40<<20) })
	}
}
