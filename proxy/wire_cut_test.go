package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// Upstream ends after every byte of a small answer. The app always sees an
// error or a 502, and never a clean answer that is not whole.
func TestCutAnswerIsNeverAWholeOne(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"length":       answer(200, "application/json", `{"data":[1,2,3]}`),
		"chunked":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{\"a\":1\r\n1\r\n}\r\n0\r\n\r\n",
		"chunked, end": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1\r\n\r\n",
		"refused":      answer(400, "application/json", expiredText), "401": answer(401, "application/json", `{"error":{}}`),
	} {
		for _, rst := range []bool{false, true} {
			for _, method := range []string{"GET", "POST"} {
				t.Run(fmt.Sprintf("%s %s RST=%v", name, method, rst), func(t *testing.T) {
					o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
						in, _, err := p.Request()
						if err != nil {
							return
						}
						n, _ := strconv.Atoi(in.URL.Query().Get("n"))
						p.Say(says[:n])
						p.Cut(rst)
					})
					r := newRig(t, o.URL)
					step := 1
					if rst { // what an RST cuts off is left to chance anyway
						step = wiretest.Sized(3, 1)
					}
					for n := 0; n < len(says); n += step {
						response, body, err := r.say(head(method, fmt.Sprintf("/v1/x?n=%d", n), "Content-Length: 2") + "\r\n{}")
						if err == nil && response.StatusCode != http.StatusBadGateway {
							t.Errorf("cut after %q: the app sees %d %q", says[:n], response.StatusCode, body)
						}
						if err == nil {
							checkOurs(t, response, body, &problemUpstreamBroken, Unknown, "")
						}
						if record := r.record(); record.Status == 200 && !record.Aborted {
							t.Errorf("cut after %d: record = %+v", n, record)
						}
					}
				})
			}
		}
	}
}

func shortTimeouts(_ *Config, t *upstream.Transport) {
	t.ResponseHeaderTimeout, t.ProgressTimeout = 100*time.Millisecond, 100*time.Millisecond
}

func TestSlowUpstreamIs504AndNotAskedAgain(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 103 X\r\n\r\n"} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(method+" "+says, func(t *testing.T) {
				o := wiretest.Listen(t, nil, wiretest.Hanging(says))
				r := newRig(t, o.URL, shortTimeouts)
				response, body := r.do(method, "/v1/x", "")
				checkOurs(t, response, body, &problemUpstreamTimeout, Unknown, "")
				if o.Heads.Load() != 1 || r.record().Retried {
					t.Errorf("%d requests", o.Heads.Load())
				}
				wiretest.Eventually(t, "upstream's connection is closed", func() bool { return o.Open.Load() == 0 })
			})
		}
	}
}

func TestStalledAnswerIsCutVisibly(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Hanging("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"))
	r := newRig(t, o.URL, shortTimeouts)
	if _, body, err := r.say(get("/v1/x")); err == nil || body != "abc" {
		t.Errorf("body = %q, %v", body, err)
	}
	if record := r.record(); !record.Aborted || record.Err == nil {
		t.Errorf("record = %+v", record)
	}
}

// The app does not pause: a second is more than a busy machine takes between two of its
// pieces.
func TestUpstreamThatTakesNoBodyIs504(t *testing.T) {
	t.Parallel()
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, err := p.Head(); err == nil {
			<-t.Context().Done()
		}
	})
	r := newRig(t, o.URL, shortTimeouts, func(_ *Config, tr *upstream.Transport) { tr.ProgressTimeout = time.Second })
	in, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/x", io.LimitReader(pattern{}, 30<<20))
	response, err := r.client.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	checkOurs(t, response, string(body), &problemUpstreamTimeout, Unknown, "")
}

func TestUnreachableUpstreamIsNotSent(t *testing.T) {
	o := wiretest.Listen(t, nil, func(*wiretest.Peer) {})
	r := newRig(t, o.URL, func(c *Config, tr *upstream.Transport) {
		gone := *o.URL
		gone.Host = "127.0.0.1:1"
		c.Origin, tr.Origin = &gone, &gone
	})
	for _, method := range []string{"GET", "POST"} {
		response, body := r.do(method, "/v1/x", "")
		checkOurs(t, response, body, &problemUpstreamUnreachable, NotSent, "")
	}
	if o.Accepted.Load() != 0 {
		t.Error("another place was dialled")
	}
}

func TestBusyUpstreamIsOverloaded(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 2) // the second comes if the first ends in time
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, _, err := p.Request(); err == nil {
			arrived <- struct{}{}
			p.UntilCut()
		}
	})
	r := newRig(t, o.URL, shortTimeouts, func(_ *Config, tr *upstream.Transport) {
		tr.MaxConns, tr.ResponseHeaderTimeout = 1, 500*time.Millisecond
	})
	first := r.dial()
	first.Say(get("/v1/first"))
	<-arrived
	response, body := r.do("POST", "/v1/x", "{}")
	if strings.Contains(body, "overloaded") {
		checkOurs(t, response, body, &problemOverloaded, NotSent, "")
	} else { // the first ended in time, and gave its place to the second
		checkOurs(t, response, body, &problemUpstreamTimeout, Unknown, "")
	}
	first.WantStatus("GET", http.StatusGatewayTimeout)
}

// The app's connection serves on after every kind of answer that leaves it in
// order.
func TestConnectionOfTheAppServesOnAfterEveryKindOfAnswer(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for {
			in, _, err := p.Request()
			if err != nil {
				return
			}
			switch in.URL.Path {
			case "/v1/204":
				p.Say("HTTP/1.1 204 X\r\n\r\n")
			case "/v1/204body":
				p.Say("HTTP/1.1 204 X\r\n\r\nstray")
			case "/v1/304":
				p.Say("HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n")
			case "/v1/head":
				p.Say("HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\n")
			case "/v1/chunked":
				p.Say("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
			case "/v1/close":
				p.Say("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
				return
			case "/v1/broken":
				return
			case "/v1/slow":
				p.UntilCut()
				return
			case "/v1/long":
				p.Say("HTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\nxSTRAY")
			case "/v1/400":
				p.Say(answer(400, "application/json", "{}"))
			default:
				p.Say(answer(200, "a/b", in.URL.Path))
			}
		}
	})
	r := newRig(t, o.URL, shortTimeouts, func(c *Config, _ *upstream.Transport) { c.ReplayBodyBytes = 5 })
	a := r.dial()
	const big = "{\"a\": 1234567890}"
	for _, c := range []struct {
		method, target, body string
		status               int
	}{
		{"GET", "/v1/204", "", 204}, {"GET", "/v1/204body", "", 204}, {"GET", "/v1/304", "", 304}, {"HEAD", "/v1/head", "", 200},
		{"GET", "/v1/chunked", "", 200}, {"POST", "/v1/close", "{}", 200}, {"POST", "/v1/long", "{}", 200},
		{"POST", "/v1/400", big, 400}, {"POST", "/v1/broken", "{}", 502}, {"POST", "/v1/broken", big, 502}, {"POST", "/v1/slow", "", 504},
		{"POST", "/v1/x", big, 200}, {"PUT", "/v1/x", "", 200}, {"PATCH", "/v1/204", "{}", 204}, {"DELETE", "/v1/204", "", 204},
	} {
		a.Say(head(c.method, c.target, fmt.Sprintf("Content-Length: %d", len(c.body))) + "\r\n" + c.body)
		if response, _ := a.WantStatus(c.method, c.status); response.Close {
			t.Errorf("%s %s: the connection ends", c.method, c.target)
		}
		a.Say(get("/v1/next"))
		if _, body := a.WantStatus("GET", 200); body != "/v1/next" {
			t.Fatalf("after %s %s: %q", c.method, c.target, body)
		}
	}
}

func TestDrainEndsConnectionsWithTheNextAnswer(t *testing.T) {
	r := newRig(t, wiretest.Listen(t, nil, wiretest.Answering(okEmpty)).URL)
	a := r.dial()
	a.Say(get("/v1/x"))
	if response, _ := a.WantStatus("GET", 200); response.Close {
		t.Error("closed too early")
	}
	r.handler.Drain()
	a.Say(get("/v1/x"))
	if response, _ := a.WantStatus("GET", 200); !response.Close {
		t.Error("the answer does not say that the connection ends")
	}
	a.Closed()
}
