package upstream

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// Thousands of requests over shared connections, with aborted ones between
// them: every answer is the one to its own request.
func TestAnswersAreNeverCrossed(t *testing.T) {
	o := wiretest.Listen(t, ca().Server(), func(p *wiretest.Peer) {
		for {
			req, body, err := p.Request()
			if err != nil {
				return
			}
			answer := req.Header.Get("Nonce") + body + strings.Repeat("x", rand.IntN(6000))
			switch rand.IntN(40) {
			case 0:
				p.Say("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + answer)
				return
			case 1:
				p.Say(okBody(answer) + okBody("stray"))
			case 2:
				p.Say(fmt.Sprintf("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
					len(answer), answer))
			case 3:
				p.Say(okBody(answer))
				return
			default:
				p.Say(okBody(answer))
			}
		}
	})
	tr := transport(t, o, trusting, func(tr *Transport) { tr.MaxConns = 12 })
	each := wiretest.Sized(60, 150)
	var good, reused atomic.Int64
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for i := range each {
				nonce := fmt.Sprintf("nonce-%d-%d|", worker, i)
				if nonceRequest(t, tr, o, nonce) {
					good.Add(1)
				}
			}
		})
	}
	all.Wait()
	reused.Store(int64(16*each) - o.Accepted.Load())
	if good.Load() < int64(8*each) || reused.Load() < int64(3*each) {
		t.Errorf("good answers = %d, reused connections = %d: the test has lost its point", good.Load(), reused.Load())
	}
	if sent := o.Complete.Load(); sent > int64(16*each) {
		t.Errorf("executed = %d, want at most %d", sent, 16*each)
	}
}

func nonceRequest(t *testing.T, tr *Transport, o *wiretest.Origin, nonce string) (good bool) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var body io.ReadCloser
	length := int64(0)
	want := nonce
	switch rand.IntN(3) {
	case 0:
		body, length = mem("memory|"), 7
		want += "memory|"
	case 1:
		body, length = stream("stream|"), -1
		want += "stream|"
	}
	req := newRequest(ctx, o, http.MethodPost, "/", body, length)
	req.Header.Set("Nonce", nonce)
	abort := rand.IntN(10)
	if abort == 0 {
		go cancel()
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if abort == 1 {
		return false // closed unread
	}
	got, err := io.ReadAll(resp.Body)
	if !strings.HasPrefix(string(got), want) && !(err != nil && strings.HasPrefix(want, string(got))) {
		t.Errorf("answer to %q begins with %.40q", want, got)
	}
	return err == nil
}
