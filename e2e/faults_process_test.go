package e2e

import (
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// Go reads the clock without libc, so nothing outside can show it another time;
// jumps of the clock are tests of tokencache in synctest bubbles. A suspend is
// SIGSTOP, which lets the wall clock and the monotonic one run on.
func faultsSuspend(r *faultRun) {
	for name, suspend := range map[string]struct {
		when             faultWhen
		lifetime, asleep time.Duration
	}{
		"token_lives":             {inShort, time.Hour, time.Second},
		"token_expires_meanwhile": {inUsual, 3 * time.Second, 3500 * time.Millisecond},
	} {
		r.each(suspend.when, name, shapesOfAll, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{TokenLifetime: suspend.lifetime})
			c.start(defaultEnv(url))
			c.served(c.do(shape))
			for range 2 {
				c.s.freeze() // before, one of the requests might take its token
				time.AfterFunc(suspend.asleep, func() { _ = c.s.cmd.Process.Signal(syscall.SIGCONT) })
				atOnce(5, func(int) { c.served(c.do(shape)) }) // sent in its sleep
				c.served(c.do(shape))
			}
			if stats := sim.Stats(); stats.Mints > 4 || suspend.lifetime > time.Minute && stats.Mints > 1 {
				c.Errorf("mints = %d", stats.Mints)
			}
		})
	}
}

// wrongValues holds a wrong value for every variable that takes one.
func wrongValues(t *testing.T) map[string][]string {
	t.Helper()
	directory := t.TempDir()
	bad := filepath.Join(directory, "bad")
	writeFile(t, bad, "has space")
	none := filepath.Join(directory, "none")
	return map[string][]string{
		"MONITE_CLIENT_ID":          {"has space", "has\nbreak", `"quoted"`, "not-ascii-é", strings.Repeat("x", 8193)},
		"MONITE_CLIENT_ID_FILE":     {none, directory, bad, "/dev/null"},
		"MONITE_CLIENT_SECRET":      {"has\ttab", "has\rreturn", "'quoted'"},
		"MONITE_CLIENT_SECRET_FILE": {none, directory, bad},
		"MONITE_ENVIRONMENT":        {"production", "EU", "sandbox "},
		"MONITE_API_URL": {"api.monite.com", "ftp://x", "https://api.tesouro.com", "https://u:p@x", "https://x/path",
			"https://x?q", "http://x.example", "https://x:99999", "https://"},
		"MONITE_ALLOW_PLAINTEXT_UPSTREAM": {"maybe"},
		"MONITE_API_VERSION":              {"latest", "2024-13-01", "2024-5-25"},
		"MONITE_GRANT_TYPE":               {"password"},
		"MONITE_ENTITY_USER_ID":           {"me"},
		"MONITE_ENTITY_ID":                {"b5e1c0de-0001-4000-8000-00000000000", "*"},
		"MONITE_ALLOWED_ENTITY_IDS":       {"x", "*,*", ",", " "},
		"MONITE_ALLOWED_ENTITY_USER_IDS":  {"x"},
		"MONITE_LISTEN_ADDR": {"8080", "0.0.0.0:0", ":0", "localhost:http", "example.com:80", "127.0.0.1:65536", "unix:relative",
			"unix:/" + strings.Repeat("x", 108)},
		"MONITE_ALLOW_REMOTE":            {"oui"},
		"MONITE_SOCKET_MODE":             {"600", "0400", "1777", "rw"},
		"MONITE_ALLOWED_PEER_UIDS":       {"root", "-1", "1,,2", "4294967295"},
		"MONITE_TLS_CERT_FILE":           {none, bad},
		"MONITE_TLS_KEY_FILE":            {none, bad},
		"MONITE_TLS_CLIENT_CA_FILE":      {none, bad},
		"MONITE_APP_TOKEN":               {"has space"},
		"MONITE_APP_TOKEN_FILE":          {none},
		"MONITE_ALLOWED_HOSTS":           {"*.example.com", "http://x", "a,,b"},
		"MONITE_ADMIN_ADDR":              {"8081", "nobody:nothing"},
		"MONITE_READ_ONLY":               {"yes please"},
		"MONITE_CA_FILE":                 {none, bad, directory},
		"MONITE_UPSTREAM_CERT_FILE":      {none, bad},
		"MONITE_UPSTREAM_KEY_FILE":       {none, bad},
		"MONITE_PROXY_FROM_ENV":          {"2"},
		"MONITE_TOKEN_TIMEOUT":           {"10", "0s", "-1s", "6m", "1e3s"},
		"MONITE_REFRESH_BEFORE":          {"5 minutes", "-1s", "25h"},
		"MONITE_HOLD_TIMEOUT":            {"x", "-1ns", "6m"},
		"MONITE_MAX_IDENTITIES":          {"0", "-1", "1.5", "0x10", "1000001", "99999999999999999999"},
		"MONITE_MAX_IN_FLIGHT":           {"0", "lots"},
		"MONITE_MAX_BODY_BYTES":          {"0", "32MiB", "1_000"},
		"MONITE_REPLAY_BODY_BYTES":       {"-1", "67108865"},
		"MONITE_UPSTREAM_TIMEOUT":        {"0s", "2h"},
		"MONITE_SHUTDOWN_DELAY":          {"-1s", "soon"},
		"MONITE_DRAIN_TIMEOUT":           {"-1s", "2h"},
		"MONITE_QUIT_ENDPOINT":           {"on"},
		"MONITE_LOG_LEVEL":               {"loud", "INFO", "disabled"},
		"MONITE_LOG_FORMAT":              {"xml"},
		"MONITE_STATUS_PAGE":             {"off"},
		"MONITE_IDENTITIES_FILE":         {none, directory},
		"MONITE_TOKEN_HANDLES":           {"x"},
		"MONITE_CONFINE":                 {"true", "always"},
		"MONITE_VEND_ADDR":               {":9000", "9000", "unix:x"},
		"MONITE_MAX_MINTS_PER_SECOND":    {"0", "20/s"},
		"MONITE_LISTENER":                {"fast"},
		"MONITE_KEEP_WARM":               {"10", "25h"},
		"MONITE_AUDIT_LOG":               {"audit", "/no/such/place/audit", "/usr/bin"},
		"MONITE_REDIS_URL":               {"localhost:6379", "redis://", "redis://x?db=1", "redis+sentinel://x"},
		"MONITE_VEND_SOCKET_MODE":        {"0660", "rw"},
		"MONITE_VEND_ALLOWED_PEER_UIDS":  {"1000", "root"},
		"MONITE_VEND_APP_TOKEN":          {"has space"},
		"MONITE_VEND_APP_TOKEN_FILE":     {none},
		"MONITE_REDIS_TIMEOUT":           {"50", "1ms", "50ms"}, // the last one because there is no store
		"MONITE_REDIS_PASSWORD":          {"alone"},
		"MONITE_REDIS_PASSWORD_FILE":     {none},
		"MONITE_REDIS_URL_FILE":          {none},
		"MONITE_REDIS_CA_FILE":           {none},
		"MONITE_MAX_REQUESTS_PER_SECOND": {"-1", "30/s"},
		"MONITE_REPEAT_GUARD":            {"10", "25h"},
		"MONITE_IDEMPOTENCY_TTL":         {"1d", "169h"},
	}
}

// Every variable with values that are wrong for it, and with some that nobody can mean.
func faultsConfiguration(r *faultRun) {
	table := wrongValues(r.t)
	_, help := runCommand(r.t, env{}, "help")
	for _, name := range regexp.MustCompile(`MONITE_[A-Z_]+(\[_FILE\])?`).FindAllString(help, -1) {
		name, hasFile := strings.CutSuffix(name, "[_FILE]")
		if len(table[name]) == 0 || hasFile && len(table[name+"_FILE"]) == 0 {
			r.t.Errorf("%s has no wrong value here", name)
		}
	}
	for _, name := range sortedNames(table) {
		when := inUsual
		if name == "MONITE_CLIENT_SECRET" {
			when = inShort
		}
		r.cell(when, name, func(c *faultCell) {
			values := append(slices.Clone(table[name]), "  ", "a\r\nInjected: b", "\x01", strings.Repeat("x", 100_000), "\xff\xfe")
			for _, value := range values {
				e := defaultEnv("http://127.0.0.1:1").with(name, value)
				if twin, isFile := strings.CutSuffix(name, "_FILE"); isFile {
					e = e.with(twin, "")
				}
				var code int
				var output string
				took := time.Hour
				for try := 0; try < 3 && took > time.Second; try++ { // on a busy machine one may be late
					began := time.Now()
					code, output = runCommand(c.T, e)
					took = time.Since(began)
				}
				if code != 2 || took > time.Second {
					c.Errorf("%s=%.40q: exit code = %d after %v, want 2 within 1 s\n%.2000s", name, value, code, took, output)
				}
				if !strings.Contains(output, name) || strings.Contains(output, `"listening"`) {
					c.Errorf("%s=%.40q: the variable is not named, or something listened\n%.2000s", name, value, output)
				}
				if len(value) > 12 && strings.Contains(output, value) {
					c.Errorf("I3: %s=%.40q: the value is repeated", name, value)
				}
			}
		})
	}
	r.cell(inUsual, "nothing_is_set", func(c *faultCell) {
		code, output := runCommand(c.T, env{})
		if code != 2 || !strings.Contains(output, "MONITE_CLIENT_ID") || !strings.Contains(output, "MONITE_CLIENT_SECRET") {
			c.Errorf("exit code = %d\n%s", code, output)
		}
	})
}

// inTheBackground sends a request that has been carried out and is still under
// way when it returns.
func (c *faultCell) inTheBackground(o *faultOrigin, shape faultShape) <-chan faultResult {
	ended := make(chan faultResult, 1)
	before := o.executions()
	go func() { ended <- c.do(shape) }()
	c.s.waitFor("the request at upstream", func() bool { return o.executions() > before })
	return ended
}

func (o *faultOrigin) executions() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, times := range o.executed {
		n += times
	}
	return n
}

// afterGate answers when the gate opens.
func afterGate(gate <-chan struct{}) func(x *faultExchange) bool {
	return func(x *faultExchange) bool {
		if !x.execute() {
			return false
		}
		<-gate
		return x.say(okHead + faultAnswer)
	}
}

func faultsSIGTERM(r *faultRun) {
	r.cell(inUsual, "idle", func(c *faultCell) {
		c.start(defaultEnv(newOrigin(c.T, nil).url()))
		c.s.signal(syscall.SIGTERM)
		c.s.ends(0, 2*time.Second)
	})
	underWay := func(when faultWhen, name string, api func(gate <-chan struct{}) func(*faultExchange) bool) {
		r.each(when, name, shapesOfAll, func(c *faultCell, shape faultShape) {
			o, gate := c.upstream(defaultEnv), make(chan struct{})
			o.behave(nil, api(gate))
			under := c.inTheBackground(o, shape)
			c.s.signal(syscall.SIGTERM)
			c.s.waitRefused()
			close(gate)
			c.served(<-under)
			c.s.ends(0, 2*time.Second)
		})
	}
	underWay(inShort, "request_under_way", afterGate)
	underWay(inUsual, "answer_under_way", func(gate <-chan struct{}) func(*faultExchange) bool {
		return func(x *faultExchange) bool {
			x.execute()
			x.say(okHead + faultAnswer[:5])
			<-gate
			return x.say(faultAnswer[5:])
		}
	})
	r.each(inUsual, "upload_under_way", []faultShape{shapeBody, shapeStream}, func(c *faultCell, shape faultShape) {
		o := c.upstream(defaultEnv)
		head, body := shape.wire("upload")
		conn := c.s.dial()
		_, _ = io.WriteString(conn, head+body[:len(body)/2])
		c.s.waitMetric("monite_proxy_in_flight_requests", 1)
		c.s.signal(syscall.SIGTERM)
		c.s.waitRefused()
		_, _ = io.WriteString(conn, body[len(body)/2:])
		a, err := readAnswer(conn)
		if _, executed := o.count("upload"); err != nil || a.Status != http.StatusOK || executed != 1 {
			c.Errorf("%d %v, executed %d times", a.Status, err, executed)
		}
		c.s.ends(0, 2*time.Second)
	})
	r.each(inUsual, "drain_timeout", shapesOfAll, func(c *faultCell, shape faultShape) {
		o := c.upstream(defaultEnv, "MONITE_DRAIN_TIMEOUT", "300ms")
		o.behave(nil, func(x *faultExchange) bool { return x.execute() && x.hang() })
		under := c.inTheBackground(o, shape)
		c.s.signal(syscall.SIGTERM)
		c.want(<-under, "502 upstream_broken unknown", 1, 1, 1)
		c.s.ends(1, 2*time.Second)
	})
	r.each(inShort, "twice", shapesOfAll, func(c *faultCell, shape faultShape) {
		o := c.upstream(defaultEnv, "MONITE_SHUTDOWN_DELAY", "10s")
		o.behave(nil, func(x *faultExchange) bool { return x.execute() && x.hang() })
		under := c.inTheBackground(o, shape)
		c.s.signal(syscall.SIGTERM)
		c.s.waitLogged(`"message":"draining"`)
		c.s.signal(syscall.SIGTERM)
		c.s.ends(1, time.Second)
		c.want(<-under, "502 upstream_broken unknown", 1, 1, 1)
		c.s.wantLogged("second signal")
	})
	r.cell(inUsual, "during_start", func(c *faultCell) {
		o := newOrigin(c.T, nil)
		for i := range 20 {
			s := startWriting(c.T, defaultEnv(o.url()), &wiretest.Buffer{})
			time.Sleep(time.Duration(i) * time.Millisecond)
			s.signal(syscall.SIGTERM)
			// Before the first instructions the kernel ends it.
			if code := s.exitCode(5 * time.Second); code != 0 && code != -1 {
				c.Errorf("%d ms after the start: exit code = %d", i, code)
			}
		}
	})
	r.cell(inShort, "idle_during_mint", func(c *faultCell) {
		o := newOrigin(c.T, nil)
		o.mintsBy((*faultExchange).hang)
		c.s = start(c.T, defaultEnv(o.url()))
		c.s.waitFor("the mint", func() bool { return o.mintsSoFar() == 1 })
		c.s.signal(syscall.SIGTERM)
		c.s.ends(0, 2*time.Second)
	})
	r.each(inShort, "during_mint", shapesShort, func(c *faultCell, shape faultShape) {
		o := c.origin(nil)
		o.mintsBy((*faultExchange).hang)
		c.s = start(c.T, defaultEnv(o.url()).with("MONITE_HOLD_TIMEOUT", "500ms"))
		under := make(chan faultResult, 1)
		go func() { under <- c.do(shape) }()
		c.s.waitMetric("monite_proxy_in_flight_requests", 1)
		c.s.signal(syscall.SIGTERM)
		c.want(<-under, unavailable+" | 503 draining not_sent", 0, 0, 0)
		c.s.ends(0, 3*time.Second)
	})
	r.each(inUsual, "during_reload", shapesShort, func(c *faultCell, shape faultShape) {
		o := c.upstream(defaultEnv)
		gate := make(chan struct{})
		o.behave(nil, afterGate(gate))
		under := c.inTheBackground(o, shape)
		for range 50 {
			c.s.signal(syscall.SIGHUP)
		}
		c.s.signal(syscall.SIGTERM)
		for range 50 {
			c.s.signal(syscall.SIGHUP)
		}
		close(gate)
		c.served(<-under)
		c.s.ends(0, 2*time.Second)
	})
	r.each(inUsual, "under_load", shapesShort, func(c *faultCell, shape faultShape) {
		c.upstream(defaultEnv)
		stop := goOn(c.T, 16, func(int, int) {
			// Once nobody listens it is refused, which is not a drop.
			if one := c.do(shape); one.err != nil && !strings.Contains(one.err.Error(), "connection refused") {
				c.Errorf("dropped: %v", one.err)
			}
		})
		time.Sleep(300 * time.Millisecond)
		c.s.signal(syscall.SIGTERM)
		c.s.ends(0, 5*time.Second)
		stop()
	})
}

func faultsSignals(r *faultRun) {
	r.each(inUsual, "sigkill_and_restart", shapesOfAll, func(c *faultCell, shape faultShape) {
		o := c.origin(nil)
		e := defaultEnv(o.url()).with("MONITE_LISTEN_ADDR", ownPort(c.T), "MONITE_ADMIN_ADDR", ownPort(c.T))
		c.start(e)
		for range 3 {
			o.behave(nil, func(x *faultExchange) bool { return x.execute() && x.hang() })
			under := c.inTheBackground(o, shape)
			c.s.signal(syscall.SIGKILL)
			c.want(<-under, "abort", 1, 1, 1)
			<-c.s.ended
			o.behave(nil, faultOK)
			began := time.Now()
			c.start(e)
			c.served(c.do(shape))
			if took := time.Since(began); took > time.Second {
				c.Errorf("served again %v after the restart", took)
			}
		}
	})
	r.each(inShort, "sigstop_in_mid_request", shapesOfAll, func(c *faultCell, shape faultShape) {
		o := c.upstream(defaultEnv)
		gate := make(chan struct{})
		o.behave(nil, afterGate(gate))
		under := c.inTheBackground(o, shape)
		c.s.freeze()
		close(gate)
		time.Sleep(time.Second)
		c.s.signal(syscall.SIGCONT)
		c.served(<-under)
		o.behave(nil, faultOK)
		c.served(c.do(shape))
	})
	for name, sig := range map[string]syscall.Signal{
		"sigpipe": syscall.SIGPIPE, "sighup": syscall.SIGHUP, "sigurg": syscall.SIGURG, "sigwinch": syscall.SIGWINCH, "sigchld": syscall.SIGCHLD,
	} {
		r.each(inUsual, name+"_1000_under_load", shapesShort, func(c *faultCell, shape faultShape) {
			c.warm(shape, defaultEnv)
			stop := goOn(c.T, 4, func(int, int) { c.served(c.do(shape)) })
			for range 1000 {
				c.s.signal(sig)
				time.Sleep(500 * time.Microsecond)
			}
			stop()
			c.backToBaseline(2 * time.Second)
		})
	}
}
