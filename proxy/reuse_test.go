package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// A field that is added to call is spoilt here too.
func TestNothingIsLeftInACallThatIsReused(t *testing.T) {
	c := new(call)
	wiretest.Spoil(c)
	c.in = &http.Request{Method: http.MethodGet}
	c.record = Record{Origin: OriginUpstream, RequestID: "!!"}
	c.free()
	if c.in != nil {
		t.Fatal("it is not reused")
	}
	if left := wiretest.Left(c); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, values := c.room.answer.Take(1); len(c.room.fields)+len(values[0]) > 0 {
		t.Errorf("left: %v, %v", c.room.fields, values)
	}
}

// seenCalls remembers, and so holds, the call of each request that is sent. No other
// call can then have its place in memory unless it is used again.
type seenCalls struct {
	http.RoundTripper
	mu   sync.Mutex // guards seen
	seen map[*call]int
}

func (s *seenCalls) RoundTrip(out *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.seen[out.Context().(*call)]++
	s.mu.Unlock()
	if out.URL.RawQuery == "panic" {
		panic("on purpose")
	}
	return s.RoundTripper.RoundTrip(out)
}

func TestOnlyPlainReadsAreReused(t *testing.T) {
	const times = 40
	refusal := answer(401, "application/json", `{"error":{"message":"Token expired"}}`)
	for name, c := range map[string]struct {
		request string
		status  int // 0: any
		trips   int // with the same call
		answers []string
		reused  bool
	}{
		"GET":                   {get("/v1/x"), 200, 1, []string{okEmpty}, true},
		"HEAD":                  {head("HEAD", "/v1/x") + "\r\n", 200, 1, []string{okEmpty}, true},
		"refused by upstream":   {get("/v1/x"), 404, 1, []string{answer(404, "application/json", "{}")}, true},
		"with a body":           {head("GET", "/v1/x", "Content-Length: 1") + "\r\nx", 200, 1, []string{okEmpty}, false},
		"a write":               {post("/v1/x", "{}"), 200, 1, []string{okEmpty}, false},
		"a write without body":  {post("/v1/x", ""), 200, 1, []string{okEmpty}, false},
		"a panic":               {get("/v1/x?panic"), 500, 1, []string{okEmpty}, false},
		"replayed":              {get("/v1/x"), 200, 2, []string{refusal, okEmpty}, false},
		"retried":               {get("/v1/x"), 0, 2, []string{okEmpty, ""}, false}, // not all: that has a limit
		"on a new connection":   {get("/v1/x"), 200, 1, []string{strings.Replace(okEmpty, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)}, false},
		"cut off by upstream":   {get("/v1/x"), 200, 1, []string{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"}, false},
		"of no use to upstream": {get("/v1/x"), 502, 2, []string{"nonsense\r\n\r\n"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			next := 0
			var mu sync.Mutex
			o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
				for {
					if _, _, err := p.Request(); err != nil {
						return
					}
					mu.Lock()
					say := c.answers[next%len(c.answers)]
					next++
					mu.Unlock()
					p.Say(say)
					if say == "" || strings.HasSuffix(say, "half") {
						p.Cut(false)
						return
					}
				}
			})
			calls := &seenCalls{seen: map[*call]int{}}
			r := newRig(t, o.URL, func(c *Config, tr *upstream.Transport) {
				calls.RoundTripper, c.Upstream, c.Log = tr, calls, zerolog.Nop()
			})
			method, _, _ := strings.Cut(c.request, " ")
			app := r.dial()
			for range times {
				app.Say(c.request)
				response, _, err := app.Response(method)
				if response == nil || response.StatusCode != c.status && c.status != 0 {
					t.Fatalf("%v, %v", response, err)
				}
				if err != nil || response.Close {
					_, _ = io.ReadAll(app.Reader)
					app = r.dial()
				}
			}
			calls.mu.Lock()
			defer calls.mu.Unlock()
			// With -race a pool drops some on purpose.
			reused := false
			for _, trips := range calls.seen {
				reused = reused || trips > c.trips
			}
			if reused != c.reused {
				t.Errorf("%d requests had %d calls: %v", times, len(calls.seen), calls.seen)
			}
		})
	}
}

// Apps with different identities, on calls that are used again, get what is theirs.
func TestReusedCallsCrossNoIdentity(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, _ string) string {
		h := in.Header
		said := strings.Join([]string{h.Get("Authorization"), h.Get(identity.HeaderEntity), h.Get("X-Mine"), in.RequestURI}, " ")
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Request-Id: up-%s\r\nContent-Length: %d\r\n\r\n%s", h.Get("X-Request-Id"), len(said), said)
	}))
	r := newRig(t, o.URL)
	var apps sync.WaitGroup
	for i := range 6 {
		app := r.dial()
		apps.Go(func() {
			fields, want := []string{identity.HeaderEntity + ": " + entityA}, "Bearer tok-client_credentials--%d "+entityA
			if i%2 == 1 {
				fields = []string{identity.HeaderEntity + ": " + entityB, identity.HeaderUser + ": " + userA}
				want = "Bearer tok-entity_user-" + userA + "-%d " + entityB
			}
			for j := range 60 {
				id, mine := fmt.Sprintf("id-%d-%d", i, j), ""
				if j%3 == 0 {
					mine = id
				}
				app.Say(get("/v1/"+id, append(fields, "X-Request-Id: "+id, "X-Mine: "+mine)...))
				response, body, err := app.Response("GET")
				if err != nil {
					t.Error(err)
					return
				}
				first, second := fmt.Sprintf(want+" %s /v1/%s", 1, mine, id), fmt.Sprintf(want+" %s /v1/%s", 2, mine, id)
				if h := response.Header; body != first && body != second || h.Get("X-Request-Id") != id || h.Get("X-Monite-Proxy-Upstream-Request-Id") != "up-"+id {
					t.Errorf("%s: %v, %s", id, h, body)
				}
			}
		})
	}
	apps.Wait()
}
