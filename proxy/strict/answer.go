package strict

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// gathered limits what is kept of a body of unknown length before it is chunked: if
// it ends within this, its length is known.
const gathered = 2 << 10

// outBuffer holds the head of a response and a usual body: they leave in one write.
// Larger bodies are not copied into it. Only an answer sees it.
const outBuffer = 8 << 10

var outBuffers = sync.Pool{New: func() any { return new([outBuffer]byte) }}

// keptFields bounds a map of fields that is used again, of requests too.
const keptFields = 32

// headers recycles the header maps of finished responses: allocating one of the usual
// size costs more than the rest of the response.
var headers = sync.Pool{New: func() any { return make(http.Header, 16) }}

var errOver = errors.New("strict: the request is over")

// answer is the http.ResponseWriter of one request. Its handler's goroutine owns it;
// a deadline may be set, and 100 Continue sent, by the goroutine that reads the body.
type answer struct {
	c    *conn
	body *body // of the request; nil: none
	over atomic.Bool

	isHead     bool
	minor      int // of the request's HTTP/1
	wantsClose bool
	fullDuplex bool
	expect     bool

	status  int // 0: no head yet
	length  int64
	written int64
	gather  []byte // of a body of unknown length
	close   bool   // the connection ends after this
	chunked bool
	header  http.Header
	buffer  *[outBuffer]byte // what write begins in
	write   []byte           // what is about to be written
	vector  [3][]byte
	err     error // of a write

	mu        sync.Mutex // guards committed and continued
	committed bool       // the head of the response is final
	continued bool       // 100 Continue was sent
}

func (x *answer) init(c *conn, h *head) {
	*x = answer{
		c: c, isHead: h.method == http.MethodHead, minor: h.minor, wantsClose: h.last, expect: h.expect, length: -1,
		header: headers.Get().(http.Header),
	}
}

// Header implements http.ResponseWriter.
func (x *answer) Header() http.Header { return x.header }

// WriteHeader implements http.ResponseWriter. A second call does nothing, and interim
// responses are not sent.
func (x *answer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("strict: invalid status " + strconv.Itoa(status))
	}
	if x.status == 0 && status >= 200 && !x.over.Load() {
		x.begin(status)
	}
}

func (x *answer) begin(status int) {
	x.status = status
	x.buffer = outBuffers.Get().(*[outBuffer]byte)
	x.write = x.buffer[:0]
	x.startHead()
	if x.length >= 0 || x.bodyless() {
		x.commit()
	}
}

// bodyless reports whether no body follows, whatever the fields say (RFC 9112 section
// 6.3).
func (x *answer) bodyless() bool {
	return x.isHead || x.status == http.StatusNoContent || x.status == http.StatusNotModified
}

// Write implements http.ResponseWriter.
func (x *answer) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	switch {
	case x.over.Load():
		return 0, errOver
	case x.err != nil:
		return 0, x.err
	case x.isHead:
		return len(p), nil
	case x.bodyless():
		return 0, http.ErrBodyNotAllowed
	case x.length >= 0 && x.written+int64(len(p)) > x.length:
		return 0, http.ErrContentLength
	}
	x.written += int64(len(p))
	if !x.committed {
		if len(x.gather)+len(p) <= gathered {
			x.gather = append(x.gather, p...)
			return len(p), nil
		}
		x.commitGathered()
	}
	x.append(p)
	if x.err != nil {
		return 0, x.err
	}
	return len(p), nil
}

func (x *answer) commitGathered() {
	x.commit()
	x.append(x.gather)
	x.gather = nil
}

// append sends part of the body, or leaves it in the buffer if there is room.
func (x *answer) append(p []byte) {
	if len(p) == 0 || x.err != nil {
		return
	}
	out := x.write
	end := ""
	if x.chunked {
		out = append(strconv.AppendInt(out, int64(len(p)), 16), "\r\n"...)
		end = "\r\n"
	}
	if len(out)+len(p)+len(end) <= outBuffer {
		x.write = append(append(out, p...), end...)
		return
	}
	// One system call for the three. Over TLS they are three writes.
	x.vector = [3][]byte{out, p, []byte(end)}
	all := net.Buffers(x.vector[:])
	if end == "" {
		all = all[:2]
	}
	_, err := all.WriteTo(x.c.nc)
	x.vector = [3][]byte{}
	x.write = out[:0]
	x.wrote(err)
}

func (x *answer) flush() {
	if x.err != nil || len(x.write) == 0 {
		return
	}
	_, err := x.c.stream.Write(x.write)
	x.write = x.write[:0]
	x.wrote(err)
}

// wrote ends the request of an app that cannot be written to any more.
func (x *answer) wrote(err error) {
	if err != nil {
		x.err = err
		x.c.cancelRequest()
	}
}

// FlushError sends what is buffered; http.ResponseController calls it.
func (x *answer) FlushError() error {
	if x.over.Load() {
		return errOver
	}
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if !x.committed {
		x.commitGathered()
	}
	x.flush()
	return x.err
}

// SetReadDeadline implements what http.ResponseController calls, up to a
// sixteenth later.
func (x *answer) SetReadDeadline(when time.Time) error {
	if x.over.Load() {
		return errOver
	}
	return x.c.reads.asked(when)
}

// SetWriteDeadline likewise.
func (x *answer) SetWriteDeadline(when time.Time) error {
	if x.over.Load() {
		return errOver
	}
	return x.c.writes.asked(when)
}

// OnTaken has taken called once, when it is known whether the app has the
// response: it has, when its next request begins or it closes the connection in
// order; it has not, if it is gone before. That is after the handler has
// returned, on the connection's goroutine.
func (x *answer) OnTaken(taken func(bool)) {
	x.c.pay(false) // this request was sent ahead, and nothing is known of the one before
	x.c.owed = taken
}

// EnableFullDuplex allows reading the body while the response is written. That is
// always allowed here; what changes is that a response which begins before the body
// was read does not say that the connection ends.
func (x *answer) EnableFullDuplex() error {
	x.fullDuplex = true
	return nil
}

// sayContinue has the app send its body, unless it has a response already.
func (x *answer) sayContinue() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.committed {
		return
	}
	x.continued = true
	_, _ = x.c.stream.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")) // what follows fails too
}

// cutOff sends what is buffered and not the end, so that the response does not look
// complete.
func (x *answer) cutOff() {
	if x.committed {
		x.flush()
	}
}

// end completes the response.
func (x *answer) end() error {
	if x.status == 0 {
		x.begin(http.StatusOK)
	}
	if !x.committed {
		x.length = int64(len(x.gather))
		x.commitGathered()
	}
	if x.chunked {
		x.write = append(x.write, "0\r\n\r\n"...)
	}
	x.flush()
	outBuffers.Put(x.buffer)
	if len(x.header) <= keptFields {
		clear(x.header)
		headers.Put(x.header)
	}
	x.buffer, x.write, x.header = nil, nil, nil
	if x.err == nil && x.length >= 0 && !x.bodyless() && x.written != x.length {
		// Less than was promised: only the end of the connection can say so.
		x.err = fmt.Errorf("strict: %d of %d bytes were written", x.written, x.length)
	}
	return x.err
}
