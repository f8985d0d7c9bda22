package upstream

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

const (
	// readBuffer holds a usual head with a small body, and bounds trailers.
	readBuffer = 8 << 10
	// blindIdle is the time for which an idle connection is trusted if its socket
	// cannot be examined.
	blindIdle = 2 * time.Second
)

// wire is the socket, below TLS. It counts what the kernel accepted and keeps
// the deadlines.
//
// Deadlines are lazy: one that is set allows a sixteenth more than asked, and
// is left alone as long as it still gives what is asked. So a limit of 60 s
// fires after 60 to 64 s, and a busy connection sets a deadline every 4 s and
// not four times per request (BenchmarkDeadlines).
type wire struct {
	net.Conn
	stream   io.ReadWriter // of Conn's bytes
	closed   func() bool   // Abort need not close it any more; nil in some tests
	written  atomic.Int64
	progress time.Duration

	// Used by the writer; there is one at a time.
	writeBy time.Time
	now     time.Time // for the next write; zero: not known

	sawEOF  bool // used by the reader, as are probing and waiting
	probing bool
	waiting *liveness // of conn.settle

	mu     sync.Mutex // guards the read deadline, which an upload moves too
	readBy time.Time
	inBody bool // the head has been read: the limit is now between two reads
	follow follow
}

// Close is net.Conn's.
func (w *wire) Close() error {
	if w.closed != nil {
		w.closed()
	}
	return w.Conn.Close()
}

func (w *wire) Write(p []byte) (int, error) {
	total := 0
	for {
		now := w.now
		if w.now = (time.Time{}); now.IsZero() {
			now = time.Now()
		}
		// An error is that of a closed connection, which what follows meets too.
		w.writeBy, _ = socket.Extend(w.writeBy, now, w.progress, w.Conn.SetWriteDeadline)
		// Counted before the write and corrected after it: another goroutine
		// that asks in between must not read "nothing written".
		w.written.Add(int64(len(p)))
		n, err := w.stream.Write(p)
		w.written.Add(int64(n - len(p)))
		total += n
		if err == nil || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return total, err
		}
		p = p[n:] // slow, but it moves
	}
}

func (w *wire) Read(p []byte) (int, error) {
	if w.probing || w.waiting != nil && w.waiting.ok(0) {
		return 0, errProbe
	}
	w.mu.Lock()
	if w.inBody {
		w.readBy, _ = socket.Extend(w.readBy, time.Now(), w.progress, w.Conn.SetReadDeadline)
	}
	w.mu.Unlock()
	n, err := w.stream.Read(p)
	if err == io.EOF { //nolint:errorlint // net.Conn returns it bare
		w.sawEOF = true
	}
	return n, err
}

// awaitHead limits the wait for the response's head. Once the head has been read it
// does nothing, so that a late upload cannot disturb the body's limit.
func (w *wire) awaitHead(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.inBody && !w.follow.over {
		w.readBy, _ = socket.Extend(w.readBy, time.Now(), limit, w.Conn.SetReadDeadline)
	}
}

// beginHead is for the next request.
func (w *wire) beginHead(followable bool) {
	w.mu.Lock()
	w.inBody, w.follow = false, follow{wanted: followable}
	w.mu.Unlock()
}

func (w *wire) headRead() {
	w.mu.Lock()
	w.inBody = true
	w.mu.Unlock()
}

func (w *wire) headSeen() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inBody
}

// errProbe stands for "nothing there". It is temporary, so that crypto/tls
// does not remember it.
var errProbe net.Error = probeError{}

type probeError struct{}

func (probeError) Error() string   { return "nothing to read" }
func (probeError) Timeout() bool   { return true }
func (probeError) Temporary() bool { return true }

// conn is one connection to the origin. It belongs to one exchange, or to the
// pool, never to both.
type conn struct {
	wire     *wire
	nc       net.Conn // wire, or TLS over it
	tlsState *tls.ConnectionState
	live     liveness
	urgent   bool      // in the hands of an urgent request
	ahead    bool      // made ahead of a request, and not used yet
	made     time.Time // when
	retire   time.Time // not used for a new request after this
	idleFrom time.Time
	keptFor  time.Duration // idle, as upstream says; 0: it does not say
	since    time.Time     // the last use began
	served   bool          // has served a request

	buf      []byte // buf[r:w] has been received and not been used
	r, w     int
	headLeft int64   // bytes that the head may still take
	readErr  error   // what the connection, not a parser, reported; final
	fields   []field // of the head that was parsed last
	spelt    []byte  // its names that are spelt in another way (Trace.FieldNames)
}

func newConn(w *wire, nc net.Conn, retire time.Time) *conn {
	c := &conn{wire: w, nc: nc, made: time.Now(), retire: retire, buf: make([]byte, readBuffer)}
	c.live.init(w.Conn)
	if tc, ok := nc.(*tls.Conn); ok {
		state := tc.ConnectionState()
		c.tlsState = &state
	}
	return c
}

// begin makes the connection ready for the next request; what an exchange
// leaves behind is reset here and nowhere else.
func (c *conn) begin(maxHead int64, followable bool) {
	c.wire.beginHead(followable)
	c.wire.now = c.since
	c.r, c.w = 0, 0
	c.headLeft = maxHead
	c.readErr = nil
	c.fields, c.spelt = c.fields[:0], c.spelt[:0]
}

func (c *conn) startBody() {
	c.headLeft = math.MaxInt64
	c.wire.headRead()
}

func (c *conn) buffered() []byte { return c.buf[c.r:c.w] }

// read reads once, within the limit for the head. It never returns io.EOF:
// whether an end is a good one is for the framing to say.
func (c *conn) read(p []byte) (int, error) {
	for range 100 {
		switch {
		case c.readErr != nil:
			return 0, c.cause(nil)
		case c.headLeft <= 0:
			c.readErr = errHeadTooLarge
			return 0, errHeadTooLarge
		}
		n, err := c.nc.Read(p[:min(int64(len(p)), c.headLeft)])
		c.headLeft -= int64(n)
		c.readErr = err
		if n > 0 {
			return n, nil // an error that came along is for the next read
		}
	}
	c.readErr = io.ErrNoProgress
	return 0, c.readErr
}

// fill reads once into the buffer. A buffer that is full grows; callers bound what
// may not grow so far.
func (c *conn) fill() error {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.w < len(c.buf):
	case c.r > 0:
		c.r, c.w = 0, copy(c.buf, c.buf[c.r:c.w])
	default:
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	n, err := c.read(c.buf[c.w:])
	c.w += n
	return err
}

// take reads body bytes: those in the buffer first.
func (c *conn) take(p []byte) (int, error) {
	if c.r == c.w {
		if len(p) >= len(c.buf) {
			return c.read(p)
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.r:c.w])
	c.r += n
	return n, nil
}

// section reads lines up to and including a blank one: a head, or a trailer.
// The bytes may be changed by the caller, and last until the next read.
func (c *conn) section(limit int) ([]byte, error) {
	for line, pos := 0, 0; ; {
		data := c.buffered()
		n := bytes.IndexByte(data[pos:], '\n')
		if n < 0 {
			if len(data) >= limit {
				return nil, errHeadTooLarge
			}
			pos = len(data)
			if err := c.fill(); err != nil {
				return nil, err
			}
			continue
		}
		pos += n + 1
		if width := pos - line; width == 1 || width == 2 && data[line] == '\r' {
			c.r += pos
			return data[:pos:pos], nil
		}
		line = pos
	}
}

// cause is the connection's own error, if there is one, and malformed
// otherwise.
func (c *conn) cause(malformed error) error {
	switch {
	case c.readErr == nil:
		return malformed
	case errors.Is(c.readErr, io.EOF):
		return io.ErrUnexpectedEOF
	default:
		return c.readErr
	}
}

// atRest reports whether everything that was received has been consumed. TLS may hold
// a decrypted rest, or a whole record, that neither buf nor the kernel knows of:
// stray bytes that the next request would take for its response. A read that must not
// touch the socket brings them to light (and takes in a waiting session ticket).
func (c *conn) atRest() bool {
	if c.readErr != nil || c.r < c.w {
		return false
	}
	if c.tlsState == nil {
		return true
	}
	c.wire.probing = true
	n, err := c.nc.Read(c.buf[:1])
	c.wire.probing = false
	return n == 0 && errors.Is(err, errProbe)
}

// usable reports whether an idle connection may carry the next request.
func (c *conn) usable(idleTimeout time.Duration) bool {
	c.since = time.Now()
	idle := c.since.Sub(c.idleFrom)
	return c.since.Before(c.retire) && idle < min(idleTimeout, cmp.Or(c.keptFor, idleTimeout)) && (c.live.ok(idle) || c.settle() && c.live.ok(idle))
}

// closeIdle ends a connection in good order (close_notify). Everything else is
// cut at the socket, so that an incomplete request looks incomplete.
func (c *conn) closeIdle() {
	_ = c.nc.Close()
	_ = c.wire.Close()
}
