package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// Every app gets its own answer: by target, by body, over shared connections to
// upstream of which some break.
func TestAnswersAreNeverCrossed(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for n := 0; ; n++ {
			in, body, err := p.Request()
			if err != nil {
				return
			}
			if strings.HasSuffix(in.RequestURI, "/odd") {
				p.Say("HTTP/1.1 200 X\r\nContent-Length: 3\r\n\r\nodd" + answer(200, "a/b", "stray"))
				continue
			}
			p.Say(answer(200, "a/b", in.RequestURI+" "+body))
			if n%7 == 6 {
				return
			}
		}
	})
	r := newRig(t, o.URL)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 40 {
				target, body := fmt.Sprintf("/v1/%d/%d", i, j), fmt.Sprint("body", i, "-", j)
				want := target + " " + body
				if j%10 == 9 {
					target, want = target+"/odd", "odd"
				}
				in, _ := http.NewRequest("PUT", r.url+target, strings.NewReader(body))
				response, err := r.client.Do(in)
				if err != nil {
					t.Errorf("%s: %v", target, err)
					return
				}
				text, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if response.StatusCode == http.StatusBadGateway {
					continue // upstream closed as this one was written: unknown, and said so
				}
				if string(text) != want || err != nil {
					t.Errorf("answer = %q, %v, want %q", text, err, want)
				}
			}
		})
	}
	all.Wait()
}

// What net/http answers by itself, and what it leaves to the guard.
func TestOddHeadsNeverReachUpstream(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) { p.UntilCut() })
	r := newRig(t, o.URL)
	for request, status := range map[string]int{
		"GET /v1/x HTTP/1.0\r\n\r\n": 421, "GET /v1/x HTTP/1.1\r\n\r\n": 400, "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n": 400, "GET http://evil.example/v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n": 400, "GET http://localhost/v1/x HTTP/1.1\r\nHost: evil.example\r\n\r\n": 400,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": 405, "GET /v1/x HTTP/2.0\r\nHost: localhost\r\n\r\n": 505, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n": 405, "GET /v1/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n": 400, "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX\u00a0Y: z\r\n\r\n": 400,
		"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Monite-Entity-Id : " + entityA + "\r\n\r\n": 400, "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n": 501, "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx": 400,
		"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 200<<10) + "\r\n\r\n": 431, "POST /v1/x HTTP/1.1\r\nHost: localhost\r\nExpect: 200-maybe\r\nContent-Length: 0\r\n\r\n": 417,
	} {
		a := r.dial()
		_, _ = io.WriteString(a.Conn, request)
		if response, _, err := a.Response("GET"); err != nil || response.StatusCode != status {
			t.Errorf("%.100q: %v, %v, want %d", request, response, err, status)
		}
		_ = a.Close()
	}
	if asked, _, _ := r.tokens.counts(); asked != 0 || o.Accepted.Load() != 0 {
		t.Errorf("%d tokens asked for, %d connections", asked, o.Accepted.Load())
	}
}
