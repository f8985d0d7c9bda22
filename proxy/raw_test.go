package proxy

import (
	"fmt"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

const okEmpty = wiretest.OKEmpty

var get, head, post = wiretest.Get, wiretest.Head, wiretest.Post

func answer(status int, contentType, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", status, contentType, len(body), body)
}

func (r *rig) dial() *wiretest.App { return wiretest.Dial(r.t, "tcp", r.addr) }
