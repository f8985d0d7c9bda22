package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nastyIDs are what an app could send as a request id, and what it could not.
var nastyIDs = []string{
	`<script>alert(1)</script>`, `"><img/src=x/onerror=alert(1)>`, `'onmouseover='alert(1)`, `</table><script>`, `javascript:alert(1)`,
	`{{.Config}}`, "a\ndata:x\n\nevent:summary\ndata:y", "a\r\nb", `&lt;script&gt;`, "<!--", "]]>", "\u2028",
}

func TestPageEscapesWhatComesFromApps(t *testing.T) {
	h, _, _ := newTestHandler(func(c *Config) {
		named := &NamedStatus{}
		for _, id := range nastyIDs { // what comes from the operator is not trusted either
			named.All = append(named.All, NamedIdentity{Name: id, GrantType: id, UserHash: id, Entities: id, Ways: []string{id}, Access: id})
		}
		c.Named = func() *NamedStatus { return named }
		c.Credentials = func() CredentialsStatus {
			return CredentialsStatus{Summary: nastyIDs[0], Live: nastyIDs[1], New: nastyIDs[2], Reason: nastyIDs[3], Rotated: nastyIDs[1]}
		}
	})
	for _, id := range nastyIDs {
		h.config.History.ObserveRequest(&proxy.Record{Start: time.Now(), RequestID: id, Method: id, Route: id, Origin: id, ErrorType: id,
			Outcome: proxy.Outcome(id), Replay: id, Status: 200})
	}
	code, body := ask(h, "GET", "/", "localhost")
	if code != 200 {
		t.Fatalf("page = %d", code)
	}
	for _, forbidden := range []string{"<script>", "<img", "onmouseover='", "</table><script"} {
		if strings.Contains(body, forbidden) {
			t.Errorf("the page holds %q unescaped", forbidden)
		}
	}
	if got := strings.Count(body, "&lt;script&gt;alert(1)&lt;/script&gt;"); got < 5 {
		t.Errorf("the request id is shown %d times, escaped, want each of its fields", got)
	}
	events := string(h.page.changes(map[string]string{}))
	known := regexp.MustCompile(`^(event: (summary|writes|traffic|identities|named|mints|requests)|data: .*|: |)$`)
	for line := range strings.SplitSeq(strings.TrimRight(events, "\n"), "\n") {
		if !known.MatchString(line) || strings.Contains(line, "\r") {
			t.Errorf("odd line in the event stream: %q", line)
		}
	}
	if got := strings.Count(events, "event: "); got != len(sections) {
		t.Errorf("events = %d, want %d: an id made one of its own", got, len(sections))
	}
}

func TestPageShowsEveryPartWithoutScript(t *testing.T) {
	h, _, health := newTestHandler(func(c *Config) {
		c.Settings = []config.Setting{setting("MONITE_CLIENT_SECRET", "[redacted]", "file /run/secret"), setting("MONITE_LISTEN_ADDR", "127.0.0.1:8080", "default")}
	})
	h.config.History.ObserveRequest(&proxy.Record{Start: time.Now(), Duration: time.Millisecond, RequestID: "id-1", Method: "POST",
		Route:  "/v1/payables/{payable_id}/cancel",
		Status: 502, Origin: "proxy", ErrorType: "proxy_upstream_broken", Outcome: proxy.Unknown, GrantType: "client_credentials",
		TokenWait: 3 * time.Millisecond,
		Sent:      true, UpstreamTime: 45 * time.Millisecond, Replay: "401", Retried: true})
	h.config.History.ObserveMint(tokencache.Mint{Grant: tokencache.Grant{Type: tokencache.ClientCredentials}, Duration: 123 * time.Millisecond,
		ExpiresIn: 30 * time.Minute})
	health.Draining.Store(true)
	_, body := ask(h, "GET", "/", "localhost")
	for _, want := range []string{
		"Sandbox", "https://api.sandbox.monite.com", "v1", "Not ready", "the process was asked to stop",
		"partner", "default", "fresh", "stale", `class="past"`, "123 ms", "throttled (status 429)", "Next try in 2.00 s",
		"/v1/payables/{payable_id}/cancel", "502", "proxy_upstream_broken", "unknown", "replayed: 401", "retried", "id-1", "45.0 ms", "3.00 ms",
		"[redacted]", "file /run/secret", "MONITE_LISTEN_ADDR", "<noscript>", `<form method="post" action="/tokens/refresh">`,
		"requests per second", "100 %",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(body, userID) {
		t.Error("the page holds the id of an entity user")
	}
}

// What is inline would need an exception from the policy: there is none.
func TestPageHasNothingInlineAndNothingFromElsewhere(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	in := httptest.NewRequest("GET", "http://localhost/", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("Content-Security-Policy = %q", policy)
	}
	body := w.Body.String()
	for _, pattern := range []string{`<script[^>]*>[^<]`, `<style`, ` style=`, ` on[a-z]+=`, `(src|href|action)="(https?:)?//`} {
		if found := regexp.MustCompile(pattern).FindString(body); found != "" {
			t.Errorf("the page holds %q", found)
		}
	}
	for _, found := range regexp.MustCompile(`(?:src|href)="(/[^"?]*)`).FindAllStringSubmatch(body, -1) {
		if code, _ := ask(h, "GET", found[1], "localhost"); code != 200 {
			t.Errorf("the page refers to %s, which is answered %d", found[1], code)
		}
	}
}

func TestWithoutStatusPageThereIsNone(t *testing.T) {
	h, _, _ := newTestHandler(func(c *Config) { c.StatusPage = false })
	for _, path := range []string{"/", "/events", "/page.css", "/page.js", "/page.svg", "/page.html"} {
		if code, _ := ask(h, "GET", path, "localhost"); code != 404 {
			t.Errorf("GET %s = %d, want 404", path, code)
		}
	}
	if code, _ := ask(h, "GET", "/status", "localhost"); code != 200 {
		t.Errorf("/status = %d", code)
	}
}

func TestPageIsOnlyForItsOwnOrigin(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	for _, path := range []string{"/", "/events"} {
		for _, pairs := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"},
			{"Origin", "null"}} {
			if code, _ := ask(h, "GET", path, "localhost", pairs...); code != 403 {
				t.Errorf("GET %s with %v = %d, want 403", path, pairs, code)
			}
		}
		if code, _ := ask(h, "GET", path, "evil.example"); code != 421 {
			t.Errorf("GET %s by a foreign name = %d, want 421", path, code)
		}
	}
}

func TestPageShowsTheIdentitiesThatMatterOfMany(t *testing.T) {
	h, tokens, _ := newTestHandler(nil)
	for i := range 998 {
		tokens.all = append(tokens.all,
			tokencache.Status{Grant: tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: fmt.Sprint("user", i)}, State: "fresh",
				Idle: time.Duration(998-i) * time.Minute})
	}
	_, body := ask(h, "GET", "/", "localhost")
	if got := strings.Count(body, "<article"); got != shownIdentities {
		t.Errorf("cards = %d, want %d", got, shownIdentities)
	}
	for id, want := range map[string]bool{userID: true, "user997": true, "user0": false} { // in trouble, just used, idle
		if strings.Contains(body, ids.Hash(id)) != want {
			t.Errorf("%s is shown: %t", id, !want)
		}
	}
	if !strings.Contains(body, "60 of 1000:") || !strings.Contains(body, `class="tag">default`) {
		t.Error("the page does not say how many there are, or lacks the default")
	}
	if s := h.current(); len(s.Identities) != 1000 || s.IdentitiesTotal != 1000 || s.IdentitiesTruncated ||
		!strings.Contains(body, "All of them as JSON") {
		t.Errorf("the JSON has %d of %d, truncated: %t", len(s.Identities), s.IdentitiesTotal, s.IdentitiesTruncated)
	}
	tokens.all = append(tokens.all, tokencache.Status{Grant: tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: "one more"}})
	if _, body = ask(h, "GET", "/", "localhost"); !strings.Contains(body, "60 of 1001:") || !strings.Contains(body, ">1000 of them as JSON<") {
		t.Error("the page does not say that the JSON has not all of them")
	}
}

func TestRefreshButtonOfThePageLeadsBackToIt(t *testing.T) {
	h, tokens, _ := newTestHandler(nil)
	in := httptest.NewRequest("POST", "http://localhost/tokens/refresh", nil)
	for name, value := range map[string]string{"Accept": "text/html,application/xhtml+xml", "Origin": "http://localhost",
		"Sec-Fetch-Site": "same-origin"} {
		in.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" || tokens.refreshed != 1 {
		t.Errorf("refresh = %d to %q, refreshes %d", w.Code, w.Header().Get("Location"), tokens.refreshed)
	}
}

// stream opens /events and returns its lines until it ends.
func stream(t *testing.T, ctx context.Context, url string) (*http.Response, <-chan string) {
	t.Helper()
	in, _ := http.NewRequestWithContext(ctx, "GET", url+"/events", nil)
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(in)
	wiretest.Must(t, err)
	lines := make(chan string, 10000)
	go func() {
		defer close(lines)
		defer response.Body.Close()
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return response, lines
}

// serveAdmin serves as the sidecar does.
func serveAdmin(t *testing.T, h *Handler) (*http.Server, string) {
	t.Helper()
	listener := wiretest.Loopback(t)
	server := &http.Server{Handler: h, ReadTimeout: 200 * time.Millisecond, WriteTimeout: 300 * time.Millisecond}
	server.RegisterOnShutdown(h.Close)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return server, "http://" + listener.Addr().String()
}

func await(t *testing.T, lines <-chan string, want string) {
	t.Helper()
	for limit := time.After(10 * time.Second); ; {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the stream ended before %q", want)
			}
			if strings.Contains(line, want) {
				return
			}
		case <-limit:
			t.Fatalf("no %q", want)
		}
	}
}

func TestEventsSendWhatChangesAndOutliveTheServersTimeouts(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	h.page.every = 10 * time.Millisecond
	_, url := serveAdmin(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	response, lines := stream(t, ctx, url)
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type = %q", got)
	}
	await(t, lines, "event: mints")
	await(t, lines, "event: requests")
	<-time.After(time.Second) // longer than both timeouts of the server
	h.config.History.ObserveRequest(ended(200, time.Millisecond, "later"))
	for {
		line, ok := <-lines
		if !ok {
			t.Fatal("the stream ended")
		}
		if line == "event: mints" {
			t.Error("mints were sent again although there were none")
		}
		if strings.Contains(line, "later") {
			break
		}
	}
}

// Streams that nobody reads must not lock the page for the operator.
func TestOldestEventStreamMakesRoom(t *testing.T) {
	h, _, _ := newTestHandler(nil)
	h.page.every = 10 * time.Millisecond
	_, url := serveAdmin(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	viewers := func() int {
		h.page.mu.Lock()
		defer h.page.mu.Unlock()
		return len(h.page.viewers)
	}
	_, oldest := stream(t, ctx, url)
	await(t, oldest, "event: requests")
	for range maxViewers {
		_, lines := stream(t, ctx, url)
		await(t, lines, "event: requests")
	}
	for range oldest { // ends
		continue
	}
	if got := viewers(); got != maxViewers {
		t.Errorf("%d streams are open, want %d", got, maxViewers)
	}
	cancel()
	for begin := time.Now(); viewers() != 0; <-time.After(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("viewers = %d after all have gone", viewers())
		}
	}
	_, lines := stream(t, t.Context(), url)
	await(t, lines, "event: requests")
	h.Close()
	for range lines {
		continue
	}
}

// stuck is a connection to a reader that does not read: writes end by their
// deadline alone.
type stuck struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (s *stuck) SetReadDeadline(time.Time) error     { return nil }
func (s *stuck) SetWriteDeadline(at time.Time) error { s.deadline = at; return nil }
func (s *stuck) Write([]byte) (int, error) {
	time.Sleep(time.Until(s.deadline))
	return 0, io.ErrShortWrite
}

func TestEventsOfAReaderThatDoesNotReadEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, _ := newTestHandler(nil)
		w := &stuck{ResponseRecorder: httptest.NewRecorder()}
		begin := time.Now()
		h.page.events(w, httptest.NewRequest("GET", "http://localhost/events", nil))
		if took := time.Since(begin); took != viewerTimeout || len(h.page.viewers) != 0 {
			t.Errorf("the stream lasted %v, viewers %d", took, len(h.page.viewers))
		}
	})
}

func TestTimesAreWrittenForPeople(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0 s", 0.0004: "0.40 ms", 0.0041: "4.10 ms", 0.34: "340 ms", 2.34: "2.34 s",
		42.9: "42.9 s", 245: "4 m 5 s", 11400: "3 h 10 m", 187200: "2 d 4 h", -3: "-3.00 s"} {
		if got := shortTime(seconds); got != want {
			t.Errorf("shortTime(%v) = %q, want %q", seconds, got, want)
		}
	}
}

func setting(name, value, source string) config.Setting {
	return config.Setting{Name: name, Value: value, Source: source}
}
