package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// ending is what upstream sees of a request: its body so far and how it ended.
type ending struct {
	body string
	err  error
}

func recording(t *testing.T) (*wiretest.Origin, chan ending) {
	seen := make(chan ending, 10)
	return wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for {
			_, body, err := p.Request()
			if errors.Is(err, io.EOF) && body == "" {
				return // no request
			}
			seen <- ending{body, err}
			if err != nil {
				return
			}
			p.Say(okEmpty)
		}
	}), seen
}

// A body that breaks is the app's fault, and never becomes a complete request.
func TestBrokenBodyOfTheAppIs400AndUpstreamSeesItIncomplete(t *testing.T) {
	big := strings.Repeat("x", 70_000)
	for _, c := range []struct {
		name, head, body string
		streamed         bool
	}{
		{"short, kept", "Content-Length: 10", "abc", false}, {"nothing, kept", "Content-Length: 10", "", false},
		{"short, streamed", "Content-Length: 100000", big, true}, {"nothing, streamed", "Content-Length: 100000", "", true},
		{"chunks end early", "Transfer-Encoding: chunked", "3\r\nabc\r\n", false}, {"no chunk", "Transfer-Encoding: chunked", "", false},
		{"chunk cut", "Transfer-Encoding: chunked", "5\r\nabc", false},
		{"size that is none", "Transfer-Encoding: chunked", "3\r\nabc\r\nzz\r\n", false},
		{"negative size", "Transfer-Encoding: chunked", "-1\r\n", false},
		{"huge size", "Transfer-Encoding: chunked", "fffffffffffffffff\r\nx", false},
		{"no CRLF after a chunk", "Transfer-Encoding: chunked", "3\r\nabcX\r\n0\r\n\r\n", false},
		{"last chunk cut", "Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n", false},
		{"broken trailer", "Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\nno colon\r\n\r\n", false},
		{"first chunk malformed", "Transfer-Encoding: chunked", "xyz\r\n", false},
		{"chunks end early, streamed", "Transfer-Encoding: chunked", "11170\r\n" + big + "\r\n", true},
		{"chunk cut, streamed", "Transfer-Encoding: chunked", "22222\r\n" + big, true},
		{"no last chunk, streamed", "Transfer-Encoding: chunked", "11170\r\n" + big + "\r\nzz\r\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, seen := recording(t)
			r := newRig(t, o.URL)
			a := r.dial()
			a.Say(head("POST", "/v1/x", c.head) + "\r\n" + c.body)
			_ = a.Conn.(*net.TCPConn).CloseWrite()
			response, body, err := a.Response("POST")
			if err != nil {
				t.Fatal(err)
			}
			outcome := NotSent
			if c.streamed {
				outcome = Unknown
				if end := <-seen; end.err == nil {
					t.Errorf("upstream saw a complete request with %d bytes", len(end.body))
				}
			}
			checkOurs(t, response, body, &problemBodyRead, outcome, "")
			if !response.Close {
				t.Error("the connection goes on")
			}
			if o.Complete.Load() != 0 || !c.streamed && o.Accepted.Load() != 0 {
				t.Errorf("%d connections, %d complete requests", o.Accepted.Load(), o.Complete.Load())
			}
			if record := r.record(); record.Retried || record.Replay != "" {
				t.Errorf("record = %+v", record)
			}
		})
	}
}

func TestTooLargeBodyIs413(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, framing, body string
		status              int
		outcome             Outcome
	}{
		{"declared", "Content-Length: 101", "", 413, NotSent}, {"declared, just fits", "Content-Length: 100", strings.Repeat("x", 100), 200, ""},
		{"chunked", "Transfer-Encoding: chunked", "65\r\n" + strings.Repeat("x", 101) + "\r\n0\r\n\r\n", 413, Unknown},
		{"chunked, just fits", "Transfer-Encoding: chunked", "64\r\n" + strings.Repeat("x", 100) + "\r\n0\r\n\r\n", 200, ""},
		{"chunked, in pieces", "Transfer-Encoding: chunked", strings.Repeat("32\r\n"+strings.Repeat("x", 50)+"\r\n", 100), 413, Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, seen := recording(t)
			r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) { c.MaxBodyBytes, c.ReplayBodyBytes = 100, 10 })
			a := r.dial()
			a.Say(head("POST", "/v1/x", c.framing) + "\r\n" + c.body)
			response, body := a.WantStatus("POST", c.status)
			if c.status == 200 {
				return
			}
			checkOurs(t, response, body, &problemBodyTooLarge, c.outcome, "")
			if o.Complete.Load() != 0 {
				t.Error("upstream saw a complete request")
			}
			if c.outcome == Unknown {
				if end := <-seen; end.err == nil || len(end.body) > 100 {
					t.Errorf("upstream saw %d bytes, %v", len(end.body), end.err)
				}
			}
			a.Closed()
		})
	}
}

func TestNoBodyAtAllWhereTheLimitIsZero(t *testing.T) {
	o, _ := recording(t)
	r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) { c.MaxBodyBytes = 0 })
	for body, status := range map[string]int{"": 200, "x": 413} {
		if response, _ := r.do("POST", "/v1/x", body); response.StatusCode != status {
			t.Errorf("body %q: %d, want %d", body, response.StatusCode, status)
		}
	}
}

// The answer must reach an app that is still sending, and leave nothing behind.
func TestEarlyAnswerReachesAnAppInTheMiddleOfALargeUpload(t *testing.T) {
	for _, status := range []int{401, 413} {
		for _, framing := range []string{"length", "chunked"} {
			for _, app := range []string{"writes on", "reads first"} {
				if status == 413 && (framing == "length" || app == "reads first") {
					continue // ends half a second later, like the 401
				}
				t.Run(fmt.Sprint(status, " ", framing, " ", app), func(t *testing.T) {
					o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
						if _, err := p.Head(); err == nil {
							_, _ = io.CopyN(io.Discard, p.Reader, 1000)
							p.Say(answer(status, "a/b", "early"))
							p.UntilCut()
						}
					})
					r := newRig(t, o.URL)
					goroutines := proxyGoroutines()
					a := r.dial()
					first := head("POST", "/v1/x", "Content-Length: 30000000")
					if framing == "chunked" {
						first = head("POST", "/v1/x", "Transfer-Encoding: chunked")
					}
					a.Say(first + "\r\n")
					piece := strings.Repeat("x", 64<<10)
					if framing == "chunked" {
						piece = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
					}
					written := make(chan struct{})
					go func() {
						defer close(written)
						for range 400 {
							if _, err := io.WriteString(a.Conn, piece); err != nil {
								return
							}
						}
					}()
					if app == "writes on" {
						<-written
					}
					response, body, err := a.Response("POST")
					if err != nil || response.StatusCode != status || body != "early" || !response.Close {
						t.Fatalf("answer = %v %q, %v", response, body, err)
					}
					<-written
					_ = a.Close()
					wiretest.Eventually(t, "the app's connection is closed", func() bool { return r.open.Load() == 0 })
					wiretest.Eventually(t, "upstream's connection is closed", func() bool { return o.Open.Load() == 0 })
					wiretest.Eventually(t, "no goroutine is left", func() bool { return proxyGoroutines() <= goroutines })
					if asked, _, invalidated := r.tokens.counts(); asked != 1 || status == http.StatusUnauthorized && invalidated != 1 {
						t.Errorf("%d tokens asked for, %d invalidated", asked, invalidated)
					}
				})
			}
		}
	}
}

// An app that goes away takes its request upstream with it.
func TestAppThatGoesAwayCancelsUpstream(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before the answer", "in the middle of the answer", "in the middle of its body"} {
		for _, how := range []string{"FIN", "RST"} {
			t.Run(when+" "+how, func(t *testing.T) {
				arrived, gone := make(chan struct{}), make(chan struct{})
				o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
					if _, err := p.Head(); err != nil {
						return
					}
					if when == "in the middle of the answer" {
						p.Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
					}
					close(arrived)
					p.UntilCut()
					close(gone)
				})
				r := newRig(t, o.URL, streaming)
				a := r.dial()
				if when == "in the middle of its body" {
					a.Say(head("POST", "/v1/x", "Transfer-Encoding: chunked") + "\r\n3\r\nabc\r\n")
				} else {
					a.Say(post("/v1/x", "{}"))
				}
				<-arrived
				if when == "in the middle of the answer" {
					if _, err := http.ReadResponse(a.Reader, nil); err != nil {
						t.Fatal(err)
					}
				}
				if how == "RST" {
					_ = a.Conn.(*net.TCPConn).SetLinger(0)
				}
				_ = a.Close()
				<-gone
				record := r.record()
				switch when {
				case "before the answer":
					if record.Status != statusClientGone || record.Outcome != Unknown {
						t.Errorf("record = %+v", record)
					}
				case "in the middle of the answer":
					if record.Status != 200 || !record.Aborted {
						t.Errorf("record = %+v", record)
					}
				}
				wiretest.Eventually(t, "nothing is open", func() bool { return r.open.Load() == 0 && o.Open.Load() == 0 })
			})
		}
	}
}

// A reset on the heels of the answer would take it away from a client that is
// still writing.
func TestEarlyAnswerReachesAStockClient(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Early(answer(401, "a/b", "early")))
	r := newRig(t, o.URL)
	for _, length := range []int64{-1, 30 << 20} {
		for range 3 {
			in, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/x", io.LimitReader(pattern{}, 30<<20))
			in.ContentLength = length
			response, err := r.client.Do(in)
			if err != nil {
				t.Fatalf("length %d: %v", length, err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode != 401 || string(body) != "early" || err != nil {
				t.Errorf("length %d: answer = %d %q, %v", length, response.StatusCode, body, err)
			}
		}
	}
}

// streaming has bodies streamed from their third byte on.
func streaming(c *Config, _ *upstream.Transport) { c.ReplayBodyBytes = 2 }
