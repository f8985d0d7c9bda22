package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// An app whose base URL lacks /v1 gets a hint, and nothing is minted or sent.
func TestOnlyPathsUnderV1AreForwarded(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	r := newRig(t, o.URL, withPeople)
	for _, path := range []string{"/", "/payables", "/v1", "/v10/payables", "/v2/payables", "/V1/payables", "/metrics", "/v1payables",
		"/as/billing/payables", "/shop/v1", "/%761/payables"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			response, text := r.do(method, path, "")
			checkOurs(t, response, text, &problemNotForwarded, NotSent, "")
			if !strings.Contains(text, "/v1") {
				t.Errorf("%s %s: no hint in %s", method, path, text)
			}
		}
	}
	if asked, _, _ := r.tokens.counts(); asked != 0 || o.Accepted.Load() != 0 {
		t.Errorf("%d tokens asked for, %d connections", asked, o.Accepted.Load())
	}
	for _, path := range []string{"/v1/", "/v1/payables", "/v1/nothing/published", "/as/billing/v1/payables", "/shop/v1/"} {
		if response, text := r.do("GET", path, ""); response.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, response.StatusCode, text)
		}
	}
}

// A hundred apps that trickle their bodies hold none of the two places: nothing of
// theirs has left yet.
func TestSlowBodiesHoldNoPlace(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) { c.MaxInFlight = 50 })
	for i := range 100 {
		a := r.dial()
		if i%2 == 0 {
			a.Say(head("POST", "/v1/x", "Content-Length: 50") + "\r\nx")
		} else {
			a.Say(head("POST", "/v1/x", "Transfer-Encoding: chunked") + "\r\n1\r\nx\r\n")
		}
	}
	wiretest.Eventually(t, "all are being read", func() bool { return r.handler.InFlight() == 100 })
	if response, body := r.do("POST", "/v1/x", "{}"); response.StatusCode != http.StatusOK {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

func TestOneOfSeveralListenersNeverHasAllPlaces(t *testing.T) {
	p := places{most: 8}
	for range 6 {
		if !p.take("billing", false) {
			t.Fatal("less than three quarters")
		}
	}
	if p.take("billing", false) {
		t.Error("more than three quarters")
	}
	if !p.take("", false) || !p.take("shop", false) || p.take("", false) {
		t.Error("the rest is not for the others")
	}
	p.leave("billing", false)
	if !p.take("", false) {
		t.Error("a place that was given back is not there")
	}
	for range 5 {
		p.leave("billing", false)
	}
	p.leave("", false)
	p.leave("", false)
	p.leave("shop", false)
	if p.taken.Load() != 0 || len(p.byListener) != 0 {
		t.Errorf("%d places, %v are still taken", p.taken.Load(), p.byListener)
	}
	alone := places{most: 2}
	first, second, third := alone.take("", true), alone.take("", true), alone.take("", true)
	if !first || !second || third {
		t.Error("the only listener does not have all")
	}
}

// Apps of one listener that trickle more bodies than there is room for do not
// keep those of the others out.
func TestSlowBodiesOfOneListenerShutNoOtherOut(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) {
		c.MaxInFlight, c.Policy.Named = 8, []identity.Named{{Name: "shop", Listener: "shop", Grant: c.Policy.Default}}
	})
	shop := httptest.NewUnstartedServer(nil)
	server := NewStrictServer(r.handler, "shop", nil)
	go func() { _ = server.Serve(shop.Listener) }()
	t.Cleanup(func() { _ = server.Close() })
	const most = 3 * waitingPerPlace * 8 / 4
	for i := range most + 20 {
		a := r.dial()
		if i == most {
			wiretest.Eventually(t, "all but the last are being read", func() bool { return r.handler.InFlight() == most })
		}
		a.Say(head("POST", "/v1/x", "Content-Length: 50") + "\r\nx")
		if i >= most {
			a.WantStatus("POST", http.StatusServiceUnavailable)
		}
	}
	if got := r.handler.InFlight(); got != most {
		t.Errorf("%d requests of one listener are being read, want %d", got, most)
	}
	response, err := http.Post("http://"+shop.Listener.Addr().String()+"/v1/x", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the other listener: %d, want 200", response.StatusCode)
	}
}

func TestAuditLinesOfTheRefusedAreLimited(t *testing.T) {
	var l auditLimit
	now := time.Now().Truncate(time.Second)
	lines, leftOut := 0, 0
	for i := range 30_000 { // ten thousand a second
		ok, left := l.allow(now.Add(time.Duration(i) * 100 * time.Microsecond))
		if ok {
			lines++
		}
		leftOut += left
	}
	if lines != 3*maxRefusedLines || leftOut != 2*(10_000-maxRefusedLines) {
		t.Errorf("%d lines, %d were said to be left out", lines, leftOut)
	}
}

func TestGarbageHasNoAuditLine(t *testing.T) {
	for _, kind := range []string{"std", "strict"} {
		audit := &wiretest.Buffer{}
		r := newRigOf(t, kind, wiretest.Listen(t, nil, wiretest.Answering(okEmpty)).URL,
			func(c *Config, _ *upstream.Transport) { c.Audit = c.Log.Output(audit) })
		for range 50 {
			_, _, _ = r.say("\x16\x03\x01\x02\x00\x01\r\n\r\n")
		}
		if text := audit.String(); text != "" {
			t.Errorf("%s: %s", kind, text)
		}
		for range 100 {
			r.do("POST", "/v1/x", "", "Origin", "http://evil.example")
		}
		if n := strings.Count(audit.String(), `"message":"audit"`); n == 0 || n > 8*maxRefusedLines {
			t.Errorf("%s: %d lines for 100 refused requests", kind, n)
		}
		r.do("POST", "/v1/x", "")
		if text := audit.String(); !strings.Contains(text, `"outcome":"answered"`) {
			t.Errorf("%s: a write has no line", kind)
		}
	}
}
