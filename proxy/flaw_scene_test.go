package proxy

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// The flaw_*_test.go files hold one test per published flaw of software like
// this: its name ends in the number under which the flaw was published, its
// comment says what went wrong there. Each is seen to fail on a build that is
// broken on purpose (internal/mutants, make mutants).

// witness is an upstream that answers 200 and keeps what it saw.
type witness struct {
	*wiretest.Origin
	mu   sync.Mutex // guards seen
	seen []sighting
}

// sighting is one request as upstream saw it.
type sighting struct {
	*http.Request
	body string
}

func newWitness(t testing.TB) *witness {
	w := &witness{}
	w.Origin = wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, body string) string {
		w.mu.Lock()
		w.seen = append(w.seen, sighting{in, body})
		w.mu.Unlock()
		return answer(200, "text/plain", "seen")
	}))
	return w
}

func (w *witness) all() []sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// scene is a rig with a witness behind it.
type scene struct {
	*rig
	*witness
}

func newScene(t testing.TB, changes ...func(*Config, *upstream.Transport)) *scene {
	w := newWitness(t)
	return &scene{newRig(t, w.URL, changes...), w}
}

// refused sends each request on a connection of its own. Refused is: an answer
// with that error type, no token asked for, no connection to upstream.
func (s *scene) refused(kind string, requests ...string) {
	s.t.Helper()
	for _, request := range requests {
		_, body, err := s.say(request)
		if err != nil || !strings.Contains(body, `"type":"`+kind+`"`) {
			s.t.Errorf("%.200q: answer %s, %v; want %s", request, body, err, kind)
		}
	}
	s.untouched()
}

// refusesHosts sends a request with each Host.
func (s *scene) refusesHosts(hosts ...string) {
	s.t.Helper()
	for _, host := range hosts {
		s.refused("proxy_host_not_allowed", "GET /v1/x HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
	}
}

// untouched: nothing was minted, and nothing sent.
func (s *scene) untouched() {
	s.t.Helper()
	if asked, minted, _ := s.tokens.counts(); asked+minted != 0 {
		s.t.Errorf("%d tokens were asked for, %d minted", asked, minted)
	}
	if n := s.Accepted.Load(); n != 0 {
		s.t.Errorf("%d connections to upstream", n)
	}
}

// passes sends a request that must get upstream's 200, and returns what
// upstream saw of it.
func (s *scene) passes(request string) sighting {
	s.t.Helper()
	if _, body := s.gets(request, 200); body != "seen" {
		s.t.Fatalf("%.200q: body %q is not upstream's", request, body)
	}
	all := s.all()
	last := all[len(all)-1]
	// Whatever the app says: one token, and one entity header.
	if got := last.Header["Authorization"]; len(got) != 1 || !strings.HasPrefix(got[0], "Bearer tok-") {
		s.t.Errorf("%.200q: Authorization = %q", request, got)
	}
	if got := last.Header[identity.HeaderEntity]; len(got) != 1 {
		s.t.Errorf("%.200q: %s = %q", request, identity.HeaderEntity, got)
	}
	return last
}

// lacks checks that upstream saw none of these fields, in any spelling, and no
// field that holds the word canary.
func (s *scene) lacks(seen sighting, names ...string) {
	s.t.Helper()
	for field, values := range seen.Header {
		plain := strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(field))
		for _, name := range names {
			if plain == strings.ToLower(name) {
				s.t.Errorf("upstream saw %s: %q", field, values)
			}
		}
		if strings.Contains(strings.Join(values, " "), "canary") {
			s.t.Errorf("upstream saw %s: %q", field, values)
		}
	}
}
