package e2e

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

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
		"hang":        func(o *faultOrigin) { o.mintsBy((*faultExchange).hang) },
		"rst":         func(o *faultOrigin) { o.mintsBy((*faultExchange).reset) },
		"fin":         func(o *faultOrigin) { o.mintsBy((*faultExchange).fin) },
		"drip":        func(o *faultOrigin) { o.mintsBy(drip) },
		"rst_on_open": func(o *faultOrigin) { o.behave(func(conn net.Conn) bool { wiretest.ResetOnClose(conn); return true }, nil) },
		"refused":     func(o *faultOrigin) { o.stop() },
		"half_open":   func(o *faultOrigin) { o.behave(stayAwake, nil) },
		"stall_in_body": func(o *faultOrigin) {
			o.mintsBy(func(x *faultExchange) bool {
				x.say("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"access_token\":")
				return x.hang()
			})
		},
	}
	for _, name := range sortedNames(faults) {
		r.each(inUsual, name, shapesShort, func(c *faultCell, shape faultShape) {
			o := c.origin(nil)
			c.start(quickEnv(o.url()))
			c.served(c.do(shape))
			c.takeBaseline()
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
	for _, name := range []string{"nxdomain", "servfail"} {
		r.each(inUsual, name, shapesShort, func(c *faultCell, shape faultShape) {
			o := c.origin(nil)
			names := wiretest.NewNames(c.T)
			names.Set("api.monite.test", name, "")
			c.s = startAsking(c.T, names, quickEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true"))
			for range 3 {
				c.refused(c.do(shape))
			}
			names.Set("api.monite.test", "", "127.0.0.1")
			c.recovers(2*time.Second, shape)
		})
	}
	badTLS := map[string]func(ca *faultCA) *tls.Config{
		"tls_unknown_ca": func(ca *faultCA) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{wiretest.SelfSigned()}} },
		"tls_expired":    func(ca *faultCA) *tls.Config { return ca.server("localhost", time.Now().Add(-time.Minute)) },
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
			o.mu.Lock()
			o.tls = ca.server("localhost", time.Now().Add(time.Hour))
			o.mu.Unlock()
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
			c.s.waitFor("the failed mint", func() bool { return c.s.logged("mint failed") })
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
