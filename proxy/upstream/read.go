package upstream

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
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
		c.keptFor = idleLimit(resp.Header["Keep-Alive"])
		if x.trace != nil {
			x.trace.FieldNames = x.spelt
		}
		x.start()
		return resp, nil
	}
	return nil, x.fail(OpRead, errInterim)
}

// closeMargin is for a request that is on its way when upstream closes: its outcome
// would be unknown.
const closeMargin = time.Second

// idleLimit returns how long upstream's Keep-Alive field allows a connection to be
// idle, less closeMargin or half of it. 0: the field does not say.
func idleLimit(values []string) time.Duration {
	for _, value := range values {
		for option := range strings.SplitSeq(value, ",") {
			name, text, _ := strings.Cut(strings.TrimSpace(option), "=")
			if seconds, err := strconv.ParseUint(text, 10, 16); err == nil && equalFold(name, "timeout") {
				limit := time.Duration(seconds) * time.Second //nolint:gosec // 16 bits
				return max(limit-closeMargin, limit/2, 1)
			}
		}
	}
	return 0
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
