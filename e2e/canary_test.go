package e2e

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// traitor is an upstream that repeats whatever it was told, in every place in
// which a client might quote it: the credentials in answers to mints, the token
// in answers to calls. What it does next is set by the test.
type traitor struct {
	partner, user string       // what its tokens begin with
	minted        atomic.Int64 // and what they end with
	mint, api     atomic.Pointer[betrayal]
}

// betrayal answers; said is what the traitor was told.
type betrayal func(w http.ResponseWriter, said string)

func (u *traitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	next, said := u.api.Load(), r.Header.Get("Authorization")
	if r.URL.Path == "/v1/auth/token" {
		next, said = u.mint.Load(), string(body)
	}
	if next != nil {
		(*next)(w, said)
		return
	}
	if r.URL.Path == "/v1/auth/token" {
		token := u.partner
		if strings.Contains(said, "entity_user") {
			token = u.user
		}
		mintToken(fmt.Sprint(token, u.minted.Add(1)), 1800)(w, r)
		return
	}
	_, _ = io.WriteString(w, "you said "+said)
}

func refusing(code int, fields ...string) betrayal {
	return func(w http.ResponseWriter, said string) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], strings.ReplaceAll(fields[i+1], "SAID", said))
		}
		w.Header().Set("WWW-Authenticate", said)
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"error":{"message":"the token has expired","details":%q}}`, said)
	}
}

func saying(contentType, text string) betrayal {
	return func(w http.ResponseWriter, said string) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, strings.ReplaceAll(text, "SAID", strings.Trim(fmt.Sprintf("%q", said), `"`)))
	}
}

// rawBytes writes to the connection and closes it; with reset, by a RST.
func rawBytes(text string, reset bool) betrayal {
	return func(w http.ResponseWriter, said string) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, strings.ReplaceAll(text, "SAID", said))
		if linger, ok := conn.(interface{ SetLinger(int) error }); ok && reset {
			_ = linger.SetLinger(0)
		}
	}
}

// hangUntilClosed says nothing until the other side gives up.
func hangUntilClosed(w http.ResponseWriter, _ string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.Copy(io.Discard, conn)
}

// unreadable are answers that no client can take, for both endpoints.
var unreadable = map[string]betrayal{
	"reset at once":          rawBytes("", true),
	"end at once":            rawBytes("", false),
	"not HTTP":               rawBytes("SAID\r\n\r\n", false),
	"status line":            rawBytes("HTTP/1.1 2x0 SAID\r\n\r\n", false),
	"protocol":               rawBytes("HTTP/SAID 200 OK\r\n\r\n", false),
	"field name":             rawBytes("HTTP/1.1 200 OK\r\nSAID\r\n\r\n", false),
	"field value":            rawBytes("HTTP/1.1 200 OK\r\nX: \x00SAID\r\n\r\n", false),
	"content length":         rawBytes("HTTP/1.1 200 OK\r\nContent-Length: SAID\r\n\r\n", false),
	"transfer encoding":      rawBytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: SAID\r\n\r\n", false),
	"chunk size":             rawBytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nSAID\r\n", false),
	"cut body":               rawBytes("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nSAID", false),
	"reset body":             rawBytes("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nSAID", true),
	"trailer":                rawBytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nSAID\r\n\r\n", false),
	"switching":              rawBytes("HTTP/1.1 101 SAID\r\nUpgrade: SAID\r\nConnection: upgrade\r\n\r\n", false),
	"interim without an end": rawBytes(strings.Repeat("HTTP/1.1 103 SAID\r\n\r\n", 30), false),
	"large head":             rawBytes("HTTP/1.1 200 OK\r\n"+strings.Repeat("X: SAID\r\n", 100_000)+"\r\n", false),
}

// badMints are answers that are HTTP, and no token.
var badMints = map[string]betrayal{
	"500": refusing(500), "503": refusing(503, "Retry-After", "SAID"), "400": refusing(400), "401": refusing(401), "403": refusing(403),
	"422":          refusing(422),
	"redirect":     refusing(307, "Location", "/v1/elsewhere?leak=SAID"),
	"HTML":         saying("text/html", "<h1>SAID</h1>"),
	"JSON text":    saying("application/json", `"SAID"`),
	"broken JSON":  saying("application/json", `{"access_token":"SAID`),
	"token type":   saying("application/json", `{"access_token":"abc","token_type":"SAID"}`),
	"odd token":    saying("application/json", `{"access_token":"SAID\r\nX: y"}`),
	"keys twice":   saying("application/json", `{"SAID":1,"SAID":2}`),
	"after object": saying("application/json", `{"access_token":"abc"}SAID`),
	"compressed":   func(w http.ResponseWriter, said string) { w.Header().Set("Content-Encoding", said); answerOK(w, nil) },
}

var badAnswers = map[string]betrayal{
	"500": refusing(500), "429": refusing(429, "Retry-After", "1"), "401": refusing(401),
	"400 expired": refusing(400, "Content-Type", "application/json"), "403 expired": refusing(403, "Content-Type", "application/json"),
	"redirect": refusing(302, "Location", "https://elsewhere.example/?SAID"),
	"request id": func(w http.ResponseWriter, said string) {
		w.Header().Set("X-Request-Id", strings.TrimPrefix(said, "Bearer "))
		answerOK(w, nil)
	},
}

func TestNoCanaryIsSeenAnywhere(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"environment", "file"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			canaries := map[string]string{
				"client id": newCanary("+/=&"), "client secret": newCanary(`%"<\`), "app token": newCanary("&;+"),
				"partner token": newCanary("+/~"), "user token": newCanary("-._"), "the app's authorization": newCanary("=="),
			}
			upstream := &traitor{partner: canaries["partner token"], user: canaries["user token"]}
			e := defaultEnv(serve(t, upstream)).with("MONITE_CLIENT_ID", canaries["client id"], "MONITE_CLIENT_SECRET", canaries["client secret"],
				"MONITE_APP_TOKEN", canaries["app token"], "MONITE_LOG_LEVEL", "trace", "MONITE_HOLD_TIMEOUT", "100ms",
				"MONITE_UPSTREAM_TIMEOUT", "300ms", "MONITE_TOKEN_TIMEOUT", "300ms", "MONITE_MAX_BODY_BYTES", "100000")
			audit := t.TempDir() + "/audit"
			e = e.with("MONITE_AUDIT_LOG", audit)
			if source == "file" {
				directory := t.TempDir()
				for _, name := range []string{"MONITE_CLIENT_ID", "MONITE_CLIENT_SECRET", "MONITE_APP_TOKEN"} {
					writeFile(t, directory+"/"+name, e[name]+"\n")
					e = e.with(name, "", name+"_FILE", directory+"/"+name)
				}
			}
			s := start(t, e).ready()
			w := &canaryWalk{s: s, upstream: upstream, canaries: canaries, texts: map[string]string{}}
			w.failures()
			w.badRequests()
			w.fileTrouble(e)
			w.adminPages()
			w.doctor(e)
			w.commands(e)
			s.signal(syscall.SIGQUIT) // what Go prints of a crash
			s.exitCode(5 * time.Second)
			w.texts["log"] = s.log.String()
			w.texts["audit file"] = readFile(t, audit)

			if hits := sweep(canaries, w.texts); len(hits) > 0 {
				t.Errorf("%d hits, such as %+v", len(hits), hits[:min(len(hits), 5)])
				for _, h := range hits[:min(len(hits), 3)] {
					t.Logf("%s:\n%.3000s", h.place, w.texts[h.place])
				}
			}
			if strings.Contains(w.texts["log"], `"panic"`) {
				t.Error("a handler panicked")
			}
			w.wantCoverage()
			// The same search finds the token in what upstream itself repeated.
			if hits := sweep(canaries, map[string]string{"echo": w.echo}); len(hits) == 0 {
				t.Errorf("the planted token is not found in %q", w.echo)
			}
		})
	}
}

// fileTrouble spoils the files and makes them right again.
func (w *canaryWalk) fileTrouble(e env) {
	for name, path := range e {
		if !strings.HasSuffix(name, "_FILE") {
			continue
		}
		good := readFile(w.s.t, path)
		writeFile(w.s.t, path, good+good)
		w.s.waitLogged("cannot be used", path)
		writeFile(w.s.t, path, good)
		w.s.waitLogged("can be used again", path)
	}
}

// canaryUser is another entity user each time, so that each mint is the first.
func canaryUser(i int) string { return fmt.Sprintf("%s%06x", monitetest.DemoEntityUserID[:30], i) }

// newCanary makes a value that must turn up nowhere. The characters in the
// middle come out differently in JSON, in URLs and in Go's quotes.
func newCanary(middle string) string {
	return rand.Text()[:20] + middle + rand.Text()[:20]
}

// hit is a place in which a canary was found.
type hit struct{ canary, form, place string }

// sweep looks for canaries (name -> value) in texts (place -> text), in every
// form in which a value could slip through. Case does not count.
func sweep(canaries, texts map[string]string) (hits []hit) {
	forms := map[string][]spelling{}
	for name, value := range canaries {
		forms[name] = slices.Concat(spellings("", value), spellings("first half, ", value[:len(value)/2]), spellings("second half, ", value[len(value)/2:]))
	}
	for place, text := range texts {
		text = strings.ToLower(text)
		for name := range canaries {
			for _, form := range forms[name] {
				if strings.Contains(text, strings.ToLower(form.text)) {
					hits = append(hits, hit{name, form.name, place})
				}
			}
		}
	}
	return hits
}

type spelling struct{ name, text string }

func spellings(prefix, value string) []spelling {
	quoted, _ := json.Marshal(value)
	backwards := []byte(value)
	slices.Reverse(backwards)
	all := []spelling{
		{"plain", value},
		{"JSON", strings.Trim(string(quoted), `"`)},
		{"Go quotes", strings.Trim(fmt.Sprintf("%q", value), `"`)},
		{"query", url.QueryEscape(value)},
		{"path", url.PathEscape(value)},
		{"hex", hex.EncodeToString([]byte(value))},
		{"hex with spaces", strings.TrimSpace(fmt.Sprintf("% x", value))},
		{"decimal bytes", strings.Trim(fmt.Sprint([]byte(value)), "[]")},
		{"reversed", string(backwards)},
	}
	for offset := range 3 {
		for encoding, coder := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			all = append(all, spelling{fmt.Sprint(encoding, " at ", offset), inBase64(coder, value, offset)})
		}
	}
	for i := range all {
		all[i].name = prefix + all[i].name
	}
	return all
}

// inBase64 is what the value looks like inside of a longer text that has that
// many bytes (modulo 3) before it: the characters that hold only its own bits.
func inBase64(coder *base64.Encoding, value string, offset int) string {
	encoded := coder.EncodeToString(append(make([]byte, offset), value...))
	return encoded[(offset*8+5)/6 : (offset+len(value))*8/6]
}

// A search that finds nothing proves nothing unless it can find.
func TestSweepFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	value := newCanary(`+/"<`)
	half := value[len(value)/2:]
	longer := func(before int) []byte { return []byte(strings.Repeat("x", before) + value + "tail") }
	plants := map[string]string{
		"plain": value, "upper case": strings.ToUpper(value), "a half": "..." + half + "...", "the other half": value[:len(value)/2],
		"JSON": mustJSON(t, map[string]string{"a": value}), "quoted": fmt.Sprintf("%q", value), "bytes": fmt.Sprint([]byte(value)),
		"a query": "?a=" + url.QueryEscape(value), "hex": fmt.Sprintf("%X", value), "spaced hex": fmt.Sprintf("% x", value),
	}
	for before := range 6 {
		plants[fmt.Sprint("base64 after ", before)] = base64.StdEncoding.EncodeToString(longer(before))
		plants[fmt.Sprint("base64url after ", before)] = base64.URLEncoding.EncodeToString(longer(before))
	}
	backwards := []byte(value)
	slices.Reverse(backwards)
	plants["reversed"] = string(backwards)
	for name, text := range plants {
		if hits := sweep(map[string]string{"canary": value}, map[string]string{"place": "before " + text + " after"}); len(hits) == 0 {
			t.Errorf("%s is not found: %s in %s", name, value, text)
		}
	}
	clean := map[string]string{"place": newCanary(`+/"<`) + base64.StdEncoding.EncodeToString([]byte(newCanary("")))}
	if hits := sweep(map[string]string{"canary": value}, clean); len(hits) > 0 {
		t.Errorf("found in a text that does not have it: %v", hits)
	}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

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
	expired, refused := badAnswers["400 expired"], badAnswers["401"]
	w.upstream.api.Store(&expired)
	// Once the token is old enough, and the next one comes while the request is held.
	w.s.waitFor("a replay", func() bool {
		w.call("replay: 400 expired", "POST", "/v1/payables", "")
		return w.s.loggedNow(`"replay":"expired"`)
	})
	w.upstream.api.Store(&refused)
	w.call("replay: 401", "POST", "/v1/payables", "")
	w.upstream.api.Store(nil)
	hang := betrayal(hangUntilClosed)
	w.upstream.api.Store(&hang)
	w.call("upstream hangs", "POST", "/v1/payables", "")
	w.upstream.api.Store(nil)
	w.upstream.mint.Store(&hang)
	w.call("token endpoint hangs", "GET", "/v1/payables", "", "X-Monite-Entity-User-Id", w.newUser())
	w.s.waitLogged("mint failed", `"reason":"timeout"`)
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
		"as a chunk": "POST /v1/tags HTTP/1.1\r\nHost: localhost\r\nX-Monite-Proxy-Token: " + token +
			"\r\nTransfer-Encoding: chunked\r\n\r\n" + token + "\r\n",
		"a cut body": "POST /v1/tags HTTP/1.1\r\nHost: localhost\r\nX-Monite-Proxy-Token: " + token + "\r\nContent-Length: 999\r\n\r\n" + token,
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
	said, lines := "", bufio.NewReader(w.s.events(ctx))
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

// commands are check, and starts and checks with a secret in the wrong place.
func (w *canaryWalk) commands(e env) {
	w.texts["check"] = wantCommand(w.s.t, 0, e, "check")
	secret := w.canaries["client secret"]
	for name, value := range map[string]string{
		"MONITE_CLIENT_SECRET": secret + " ", "MONITE_CLIENT_ID": secret + "\n", "MONITE_CLIENT_SECRET_FILE": "/" + secret,
		"MONITE_CLIENT_SECRT": secret, "MONITE_API_URL": "https://user:" + secret + "@x", "MONITE_ENTITY_ID": secret,
		"MONITE_ALLOWED_ENTITY_IDS": secret, "MONITE_LISTEN_ADDR": secret, "MONITE_ADMIN_ADDR": secret + ":1", "MONITE_LOG_LEVEL": secret,
		"MONITE_MAX_IN_FLIGHT": secret, "MONITE_HOLD_TIMEOUT": secret, "MONITE_READ_ONLY": secret, "MONITE_CA_FILE": "/" + secret,
		"MONITE_APP_TOKEN": `"` + secret + `"`, "MONITE_REDIS_URL": "redis://:" + secret + "@", "MONITE_ENVIRONMENT": secret,
	} {
		for _, command := range []string{"serve", "check"} {
			w.texts[command+" with a wrong "+name] = wantCommand(w.s.t, 2, e.with(name, value), command)
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
