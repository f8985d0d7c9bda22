package strict

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// startHead writes the status line and the handler's fields, but for those that
// frame: the server decides about them, in commit.
func (x *answer) startHead() {
	out := x.write
	if x.minor == 0 {
		out = append(out, "HTTP/1.0 "...)
	} else {
		out = append(out, "HTTP/1.1 "...)
	}
	out = append(strconv.AppendInt(out, int64(x.status), 10), ' ')
	out = append(append(out, http.StatusText(x.status)...), "\r\n"...)
	dated := false
	for name, values := range x.header {
		switch name {
		case "Content-Length":
			x.declared(values)
			continue
		case "Connection":
			x.close = x.close || hasToken(values, "close")
			continue
		case "Transfer-Encoding", "Trailer", "Keep-Alive":
			continue
		case "Date":
			dated = true
		}
		if !isToken(name) {
			continue
		}
		for _, value := range values {
			out = append(append(out, name...), ": "...)
			out = append(appendValue(out, value), "\r\n"...)
		}
	}
	if !dated {
		out = append(append(append(out, "Date: "...), now()...), "\r\n"...)
	}
	x.write = out
}

// declared reads the handler's Content-Length. One that is none is left out.
func (x *answer) declared(values []string) {
	if len(values) == 1 {
		if length, ok := parseLength(values[0]); ok {
			x.length = length
		}
	}
}

// appendValue writes a field's value. A control byte in it, which could end the
// field or the head, becomes a blank.
func appendValue(out []byte, value string) []byte {
	if only(value, valueByte) {
		return append(out, value...)
	}
	for i := range len(value) {
		c := value[i]
		if byteKind[c]&valueByte == 0 {
			c = ' '
		}
		out = append(out, c)
	}
	return out
}

// commit decides how the response is framed and whether the connection goes on, and
// ends the head.
func (x *answer) commit() {
	x.mu.Lock()
	x.committed = true
	continued := x.continued
	x.mu.Unlock()

	out := x.write
	switch {
	case x.bodyless() && !x.isHead: // RFC 9110 section 8.6
	case x.length >= 0:
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), x.length, 10), "\r\n"...)
	case x.bodyless():
	case x.minor == 0:
		x.close = true // the end of the connection is the end of the body
	default:
		x.chunked = true
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	x.close = x.close || x.wantsClose || x.c.server.stopping.Load() ||
		x.expect && !continued || // the body may come or not
		!x.fullDuplex && !x.body.skip()
	switch {
	case x.close:
		out = append(out, "Connection: close\r\n"...)
	case x.minor == 0 || x.c.server.persistent != "":
		out = append(append(out, "Connection: keep-alive\r\n"...), x.c.server.persistent...)
	}
	x.write = append(out, "\r\n"...)
}

// second is a Date, and the second that it is for.
type second struct {
	unix int64
	text string
}

var lastSecond atomic.Pointer[second]

func now() string {
	at := time.Now()
	last := lastSecond.Load()
	if unix := at.Unix(); last == nil || last.unix != unix {
		last = &second{unix, at.UTC().Format(http.TimeFormat)}
		lastSecond.Store(last)
	}
	return last.text
}
