package proxy

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// An answer of 2 KiB, cut after every byte: the app sees an error every time.
func TestTwoKiBAnswerCutAfterEveryByteIsAnErrorToTheApp(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789abcdef", 128)
	for name, says := range map[string]string{
		"length":  answer(200, "application/json", body),
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + body[:1024] + "\r\n400\r\n" + body[1024:] + "\r\n0\r\n\r\n",
	} {
		for _, rst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s RST=%v", name, rst), func(t *testing.T) {
				t.Parallel()
				o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
					if in, _, err := p.Request(); err == nil {
						n, _ := strconv.Atoi(in.URL.Query().Get("n"))
						p.Say(says[:n])
						p.Cut(rst)
					}
				})
				r := newRig(t, o.URL)
				for n := range len(says) {
					a := r.dial()
					a.Say(head("POST", fmt.Sprintf("/v1/x?n=%d", n), "Content-Length: 2") + "\r\n{}")
					if response, _, err := a.Response("POST"); err == nil && response.StatusCode != http.StatusBadGateway {
						t.Errorf("cut after %d bytes: the app sees a whole %d", n, response.StatusCode)
					}
					_ = a.Close()
				}
			})
		}
	}
}
