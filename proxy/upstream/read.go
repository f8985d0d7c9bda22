package upstream

import (
	"math"
	"net/http"
)

// maxInterim is the number of 1xx responses that are skipped.
const maxInterim = 16

// receive reads heads until the final one, and makes x its body.
func (x *exchange) receive() (*http.Response, *Error) {
	c, resp := x.c, &x.resp
	for range maxInterim + 1 {
		if err := x.firstByte(); err != nil {
			return nil, x.fail(OpRead, err)
		}
		head, err := c.section(math.MaxInt) // headLeft is its limit
		if err != nil {
			return nil, x.fail(OpRead, err)
		}
		doubtful, err := x.parseHead(head)
		switch {
		case err != nil:
			return nil, x.fail(OpRead, c.cause(err))
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, x.fail(OpRead, errSwitching)
		case resp.StatusCode < 200:
			continue
		}
		x.keep = !doubtful && !resp.Close && resp.ProtoMinor > 0 && !x.req.Close
		if x.trace != nil {
			x.trace.FieldNames = x.spelt
		}
		x.start()
		return resp, nil
	}
	return nil, x.fail(OpRead, errInterim)
}

func (x *exchange) firstByte() error {
	if x.c.r == x.c.w {
		if err := x.c.fill(); err != nil {
			return err
		}
	}
	return nil
}

func (x *exchange) start() {
	x.resp.TLS = x.c.tlsState
	x.c.startBody()
	if x.resp.Body == http.NoBody {
		x.end.Store(ended)
		x.release()
	}
}
