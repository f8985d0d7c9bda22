package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

func TestMain(m *testing.M) {
	wiretest.ManyAtOnce(4)
	goleak.VerifyTestMain(m)
}

const (
	entityA = "11111111-aaaa-4aaa-8aaa-111111111111"
	entityB = "22222222-bbbb-4bbb-8bbb-222222222222"
	userA   = "33333333-cccc-4ccc-8ccc-333333333333"
	userB   = "44444444-dddd-4ddd-8ddd-444444444444"
)

type idSet map[string]bool

func (s idSet) Contains(id string) bool { return s[id] }

// tokenBook is a TokenSource that behaves: it mints on demand, and a rejected
// token is gone if it is the current one and not young.
type tokenBook struct {
	mu          sync.Mutex // guards all below
	current     map[tokencache.Grant]int
	asked       []tokencache.Grant
	minted      int
	invalidated int
	young       bool                 // Invalidate keeps the token
	fail        func(call int) error // for the call with that number, from 1
}

func (b *tokenBook) Token(ctx context.Context, grant tokencache.Grant) (secret.String, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, grant)
	if b.fail != nil {
		if err := b.fail(len(b.asked)); err != nil {
			return secret.String{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return secret.String{}, err
	}
	if b.current == nil {
		b.current = map[tokencache.Grant]int{}
	}
	if b.current[grant] == 0 {
		b.minted++
		b.current[grant] = b.minted
	}
	return secret.New(tokenText(grant, b.current[grant])), nil
}

func tokenText(grant tokencache.Grant, serial int) string {
	return fmt.Sprintf("tok-%s-%s-%d", grant.Type, grant.EntityUserID, serial)
}

func (b *tokenBook) Invalidate(grant tokencache.Grant, rejected secret.String) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.invalidated++
	if !b.young && secret.New(tokenText(grant, b.current[grant])).Equal(rejected) {
		b.current[grant] = 0
	}
}

// counts returns the calls of Token, the mints and the calls of Invalidate.
func (b *tokenBook) counts() (asked, minted, invalidated int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked), b.minted, b.invalidated
}

// rig is the real server, handler and transport around an upstream.
type rig struct {
	t         testing.TB
	handler   *Handler
	addr      string
	url       string
	tokens    *tokenBook
	transport *upstream.Transport
	log       *wiretest.Buffer // what the handler and the server log, at trace level
	records   chan Record
	client    *http.Client
	open      atomic.Int64 // the app's connections
}

// serverUnderTest is net/http's ("std") or the strict one.
func serverUnderTest(kind string, handler *Handler, errorLog *log.Logger, connState func(net.Conn, http.ConnState)) interface {
	Serve(net.Listener) error
	Close() error
} {
	if kind == "std" {
		server := NewServer(handler, "", errorLog)
		server.ConnState = connState
		return server
	}
	server := NewStrictServer(handler, "", errorLog)
	server.ConnState = connState
	return server
}

// newRig serves on a loopback listener until the test ends, of the kind that
// MONITE_LISTENER says: all tests of the wire hold with both.
func newRig(t testing.TB, origin *url.URL, changes ...func(*Config, *upstream.Transport)) *rig {
	t.Helper()
	return newRigOf(t, os.Getenv("MONITE_LISTENER"), origin, changes...)
}

func newRigOf(t testing.TB, kind string, origin *url.URL, changes ...func(*Config, *upstream.Transport)) *rig {
	t.Helper()
	listener := wiretest.Loopback(t)
	r := &rig{
		t: t, addr: listener.Addr().String(), url: "http://" + listener.Addr().String(),
		tokens: &tokenBook{}, log: &wiretest.Buffer{}, records: make(chan Record, 4096),
		transport: &upstream.Transport{Origin: origin},
	}
	config := Config{
		Origin: origin, Tokens: r.tokens, Upstream: r.transport, APIVersion: "2024-05-25",
		Policy: identity.Policy{Default: tokencache.Grant{Type: tokencache.ClientCredentials}, EntityID: entityA,
			Entities: idSet{entityA: true, entityB: true}, EntityUsers: idSet{userA: true}},
		MaxInFlight: 512, MaxBodyBytes: 32 << 20, ReplayBodyBytes: 64 << 10,
		Log:     zerolog.New(r.log).Level(zerolog.TraceLevel),
		Observe: func(record *Record) { r.records <- *record },
	}
	for _, change := range changes {
		change(&config, r.transport)
	}
	r.handler = New(config)
	server := serverUnderTest(kind, r.handler, log.New(r.log, "", 0), func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			r.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			r.open.Add(-1)
		}
	})
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256}
	r.client = &http.Client{Transport: transport, Timeout: wiretest.Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		done.Wait()
		r.transport.CloseIdleConnections()
	})
	return r
}

// record returns the Record of the next request that ended.
func (r *rig) record() Record {
	r.t.Helper()
	select {
	case record := <-r.records:
		return record
	case <-time.After(wiretest.Patience):
		r.t.Fatal("no request ended")
		return Record{}
	}
}

// do sends a request by a stock client and returns the answer with its body.
func (r *rig) do(method, target, body string, fields ...string) (*http.Response, string) {
	r.t.Helper()
	in, err := http.NewRequestWithContext(r.t.Context(), method, r.url+target, bytes.NewReader([]byte(body)))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		in.Header.Add(fields[i], fields[i+1])
	}
	response, err := r.client.Do(in)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatalf("%s %s: read the answer: %v", method, target, err)
	}
	return response, string(text)
}

// proxyGoroutines counts the goroutines that are at work in upstream or in a
// connection of the app, the servers' own accept loops aside.
func proxyGoroutines() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	n := 0
	for stack := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		if bytes.Contains(stack, []byte("proxy/upstream.")) || bytes.Contains(stack, []byte("net/http.(*conn).serve")) ||
			bytes.Contains(stack, []byte("proxy/strict.(*conn).serve")) {
			n++
		}
	}
	return n
}

const okEmpty = wiretest.OKEmpty

var get, head, post = wiretest.Get, wiretest.Head, wiretest.Post

func answer(status int, contentType, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", status, contentType, len(body), body)
}

// say sends request on a connection of its own, and returns the response.
func (r *rig) say(request string) (*http.Response, string, error) {
	r.t.Helper()
	a := r.dial()
	defer func() { _ = a.Close() }()
	a.Say(request)
	method, _, _ := strings.Cut(request, " ")
	return a.Response(method)
}

// gets is say where the response must have that status.
func (r *rig) gets(request string, status int) (*http.Response, string) {
	r.t.Helper()
	response, body, err := r.say(request)
	if err != nil || response.StatusCode != status {
		r.t.Fatalf("%.200q: %v %s, %v, want %d", request, response, body, err, status)
	}
	return response, body
}

func (r *rig) dial() *wiretest.App { return wiretest.Dial(r.t, "tcp", r.addr) }
