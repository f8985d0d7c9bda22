package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// canaryWalk goes through everything that can fail, and keeps what is said.
type canaryWalk struct {
	s        *sidecar
	upstream *traitor
	canaries map[string]string
	texts    map[string]string // place -> what was said there
	echo     string            // an answer of upstream: there the token may be
	users    int
	own      int // answers made by the proxy
}

// call sends one request as an app does, and keeps the answer if it is ours.
func (w *canaryWalk) call(name, method, target, body string, pairs ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	pairs = append(pairs, "X-Monite-Proxy-Token", w.canaries["app token"], "Authorization", "Bearer "+w.canaries["the app's authorization"])
	a, err := request(ctx, method, w.s.Data+target, body, pairs...)
	if ctx.Err() != nil {
		w.s.t.Errorf("%s: no answer: %v", name, err)
	}
	w.keep(name, a)
}

func (w *canaryWalk) keep(name string, a answer) {
	if a.Header.Get("Proxy-Status") == "" {
		w.echo += a.Body
		w.texts["our fields in the answer to "+name] = ownFields(a.Header)
		return
	}
	w.own++
	w.texts["answer to "+name] = fmt.Sprint(a.Status, a.Header, a.Body)
}

// ownFields are the fields that the proxy adds to upstream's answers.
func ownFields(header http.Header) string {
	own := http.Header{}
	for name, values := range header {
		if name == "Server-Timing" || name == "X-Request-Id" || strings.HasPrefix(name, "X-Monite-Proxy-") {
			own[name] = values
		}
	}
	return fmt.Sprint(own)
}

func (w *canaryWalk) newUser() string {
	w.users++
	return canaryUser(w.users)
}

// failures has both endpoints fail in every way.
func (w *canaryWalk) failures() {
	w.call("a good call", "GET", "/v1/entities", "")
	w.call("a call that asks for an explanation", "GET", "/v1/entities", "", "X-Monite-Proxy-Explain", "1")
	for _, table := range []map[string]betrayal{unreadable, badMints} {
		for name, answer := range table {
			w.upstream.mint.Store(&answer)
			w.call("mint: "+name, "GET", "/v1/payables", "", "X-Monite-Entity-User-Id", w.newUser())
		}
	}
	w.upstream.mint.Store(nil)
	for _, table := range []map[string]betrayal{unreadable, badAnswers} {
		for name, answer := range table {
			w.upstream.api.Store(&answer)
			for _, method := range []string{"GET", "POST"} {
				w.call(method+": "+name, method, "/v1/payables", "", "X-Monite-Entity-User-Id", w.newUser())
			}
		}
	}
	<-time.After(1100 * time.Millisecond) // a younger token is not replaced
	for _, name := range []string{"400 expired", "401"} {
		answer := badAnswers[name]
		w.upstream.api.Store(&answer)
		w.call("replay: "+name, "POST", "/v1/payables", "")
		w.upstream.api.Store(nil)
	}
	hang := betrayal(hangUntilClosed)
	w.upstream.api.Store(&hang)
	w.call("upstream hangs", "POST", "/v1/payables", "")
	w.upstream.api.Store(nil)
	w.upstream.mint.Store(&hang)
	w.call("token endpoint hangs", "GET", "/v1/payables", "", "X-Monite-Entity-User-Id", w.newUser())
	w.s.waitFor("its time-out", func() bool { return w.s.logged("mint failed", `"reason":"timeout"`) })
	throttled := refusing(429, "Retry-After", "1")
	w.upstream.mint.Store(&throttled) // the last: it pauses all mints
	w.call("mint: 429", "GET", "/v1/payables", "", "X-Monite-Entity-User-Id", w.newUser())
	w.call("in the pause", "GET", "/v1/payables", "", "X-Monite-Entity-User-Id", w.newUser())
	w.upstream.mint.Store(nil)
}

// badRequests are what apps do wrong, with a secret in every place.
func (w *canaryWalk) badRequests() {
	token := w.canaries["app token"]
	w.call("token twice", "GET", "/v1/entities", "", "X-Monite-Proxy-Token", token)
	w.call("token in the query", "GET", "/v1/entities?token="+token[:20], "")
	w.call("token in the path", "GET", "/v1/entities/"+token[:20], "")
	w.call("token as a doubtful path", "GET", "/v1/"+token[:20]+"/..%2f", "")
	w.call("token as an entity", "GET", "/v1/entities", "", "X-Monite-Entity-Id", token)
	w.call("token as a version", "GET", "/v1/entities", "", "X-Monite-Version", token)
	w.call("token as an identity", "GET", "/v1/entities", "", "X-Monite-Identity", token)
	w.call("token as a method", token[:20], "/v1/entities", "")
	w.call("token as an origin", "GET", "/v1/entities", "", "Origin", "http://"+token[:20])
	w.call("large body", "POST", "/v1/payables", strings.Repeat(token, 3000))
	w.call("token endpoint", "POST", "/v1/auth/token", `{"client_secret":"`+token+`"}`)
	for name, text := range map[string]string{
		"wrong token":     "GET /v1/entities HTTP/1.1\r\nHost: localhost\r\nX-Monite-Proxy-Token: " + token + "x\r\n\r\n",
		"half a token":    "GET /v1/entities HTTP/1.1\r\nHost: localhost\r\nX-Monite-Proxy-Token: " + token[:20] + "\r\n\r\n",
		"malformed field": "GET /v1/entities HTTP/1.1\r\nHost: localhost\r\nX-Monite-Proxy-Token " + token + "\r\n\r\n",
		"as a host":       "GET /v1/entities HTTP/1.1\r\nHost: " + token[:20] + "\r\n\r\n",
		"as a version":    "GET /v1/entities HTTP/" + token + "\r\nHost: localhost\r\n\r\n",
		"as a length":     "POST /v1/entities HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + token + "\r\n\r\n",
		"as a chunk":      "POST /v1/tags HTTP/1.1\r\nHost: localhost\r\nX-Monite-Proxy-Token: " + token + "\r\nTransfer-Encoding: chunked\r\n\r\n" + token + "\r\n",
		"a cut body":      "POST /v1/tags HTTP/1.1\r\nHost: localhost\r\nX-Monite-Proxy-Token: " + token + "\r\nContent-Length: 999\r\n\r\n" + token,
	} {
		conn := w.s.dial()
		_, _ = io.WriteString(conn, text)
		_ = conn.(*net.TCPConn).CloseWrite()
		said, _ := io.ReadAll(conn)
		w.texts["answer to "+name] = string(said)
		_ = conn.Close()
	}
	// An app that goes away in the middle.
	conn := w.s.dial()
	_, _ = io.WriteString(conn, "POST /v1/tags HTTP/1.1\r\nHost: localhost\r\nX-Monite-Proxy-Token: "+token+"\r\nContent-Length: 99999\r\n\r\n"+token)
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func (w *canaryWalk) adminPages() {
	for _, path := range []string{"/", "/metrics", "/status", "/readyz?verbose", "/startupz?verbose", "/livez?verbose", "/version", "/nothing"} {
		a := w.s.admin("GET", path)
		w.texts[path] = fmt.Sprint(a.Header, a.Body)
	}
	w.texts["/events"] = w.firstEvents()
	a := w.s.admin("POST", "/tokens/refresh")
	w.texts["/tokens/refresh"] = fmt.Sprint(a.Header, a.Body)
}

// firstEvents are what an open page is told at first, down to the requests.
func (w *canaryWalk) firstEvents() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	in, _ := http.NewRequestWithContext(ctx, "GET", w.s.Admin+"/events", nil)
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(in)
	if err != nil {
		w.s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	said, lines := "", bufio.NewReader(response.Body)
	for !strings.Contains(said, "/v1/payables") || !strings.HasSuffix(said, "\n\n") {
		line, err := lines.ReadString('\n')
		if said += line; err != nil {
			w.s.t.Fatalf("no event with the requests: %v", err)
		}
	}
	return said
}

// doctor looks at the sidecar, with the credentials and with refused ones, and
// with a token endpoint that repeats them.
func (w *canaryWalk) doctor(e env) {
	refused := refusing(401)
	for name, answer := range map[string]*betrayal{"": nil, " with refused credentials": &refused} {
		w.upstream.mint.Store(answer)
		for _, args := range [][]string{{"doctor"}, {"doctor", "-json"}, {"status"}, {"status", "-json"}} {
			_, w.texts[strings.Join(args, " ")+name] = runCommand(w.s.t, w.s.addressesOf(e), args...)
		}
	}
	w.upstream.mint.Store(nil)
}

// commands are check, and starts with a secret in the wrong place.
func (w *canaryWalk) commands(e env) {
	code, said := runCommand(w.s.t, e, "check")
	if code != 0 {
		w.s.t.Errorf("check = %d\n%s", code, said)
	}
	w.texts["check"] = said
	secret := w.canaries["client secret"]
	for name, value := range map[string]string{
		"MONITE_CLIENT_SECRET": secret + " ", "MONITE_CLIENT_ID": secret + "\n", "MONITE_CLIENT_SECRET_FILE": "/" + secret,
		"MONITE_CLIENT_SECRT": secret, "MONITE_API_URL": "https://user:" + secret + "@x", "MONITE_ENTITY_ID": secret,
		"MONITE_ALLOWED_ENTITY_IDS": secret, "MONITE_LISTEN_ADDR": secret, "MONITE_ADMIN_ADDR": secret + ":1", "MONITE_LOG_LEVEL": secret,
		"MONITE_MAX_IN_FLIGHT": secret, "MONITE_HOLD_TIMEOUT": secret, "MONITE_READ_ONLY": secret, "MONITE_CA_FILE": "/" + secret,
		"MONITE_APP_TOKEN": `"` + secret + `"`, "MONITE_REDIS_URL": "redis://:" + secret + "@", "MONITE_ENVIRONMENT": secret,
	} {
		for _, command := range []string{"serve", "check"} {
			code, said := runCommand(w.s.t, e.with(name, value), command)
			if code != 2 {
				w.s.t.Errorf("%s with a wrong %s = %d\n%s", command, name, code, said)
			}
			w.texts[command+" with a wrong "+name] = said
		}
	}
}

// wantCoverage: the walk has really been where it should.
func (w *canaryWalk) wantCoverage() {
	w.s.t.Helper()
	if want := len(unreadable) + len(badMints) + 10; w.own < want {
		w.s.t.Errorf("%d answers were made by the proxy, want %d at least", w.own, want)
	}
	for place, want := range map[string]string{
		"/": "/v1/payables", "/events": "/v1/payables", "/status": "mints", "audit file": `"POST"`, "doctor": "credentials",
		"doctor -json": "{", "doctor with refused credentials": "refus", "our fields in the answer to a good call": "Server-Timing",
		"our fields in the answer to a call that asks for an explanation": "Explain",
	} {
		if !strings.Contains(w.texts[place], want) {
			w.s.t.Errorf("%s lacks %q: %.300s", place, want, w.texts[place])
		}
	}
	for _, kind := range []string{
		"proxy_token_rejected", "proxy_token_unavailable", "proxy_upstream_broken", "proxy_upstream_timeout", "proxy_app_token",
		"proxy_body_too_large", "proxy_body_read", "proxy_invalid_identity", "proxy_route_refused",
	} {
		if !strings.Contains(w.texts["log"], kind) {
			w.s.t.Errorf("no request ended in %s", kind)
		}
	}
	for _, reason := range []string{"rejected", "throttled", "unavailable", "malformed", "timeout"} {
		if !w.s.logged("mint", `"reason":"`+reason+`"`) {
			w.s.t.Errorf("no mint ended in %s", reason)
		}
	}
	if !strings.Contains(w.texts["log"], `"replay":"expired"`) || !strings.Contains(w.texts["log"], "goroutine ") {
		w.s.t.Error("no replay, or no crash, is in the log")
	}
}
