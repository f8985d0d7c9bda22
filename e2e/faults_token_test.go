package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// quickEnv has time-outs that fit a test.
func quickEnv(url string) env {
	return defaultEnv(url).with("MONITE_UPSTREAM_TIMEOUT", "500ms", "MONITE_TOKEN_TIMEOUT", "500ms", "MONITE_HOLD_TIMEOUT", "300ms")
}

const unavailable = "503 token_unavailable not_sent"

// tokenFaults are what may be wrong with the token endpoint's connection.
var tokenFaults = map[string]monitetest.Fault{
	"500":  {Path: "token", Status: 500},
	"503":  {Path: "token", Status: 503},
	"hang": {Path: "token", Effect: monitetest.EffectHang},
	"rst":  {Path: "token", Effect: monitetest.EffectRST},
	"fin":  {Path: "token", Effect: monitetest.EffectFIN},
}

// While the token lives, nobody notices; the moment it has ended, it is 503.
func faultsTokenDownCached(r *faultRun) {
	for _, name := range sortedNames(tokenFaults) {
		r.each(inUsual, name, shapesShort, func(c *faultCell, shape faultShape) {
			const lifetime = 4 * time.Second
			sim, url := c.simulate(monitetest.Config{TokenLifetime: lifetime})
			c.start(quickEnv(url))
			minted := time.Now()
			sim.Inject(tokenFaults[name])
			for time.Since(minted) < lifetime-300*time.Millisecond {
				c.served(c.do(shape))
				time.Sleep(50 * time.Millisecond)
			}
			if sim.Stats().FailedMints == 0 {
				c.Error("no refresh was tried, so nothing was tested")
			}
			time.Sleep(time.Until(minted.Add(lifetime + 300*time.Millisecond)))
			c.want(c.do(shape), unavailable, 0, 0, 0)
			sim.ClearFaults()
			c.recovers(2*time.Second, shape)
		})
	}
}

// With nothing cached: 503 within the hold timeout, then at once; one mint at a
// time; served again within a second.
func faultsTokenDownCold(r *faultRun) {
	for _, name := range sortedNames(tokenFaults) {
		when := inUsual
		if name == "503" {
			when = inShort
		}
		r.each(when, name, shapesShort, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{})
			sim.Inject(tokenFaults[name])
			c.s = start(c.T, quickEnv(url))
			c.refused(c.do(shape))
			time.Sleep(time.Second)
			var took []time.Duration
			for range 20 {
				one := c.do(shape)
				c.refused(one)
				took = append(took, one.took)
			}
			slices.Sort(took)
			if p50 := took[len(took)/2]; name != "hang" && p50 > 100*time.Millisecond {
				c.Errorf("refusals took %v in the middle, want less than 100ms", p50)
			}
			if peak := sim.Stats().MintsInFlightPeak; peak > 1 {
				c.Errorf("%d mints were in flight at once for one grant", peak)
			}
			sim.ClearFaults()
			// A second by contract; a mint that hangs ends first.
			c.recovers(1500*time.Millisecond, shape)
		})
	}
}

// refused wants a 503 that says when to come back and that nothing was sent.
func (c *faultCell) refused(r faultResult) {
	c.Helper()
	c.want(r, unavailable, 0, 0, 0)
	if after, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || after < 1 {
		c.Errorf("Retry-After = %q", r.header.Get("Retry-After"))
	}
	if r.took > 2*time.Second {
		c.Errorf("refused only after %v", r.took)
	}
}

func faultsCrowd(r *faultRun) {
	const callers = 200
	r.each(inUsual, "cold", shapesShort, func(c *faultCell, shape faultShape) {
		sim, url := c.simulate(monitetest.Config{})
		sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(2 * time.Second), Times: 1})
		c.s = start(c.T, defaultEnv(url).with("MONITE_HOLD_TIMEOUT", "20s"))
		atOnce(callers, func(int) { c.served(c.do(shape)) })
		if mints := sim.Stats().Mints; mints != 1 {
			c.Errorf("mints = %d, want 1", mints)
		}
	})
	r.each(inUsual, "expiry", shapesShort, func(c *faultCell, shape faultShape) {
		sim, url := c.simulate(monitetest.Config{TokenLifetime: 3 * time.Second})
		c.start(defaultEnv(url).with("MONITE_REFRESH_BEFORE", "0s", "MONITE_HOLD_TIMEOUT", "20s"))
		c.served(c.do(shape))
		wiretest.Eventually(c.T, "the end of the token", func() bool { return sim.Stats().LiveTokens == 0 })
		sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(time.Second), Times: 1})
		atOnce(callers, func(int) { c.served(c.do(shape)) })
		if stats := sim.Stats(); stats.Mints != 2 || stats.AuthRejected != 0 {
			c.Errorf("mints = %d, want 2; refused tokens = %d, want 0", stats.Mints, stats.AuthRejected)
		}
	})
}

// The spread of the refreshes of thirty-minute tokens is a unit test of
// tokencache; what is seen here is the bound on mints at one time.
func faultsManyIdentities(r *faultRun) {
	for when, n := range map[faultWhen]int{inUsual: 100, inFull: 1000} {
		r.cell(when, fmt.Sprint(n, "_identities"), func(c *faultCell) {
			sim, url := c.simulate(monitetest.Config{KeepRequests: -1})
			ids := newUsers(c.T, start(c.T, defaultEnv(url)).ready(), n)
			sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(30 * time.Millisecond)})
			c.start(defaultEnv(url).with("MONITE_HOLD_TIMEOUT", "20s", "MONITE_MAX_IDENTITIES", "2000", "MONITE_MAX_IN_FLIGHT", "2000"))
			for round := range 2 { // at once, and at once again when all tokens are gone
				sim.ResetStats()
				atOnce(n, func(i int) {
					c.served(c.do(shapeGET, "X-Monite-Entity-User-Id", ids[i]))
				})
				stats := sim.Stats()
				if stats.MintsInFlightPeak > 16 || stats.Mints > n+1 {
					c.Errorf("round %d: %d mints, %d at one time, want at most %d and 16", round, stats.Mints, stats.MintsInFlightPeak, n+1)
				}
				sim.ExpireAll()
				time.Sleep(1100 * time.Millisecond)
			}
		})
	}
}

// Retry-After of the token endpoint is obeyed, and a token that lives goes on
// serving.
func faultsTokenRetryAfter(r *faultRun) {
	for _, status := range []int{500, 502, 503, 429} {
		fault := monitetest.Fault{Path: "token", Status: status, Header: map[string]string{"Retry-After": "2"}}
		r.each(inUsual, fmt.Sprint(status, "_cached"), shapesShort, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{TokenLifetime: 10 * time.Second})
			c.start(quickEnv(url))
			sim.Inject(fault)
			for began := time.Now(); time.Since(began) < 8500*time.Millisecond; time.Sleep(50 * time.Millisecond) {
				c.served(c.do(shape))
			}
			c.mintsApart(sim, 1900*time.Millisecond)
			sim.ClearFaults()
			c.recovers(3500*time.Millisecond, shape)
		})
		r.each(inUsual, fmt.Sprint(status, "_cold"), shapesShort, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{})
			sim.Inject(fault)
			c.s = start(c.T, quickEnv(url))
			for began := time.Now(); time.Since(began) < 2500*time.Millisecond; time.Sleep(50 * time.Millisecond) {
				c.refused(c.do(shape))
			}
			c.mintsApart(sim, 1900*time.Millisecond)
			sim.ClearFaults()
			c.recovers(3500*time.Millisecond, shape)
		})
	}
}

// mintsApart wants two failed mints at least, and none sooner than asked.
func (c *faultCell) mintsApart(sim *monitetest.Simulator, least time.Duration) {
	c.Helper()
	var before time.Time
	failed := 0
	for _, one := range sim.Requests() {
		if one.Target != "/v1/auth/token" || one.Status == http.StatusOK {
			continue
		}
		if failed++; failed > 1 && one.Time.Sub(before) < least {
			c.Errorf("a mint came %v after the one that was refused, want %v", one.Time.Sub(before), least)
		}
		before = one.Time
	}
	if failed < 2 {
		c.Errorf("only %d mints were refused: nothing was tested", failed)
	}
}

func faultsTokenRefused(r *faultRun) {
	for _, status := range []int{400, 401, 403, 422} {
		r.each(inUsual, fmt.Sprint(status), shapesShort, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{})
			sim.Inject(monitetest.Fault{Path: "token", Status: status, Body: `{"error":{"message":"expired"}}`})
			c.s = start(c.T, quickEnv(url))
			for began := time.Now(); time.Since(began) < 2*time.Second; time.Sleep(20 * time.Millisecond) {
				c.want(c.do(shape), "502 token_rejected not_sent", 0, 0, 0)
			}
			if got := sim.Stats().FailedMints; got > 2 {
				c.Errorf("%d mints in 2 s, want one per 5 s", got)
			}
			sim.ClearFaults()
			c.recovers(7*time.Second, shape)
		})
	}
	// A refusal is of one grant: the others are not touched.
	r.each(inUsual, "others", shapesShort, func(c *faultCell, shape faultShape) {
		o := c.origin(nil)
		o.mintsBy(func(x *faultExchange) bool {
			var asked struct {
				Grant string `json:"grant_type"`
			}
			_ = json.NewDecoder(x.in.Body).Decode(&asked)
			if asked.Grant == "client_credentials" {
				return x.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
			}
			return x.say(tokenAnswer(`"access_token":"user-token","token_type":"Bearer","expires_in":1800`))
		})
		c.s = start(c.T, quickEnv(o.url()))
		for range 20 {
			c.want(c.do(shape), "502 token_rejected not_sent", 0, 0, 0)
			c.served(c.do(shape, "X-Monite-Entity-User-Id", monitetest.DemoEntityUserID))
		}
		if got := o.mintsSoFar(); got > 3 {
			c.Errorf("%d mints, want one per grant", got)
		}
	})
}

func faultsRejectedOnce(r *faultRun) {
	for _, name := range sortedNames(dialects) {
		dialect := dialects[name]
		r.each(inUsual, strings.ReplaceAll(strings.ReplaceAll(name, ",", ""), " ", "_"), shapesOfAll, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(dialect.config)
			c.start(defaultEnv(url))
			c.served(c.do(shape))
			oldEnough()
			dialect.end(sim)
			mints := sim.Stats().Mints
			if first := c.do(shape); shape.name != shapeStream.name {
				c.served(first)
			} else {
				// It cannot be sent again: upstream's refusal passes, and the next
				// request finds a new token.
				c.want(first, "400 | 401 | 403", 1, 0, 0)
				c.served(c.do(shape))
			}
			c.served(c.do(shape))
			if got := sim.Stats().Mints - mints; got != 1 {
				c.Errorf("%d mints, want 1", got)
			}
		})
	}
}

func faultsRejectedForever(r *faultRun) {
	for _, name := range []string{"401", "400_expired", "403_expired"} {
		status, _ := strconv.Atoi(name[:3])
		when := inUsual
		if status == 401 {
			when = inShort
		}
		r.each(when, name, shapesOfAll, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{})
			c.start(defaultEnv(url))
			sim.Inject(monitetest.Fault{Status: status, Body: `{"error":{"message":"The token has expired"}}`})
			mints, began := sim.Stats().Mints, time.Now()
			for ; time.Since(began) < 2*time.Second; time.Sleep(20 * time.Millisecond) {
				one := c.do(shape)
				c.want(one, strconv.Itoa(status), 2, 0, 0)
				if !strings.Contains(one.body, "The token has expired") {
					c.Errorf("the answer is not upstream's own: %.100q", one.body)
				}
			}
			if got, most := sim.Stats().Mints-mints, 1+int(time.Since(began)/time.Second); got > most {
				c.Errorf("%d mints in %v, want at most one per second", got, time.Since(began))
			}
			sim.ClearFaults()
			c.recovers(time.Second, shape)
		})
	}
}

// The tokens of both grants end at once, under callers of every shape.
func faultsRevoked(r *faultRun) {
	for _, name := range []string{"partner", "entity_user"} {
		r.each(inUsual, name, shapesShort, func(c *faultCell, shape faultShape) {
			var pairs []string
			if name == "entity_user" {
				pairs = []string{"X-Monite-Entity-User-Id", monitetest.DemoEntityUserID}
			}
			sim, url := c.simulate(monitetest.Config{})
			c.start(defaultEnv(url))
			c.served(c.do(shape, pairs...))
			for range 3 {
				oldEnough()
				sim.RevokeAll()
				mints := sim.Stats().Mints
				var failed atomic.Int64
				atOnce(20, func(int) {
					if one := c.do(shape, pairs...); one.status/100 != 2 {
						failed.Add(1)
						c.served(one)
					}
				})
				if got := sim.Stats().Mints - mints; got != 1 || failed.Load() > 0 {
					c.Errorf("%d mints for one revocation, %d failed requests, want 1 and 0", got, failed.Load())
				}
			}
		})
	}
}

// Whatever the connection to the token endpoint does, apps are answered within
// the hold timeout, nothing reaches upstream, and nothing is left over.
func faultsTokenConnection(r *faultRun) {
	drip := func(x *faultExchange) bool {
		for _, char := range tokenAnswer(`"access_token":"slow","token_type":"Bearer","expires_in":1800`) {
			if !x.say(string(char)) {
				return false
			}
			time.Sleep(20 * time.Millisecond)
		}
		return true
	}
	faults := map[string]func(o *faultOrigin){
		"hang": func(o *faultOrigin) { o.mintsBy((*faultExchange).hang) },
		"rst":  func(o *faultOrigin) { o.mintsBy((*faultExchange).reset) },
		"fin":  func(o *faultOrigin) { o.mintsBy((*faultExchange).fin) },
		"drip": func(o *faultOrigin) { o.mintsBy(drip) },
		"rst_on_open": func(o *faultOrigin) {
			o.behave(func(conn net.Conn) bool { wiretest.ResetOnClose(conn); return true }, nil)
		},
		"refused":   func(o *faultOrigin) { o.stop() },
		"half_open": func(o *faultOrigin) { o.behave(stayAwake, nil) },
		"stall_in_body": func(o *faultOrigin) {
			o.mintsBy(func(x *faultExchange) bool {
				x.say("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"access_token\":")
				return x.hang()
			})
		},
	}
	for _, name := range sortedNames(faults) {
		r.each(inUsual, name, shapesShort, func(c *faultCell, shape faultShape) {
			o := c.warm(shape, quickEnv)
			_ = c.s.cmd.Process.Kill() // a fresh one has no token
			<-c.s.ended

			faults[name](o)
			o.cut(false)
			c.s = start(c.T, quickEnv(o.url()))
			for range 5 {
				c.refused(c.do(shape))
			}
			if name == "refused" {
				o.listen(o.addr)
			}
			o.mintsBy(faultToken)
			o.behave(nil, faultOK)
			c.recovers(2*time.Second, shape)
			c.backToBaseline(3 * time.Second)
		})
	}
	r.each(inUsual, "slow_but_in_time", shapesShort, func(c *faultCell, shape faultShape) {
		sim, url := c.simulate(monitetest.Config{})
		sim.Inject(monitetest.Fault{Path: "token", Delay: monitetest.Duration(1800 * time.Millisecond)})
		c.s = start(c.T, defaultEnv(url).with("MONITE_TOKEN_TIMEOUT", "4s", "MONITE_HOLD_TIMEOUT", "4s"))
		c.served(c.do(shape))
	})
	for name, trouble := range map[string]string{"nxdomain": "NXDOMAIN", "servfail": "SERVFAIL"} {
		r.each(inUsual, name, shapesShort, func(c *faultCell, shape faultShape) {
			o := c.origin(nil)
			names := newNameServer(c.T, trouble)
			c.s = startAsking(c.T, names, quickEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true"))
			for range 3 {
				c.refused(c.do(shape))
			}
			names.Trouble("")
			c.recovers(2*time.Second, shape)
		})
	}
	badTLS := map[string]func(ca *faultCA) *tls.Config{
		"tls_unknown_ca": func(ca *faultCA) *tls.Config {
			return &tls.Config{Certificates: []tls.Certificate{wiretest.SelfSigned()}}
		},
		"tls_expired": func(ca *faultCA) *tls.Config { return ca.server("localhost", time.Now().Add(-time.Minute)) },
	}
	for _, name := range sortedNames(badTLS) {
		r.each(inUsual, name, shapesShort, func(c *faultCell, shape faultShape) {
			ca := newCA(c.T)
			o := c.origin(badTLS[name](ca))
			c.s = start(c.T, quickEnv(o.url()).with("MONITE_CA_FILE", ca.file))
			for range 3 {
				c.refused(c.do(shape))
			}
			if o.mintsSoFar() > 0 {
				c.Error("I2: the credentials went to a server that is not trusted")
			}
			o.speak(ca.server("localhost", time.Now().Add(time.Hour)))
			c.recovers(2*time.Second, shape)
		})
	}
}

// What is no token makes no token; one that is there stays.
func faultsTokenGarbage(r *faultRun) {
	inject := func(f monitetest.Fault) monitetest.Fault { f.Path = "token"; return f }
	garbage := map[string]monitetest.Fault{
		"html":            {Effect: monitetest.EffectHTML},
		"endless":         {Effect: monitetest.EffectEndless},
		"gzip":            {Effect: monitetest.EffectGzip},
		"crlf":            {Effect: monitetest.EffectTokenCRLF},
		"duplicate_keys":  {Effect: monitetest.EffectTokenDuplicateKeys},
		"truncated":       {Effect: monitetest.EffectTruncate},
		"truncated_rst":   {Effect: monitetest.EffectTruncateRST},
		"broken_chunk":    {Effect: monitetest.EffectBrokenChunk},
		"stall":           {Effect: monitetest.EffectStall},
		"no_http":         {Effect: monitetest.EffectRaw, Body: "SSH-2.0-OpenSSH_9.9\r\n"},
		"empty":           {Status: 200},
		"array":           {Status: 200, Body: `[{"access_token":"x"}]`},
		"two_objects":     {Status: 200, Body: `{"access_token":"x"}{"access_token":"y"}`},
		"empty_token":     {Status: 200, Body: `{"access_token":"","token_type":"Bearer","expires_in":1800}`},
		"number_as_token": {Status: 200, Body: `{"access_token":12345678,"token_type":"Bearer","expires_in":1800}`},
		"other_type":      {Status: 200, Body: `{"access_token":"x","token_type":"MAC","expires_in":1800}`},
		"huge_token":      {Status: 200, Body: `{"access_token":"` + strings.Repeat("x", 20_000) + `","expires_in":1800}`},
		"nul_in_token":    {Status: 200, Body: `{"access_token":"a\u0000b","expires_in":1800}`},
		"status_204":      {Status: 204},
		"redirect":        {Status: 302, Header: map[string]string{"Location": "/elsewhere"}},
	}
	for _, name := range sortedNames(garbage) {
		when := inUsual
		if name == "html" {
			when = inShort
		}
		r.each(when, name+"_cold", shapesShort, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{})
			sim.Inject(inject(garbage[name]))
			c.s = start(c.T, quickEnv(url))
			for range 3 {
				c.refused(c.do(shape))
			}
			sim.ClearFaults()
			c.recovers(2*time.Second, shape)
		})
		r.each(inUsual, name+"_cached", shapesShort, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{})
			c.start(quickEnv(url))
			time.Sleep(1100 * time.Millisecond) // no second mint within a second
			sim.Inject(inject(garbage[name]))
			if a := c.s.admin("POST", "/tokens/refresh"); a.Status != http.StatusAccepted {
				c.Fatalf("refresh = %d", a.Status)
			}
			c.s.waitLogged("mint failed")
			c.served(c.do(shape))
			sim.ClearFaults()
			c.served(c.do(shape))
		})
	}
}

// No lifetime makes a loop of mints.
func faultsTokenLifetime(r *faultRun) {
	lifetimes := map[string]string{
		"0": "0", "minus_1": "-1", "1": "1", "2": "2", "missing": "", "null": "null", "text": `"3600"`, "words": `"soon"`, "fraction": "3600.5",
		"1e300": "1e300", "2pow63": "9223372036854775808", "true": "true", "object": `{"a":1}`, "minus_1e300": "-1e300",
	}
	for _, name := range sortedNames(lifetimes) {
		r.each(inUsual, name, shapesShort, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{})
			sim.Inject(monitetest.Fault{Path: "token", Effect: monitetest.EffectTokenExpiresIn, Value: lifetimes[name]})
			c.start(defaultEnv(url))
			began := time.Now()
			for time.Since(began) < 2500*time.Millisecond {
				c.served(c.do(shape))
				time.Sleep(20 * time.Millisecond)
			}
			if mints, most := sim.Stats().Mints, 2+int(time.Since(began)/time.Second); mints > most {
				c.Errorf("%d mints in %v, want at most one per second", mints, time.Since(began))
			}
		})
	}
}
