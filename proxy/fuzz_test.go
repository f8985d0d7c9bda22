package proxy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/http/httpguts"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/socket"
	"github.com/monite-proxy/monite-proxy/proxy/target/targettest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// looksLike is the name for which a CGI-like upstream takes a field: the oracle
// of what the sanitiser lets pass, and none of its code.
func looksLike(name string) string {
	plain := []byte(strings.ToLower(name))
	for i, c := range plain {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			plain[i] = '-'
		}
	}
	return strings.TrimRight(string(plain), "-")
}

var (
	neverForwarded = []string{
		"connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "expect",
		"content-length", "host",
		"proxy-authorization", "proxy-authenticate", "cookie", "cookie2", "x-monite-entity-user-id", "x-monite-identity", "forwarded", "proxy",
		"remote-user", "x-real-ip", "x-rewrite-url",
		"x-http-method", "x-http-method-override", "x-method-override", "origin",
	}
	neverForwardedPrefixes = []string{"x-forwarded-", "x-original-", "x-monite-proxy-", "sec-fetch-", "access-control-request-"}
	exactlyOnce            = []string{"authorization", "x-monite-entity-id", "x-monite-version", "x-request-id"}
)

// fieldsOf makes a header of lines "name: value", as net/http would.
func fieldsOf(block string) http.Header {
	header := http.Header{}
	for line := range strings.Lines(block) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(value) {
			header.Add(name, strings.Trim(value, " \t"))
		}
	}
	return header
}

// Whatever fields come in: out go none that are ours or this connection's, in no
// spelling, and each of ours exactly once.
func FuzzHeaderSanitiser(f *testing.F) {
	for _, name := range slices.Concat(forwardedFields, keptFields) {
		f.Add(name + ": a\n")
		for _, twin := range twinsOf(name) {
			f.Add(twin + ": a\r\n" + name + ": b\r\n")
		}
	}
	for _, name := range []string{"Authorization-", "Authorization_", "Authorization.", "authorization~", "X~monite~version",
		"X-Monite-Entity-Id-", "Host_", "Trailer.", "Content_Length"} {
		f.Add(name + ": a\n")
	}
	f.Fuzz(func(t *testing.T, block string) {
		in := &http.Request{Method: "POST", RequestURI: "/v1/x", Header: fieldsOf(block)}
		given := len(in.Header)
		var sent *http.Request
		c := newTestCall(&tokenBook{}, tripFunc(func(out *http.Request) (*http.Response, error) {
			sent = out
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		}))
		c.in, c.identity.EntityID, c.record.RequestID = in, entityA, "ours"
		//nolint:bodyclose // it is NoBody
		if _, err := c.send(c.rewrite()); err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for name, values := range sent.Header {
			plain := looksLike(name)
			seen[plain] += len(values)
			if slices.Contains(neverForwarded, plain) ||
				slices.ContainsFunc(neverForwardedPrefixes, func(p string) bool { return strings.HasPrefix(plain, p) }) {
				t.Errorf("%q reaches upstream as %q", name, plain)
			}
		}
		for _, name := range exactlyOnce {
			if seen[name] != 1 && (name != "x-monite-version" || len(in.Header["X-Monite-Version"]) < 2) { // the guard refuses two
				t.Errorf("%s goes out %d times: %q", name, seen[name], sent.Header)
			}
		}
		if sent.Header.Get("Authorization") != "Bearer "+tokenText(partner, 1) || sent.Header.Get(identity.HeaderEntity) != entityA ||
			len(sent.Trailer) > 0 {
			t.Errorf("credentials %q", sent.Header)
		}
		if len(in.Header) != given {
			t.Error("the request that came in was changed")
		}
	})
}

// A query reaches upstream byte for byte, or not at all.
func FuzzQuery(f *testing.F) {
	for _, target := range fidelityTargets {
		if _, query, found := strings.Cut(target, "?"); found {
			f.Add(query)
		}
	}
	for _, query := range []string{"a b", "a#b", "a\r\nX: y", "\x00", "\xff", "a?b", "/../..", "\\", "%", "a=%0a"} {
		f.Add(query)
	}
	h := newScripted(f)
	f.Fuzz(func(t *testing.T, query string) {
		target := "/v1/payables?" + query
		conn := h.serve("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
		var got []string
		for _, out := range conn.upstream {
			got = append(got, out.target)
		}
		if strings.Trim(query, visible) == "" && !strings.Contains(query, "#") && len(target) <= maxTargetBytes {
			if !slices.Equal(got, []string{target}) {
				t.Errorf("%q reached upstream as %q; %.200q", target, got, conn.answers())
			}
		} else if strings.ContainsAny(query, "\r\n") {
			for _, seen := range got { // what comes before the line break may be a request of its own
				if !strings.HasPrefix(target, seen) {
					t.Errorf("%q reached upstream as %q", target, seen)
				}
			}
		} else if len(got) > 0 {
			t.Errorf("%q reached upstream as %q", target, got)
		}
	})
}

// visible are the bytes from ! to ~.
var visible = func() string {
	all := make([]byte, 0, 94)
	for c := byte('!'); c <= '~'; c++ {
		all = append(all, c)
	}
	return string(all)
}()

// However upstream spells a reference to itself, the app stays here; any other
// reference is left alone.
func FuzzLocation(f *testing.F) {
	for _, reference := range []string{
		"https://api.monite.com/v1/x", "http://api.monite.com/v1/x?a=%zz;b#c", "https://API.Monite.com:443/", "//api.monite.com/v1/x",
		"https://user:pw@api.monite.com/v1/x", "https://api.monite.com", "https://api.monite.com?a=b", "https://api.monite.com#x",
		"https://api.monite.com//evil.example/x", `https://api.monite.com/\evil.example`, "https://api.monite.com/\t/evil.example", "/v1/x",
		"x/y", "", "https://evil.example/v1/x", "https://api.monite.com@evil.example/", "https://api.monite.com.evil.example/",
		`https:\\api.monite.com\v1`, "///api.monite.com", "https:api.monite.com/x", "https://api.monite.com:8443/v1/x", "http://[::1",
		"https://api.monite.com/%2f/evil", "https://api.monite.com/.//evil.example",
	} {
		f.Add(reference)
	}
	h := &Handler{config: Config{Origin: &url.URL{Scheme: "https", Host: "api.monite.com"}}}
	here := &url.URL{Scheme: "http", Host: "localhost:8080", Path: "/v1/x"}
	f.Fuzz(func(t *testing.T, reference string) {
		got := h.ownLocation(reference)
		at, err := url.Parse(reference)
		if err != nil || at.Host == "" || !strings.EqualFold(at.Hostname(), "api.monite.com") {
			if got != reference {
				t.Errorf("%q became %q, and does not name upstream", reference, got)
			}
			return
		}
		// As a browser reads it: a backslash is a slash, tabs and line breaks are nothing.
		read := strings.NewReplacer(`\`, "/", "\t", "", "\r", "", "\n", "").Replace(got)
		if !strings.HasPrefix(read, "/") || strings.HasPrefix(read, "//") {
			t.Fatalf("%q became %q, which is another host", reference, got)
		}
		if to, err := here.Parse(read); err == nil && to.Host != here.Host {
			t.Errorf("%q became %q, which leads to %s", reference, got, to.Host)
		}
		if !strings.HasSuffix(reference, strings.TrimPrefix(got, "/")) {
			t.Errorf("%q became %q: bytes were changed", reference, got)
		}
	})
}

// No Connection option that is accepted can have anything removed, and no answer
// loses what describes it.
func FuzzConnectionOptions(f *testing.F) {
	for _, value := range []string{"", "close", "keep-alive", "te, close", "authorization", "close, authorization", ",,cookie", "te;q=1",
		`"close"`, "close x", "Content-Length, X-A", "\x0bclose", "close\x00", "\u212aeep-alive", "content-type,close"} {
		f.Add(value, "close")
		f.Add("", value)
	}
	harmless := []string{"close", "keep-alive", "te", ""}
	f.Fuzz(func(t *testing.T, first, second string) {
		values := []string{first, second}
		ok := connectionOptionsAllowed(values)
		want := true
		for _, value := range values {
			for _, option := range strings.Split(value, ",") {
				want = want && slices.Contains(harmless, asciiLower(strings.Trim(option, " \t")))
			}
		}
		if ok != want {
			t.Errorf("connectionOptionsAllowed(%q) = %v, want %v", values, ok, want)
		}
		for name := range connectionFields(values) {
			switch name {
			case "", "Close", "Content-Length", "Content-Type", "Content-Encoding":
				t.Errorf("an answer with Connection: %q loses %q", values, name)
			}
			if !strings.Contains(strings.ToLower(first+","+second), strings.ToLower(name)) {
				t.Errorf("an answer with Connection: %q loses %q", values, name)
			}
		}
	})
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// The guard as a whole: one request, as net/http parses it, against the rules
// in words of their own.
func FuzzGuard(f *testing.F) {
	for _, c := range refusalRows() {
		if len(c.request) < 2000 {
			f.Add([]byte(c.request))
		}
	}
	for _, c := range targettest.Hosts {
		f.Add([]byte("GET /v1/x HTTP/1.1\r\nHost: " + c.Host + "\r\n\r\n"))
	}
	for _, target := range targettest.AuthTargets() {
		f.Add([]byte("POST " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	}
	for _, c := range identityRows() {
		f.Add([]byte(c.request))
	}
	g := testGuard()
	g.hosts.Bound = netip.Addr{}
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil || len(in.RequestURI) > 300 {
			return
		}
		path, query, _ := strings.Cut(in.RequestURI, "?")
		if g.check(in, path) != nil {
			return
		}
		if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, in.Method) {
			t.Errorf("method %q passes", in.Method)
		}
		if !strings.HasPrefix(path, "/") || strings.Trim(path+query, visible) != "" || strings.Contains(in.RequestURI, "#") {
			t.Errorf("target %q passes", in.RequestURI)
		}
		if form := targettest.AuthForm(path); form != "" {
			t.Errorf("%q passes, and some upstream takes it for %q", path, form)
		}
		if u, err := url.Parse("http://" + in.Host); err != nil || u.User != nil || u.Path != "" {
			t.Errorf("Host %q passes", in.Host)
		} else if name := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."); name != "localhost" && !g.hosts.Names[name] {
			if addr, err := netip.ParseAddr(name); err != nil || !addr.IsLoopback() {
				t.Errorf("Host %q passes", in.Host)
			}
		}
		for name, values := range in.Header {
			switch looksLike(name) {
			case "sec-fetch-site", "sec-fetch-dest", "sec-fetch-user", "upgrade-insecure-requests", "origin", "access-control-request-method",
				"access-control-request-private-network":
				if name == http.CanonicalHeaderKey(looksLike(name)) { // browsers do not spell otherwise
					t.Errorf("%s: %q passes", name, values)
				}
			case "upgrade":
				if name == "Upgrade" && strings.ToLower(values[0]) == "websocket" {
					t.Errorf("Upgrade: %q passes", values)
				}
			case "connection":
				if !connectionOptionsAllowed(values) && name == "Connection" {
					t.Errorf("Connection %q passes", values)
				}
			}
		}
	})
}

// Any bytes on a connection: never more requests upstream than answers to the
// app, none after a refusal, and each with our credentials once.
func FuzzConnectionHead(f *testing.F) {
	for _, c := range framingCases(f) {
		if len(c.raw) < 2000 {
			f.Add([]byte(c.raw))
		}
	}
	h := newScripted(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		conn := h.serve(string(raw))
		method, _, _ := strings.Cut(string(raw), " ")
		br := bufio.NewReader(strings.NewReader(conn.answers()))
		answered, whole, refused := 0, 0, false
		for {
			// Only the first answer can be one to HEAD without our knowing: a body that
			// is announced and does not come ends the reading.
			status, _, _, _, err := readAnswer(br, method)
			if err != nil {
				break
			}
			if refused {
				t.Errorf("%d after a refusal: %.300q", status, conn.answers())
			}
			answered++
			refused = status != http.StatusOK
			if method = ""; answered < len(conn.upstream) {
				method = conn.upstream[answered].method
			}
		}
		for _, out := range conn.upstream {
			if out.whole {
				whole++
			}
			if out.authorization != 1 || out.entity != 1 || !strings.HasPrefix(out.target, "/") || strings.Trim(out.target, visible) != "" {
				t.Errorf("upstream got %+v", out)
			}
		}
		if len(conn.upstream) > answered || whole < len(conn.upstream)-1 {
			t.Errorf("%d requests upstream, %d of them whole, for %d answers: %q", len(conn.upstream), whole, answered, conn.answers())
		}
	})
}

// scripted is the real server and handler over connections in memory whose whole
// input is known: no sockets, no waiting, so that a fuzz target gets through.
type scripted struct {
	pipes *wiretest.Pipes
	open  atomic.Int64
}

// sentUp is one request as upstream saw it.
type sentUp struct {
	method, target        string
	authorization, entity int
	whole                 bool
}

func newScripted(t testing.TB) *scripted {
	s := &scripted{pipes: wiretest.NewPipes()}
	server := NewServer(New(Config{
		Origin: &url.URL{Scheme: "http", Host: "upstream.test"}, Tokens: &tokenBook{}, Upstream: tripFunc(s.answer), APIVersion: "2024-05-25",
		Policy:      policies["allow"],
		MaxInFlight: 1000, MaxBodyBytes: 1 << 20, ReplayBodyBytes: 1 << 10, Log: zerolog.Nop(),
	}), "", nil)
	inner := server.http.ConnContext
	server.http.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(inner(ctx, conn), scriptedKey{}, socket.Bare(conn))
	}
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.open.Add(1)
		case http.StateClosed:
			s.open.Add(-1)
		}
	}
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(s.pipes) })
	t.Cleanup(func() {
		wiretest.Eventually(t, "every connection has ended", func() bool { return s.open.Load() == 0 })
		_ = server.Close()
		done.Wait()
	})
	return s
}

type scriptedKey struct{}

// answer is upstream: it reads the body and says 200.
func (s *scripted) answer(out *http.Request) (*http.Response, error) {
	conn := out.Context().Value(scriptedKey{}).(*scriptedConn)
	target := out.URL.Opaque
	if out.URL.ForceQuery || out.URL.RawQuery != "" {
		target += "?" + out.URL.RawQuery
	}
	_, err := io.Copy(io.Discard, out.Body)
	conn.mu.Lock()
	conn.upstream = append(conn.upstream, sentUp{out.Method, target, len(out.Header["Authorization"]), len(out.Header[identity.HeaderEntity]),
		err == nil})
	conn.mu.Unlock()
	if err != nil {
		return nil, &upstream.Error{Op: upstream.OpBody, Outcome: upstream.Unknown, Err: err}
	}
	return &http.Response{StatusCode: http.StatusOK, ContentLength: 0, Header: http.Header{"Content-Length": {"0"}}, Body: http.NoBody}, nil
}

// serve plays raw, and returns when the server has ended the connection.
func (s *scripted) serve(raw string) *scriptedConn {
	conn := &scriptedConn{in: raw, done: make(chan struct{})}
	conn.woken.L = &conn.mu
	_ = s.pipes.Offer(conn)
	<-conn.done
	return conn
}

// scriptedConn is an app that has said all it will ever say.
type scriptedConn struct {
	mu       sync.Mutex // guards all below
	woken    sync.Cond
	in       string
	out      strings.Builder
	upstream []sentUp
	late     bool // the read deadline has passed
	closed   bool
	once     sync.Once
	done     chan struct{} // closed when nothing more will be written
}

// Read gives the end when there is no more, but to the one-byte read by which
// net/http watches for an app that leaves: the app is there and silent.
func (c *scriptedConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) == 1 && c.in == "" && !c.late && !c.closed {
		c.woken.Wait()
	}
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.late:
		return 0, os.ErrDeadlineExceeded
	case c.in == "":
		return 0, io.EOF
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *scriptedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return c.out.Write(p)
}

// CloseWrite is what net/http does half a second before Close.
func (c *scriptedConn) CloseWrite() error { c.once.Do(func() { close(c.done) }); return nil }

func (c *scriptedConn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.woken.Broadcast()
	return c.CloseWrite()
}

func (c *scriptedConn) answers() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// SetReadDeadline knows two: already past, and never.
func (c *scriptedConn) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	c.late = !at.IsZero() && at.Before(time.Now())
	c.mu.Unlock()
	c.woken.Broadcast()
	return nil
}

func (c *scriptedConn) SetDeadline(at time.Time) error { return c.SetReadDeadline(at) }
func (*scriptedConn) SetWriteDeadline(time.Time) error { return nil }
func (*scriptedConn) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "scripted"} }
func (*scriptedConn) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "app"} }
