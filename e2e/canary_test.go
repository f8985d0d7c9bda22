package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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
	"500": refusing(500), "503": refusing(503, "Retry-After", "SAID"), "400": refusing(400), "401": refusing(401), "403": refusing(403), "422": refusing(422),
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
			server := httptest.NewServer(upstream)
			t.Cleanup(server.Close)
			e := defaultEnv(server.URL).with("MONITE_CLIENT_ID", canaries["client id"], "MONITE_CLIENT_SECRET", canaries["client secret"],
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
			lines, err := os.ReadFile(audit)
			if err != nil {
				t.Fatal(err)
			}
			w.texts["audit file"] = string(lines)

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
		good, err := os.ReadFile(path)
		if err != nil {
			w.s.t.Fatal(err)
		}
		writeFile(w.s.t, path, string(good)+string(good))
		w.s.waitFor("the failure in the log", func() bool { return w.s.logged("cannot be used", path) })
		writeFile(w.s.t, path, string(good))
		w.s.waitFor("the recovery in the log", func() bool { return w.s.logged("can be used again", path) })
	}
}

// canaryUser is another entity user each time, so that each mint is the first.
func canaryUser(i int) string { return fmt.Sprintf("%s%06x", monitetest.DemoEntityUserID[:30], i) }
