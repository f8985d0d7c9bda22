package upstream

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readBuffer holds a usual head with a small body, and bounds trailers and
	// chunk lines.
	readBuffer = 8 << 10
	// blindIdle is how long an idle connection is trusted where its socket
	// cannot be looked into.
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
	written  atomic.Int64
	progress time.Duration

	writeBy time.Time // used by whoever writes; there is one at a time
	sawEOF  bool      // used by whoever reads, as is probing
	probing bool

	mu     sync.Mutex // guards the read deadline, which an upload moves too
	readBy time.Time
	inBody bool // the head has been read: the limit is now between two reads
}

func (w *wire) Write(p []byte) (int, error) {
	total := 0
	for {
		w.writeBy = lazily(w.writeBy, w.progress, w.Conn.SetWriteDeadline)
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
	if w.probing {
		return 0, errProbe
	}
	w.mu.Lock()
	if w.inBody {
		w.readBy = lazily(w.readBy, w.progress, w.Conn.SetReadDeadline)
	}
	w.mu.Unlock()
	n, err := w.stream.Read(p)
	if err == io.EOF { //nolint:errorlint // net.Conn returns it bare
		w.sawEOF = true
	}
	return n, err
}

// awaitHead lets the answer's head take limit from now. Once the head has been
// read it does nothing, so that a late upload cannot disturb the body's limit.
func (w *wire) awaitHead(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.inBody {
		w.readBy = lazily(w.readBy, limit, w.Conn.SetReadDeadline)
	}
}

func (w *wire) setInBody(inBody bool) {
	w.mu.Lock()
	w.inBody = inBody
	w.mu.Unlock()
}

func (w *wire) headSeen() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inBody
}

// lazily makes sure that a deadline is at least limit away and not much more.
// It returns the deadline that is set.
func lazily(set time.Time, limit time.Duration, to func(time.Time) error) time.Time {
	want, slack := time.Now().Add(limit), limit/16
	if !set.Before(want) && !set.After(want.Add(slack)) {
		return set
	}
	want = want.Add(slack)
	_ = to(want) // fails only on a closed connection, and so does what follows
	return want
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
	br       *bufio.Reader
	live     liveness
	retire   time.Time // not used for a new request after this
	idleFrom time.Time
	served   bool // has served a request

	headLeft int64 // bytes that the head may still take
	readErr  error // what the connection, not a parser, reported
	byte1    [1]byte
}

func newConn(w *wire, nc net.Conn, retire time.Time) *conn {
	c := &conn{wire: w, nc: nc, retire: retire}
	c.br = bufio.NewReaderSize(c, readBuffer)
	c.live.init(w.Conn)
	if tc, ok := nc.(*tls.Conn); ok {
		state := tc.ConnectionState()
		c.tlsState = &state
	}
	return c
}

// begin makes the connection ready for the next request; what an exchange
// leaves behind is reset here and nowhere else.
func (c *conn) begin(maxHead int64) {
	c.wire.setInBody(false)
	c.headLeft = maxHead
	c.readErr = nil
}

// Read feeds br, within the limit for the head.
func (c *conn) Read(p []byte) (int, error) {
	if c.headLeft <= 0 {
		c.readErr = errHeadTooLarge
		return 0, errHeadTooLarge
	}
	if int64(len(p)) > c.headLeft {
		p = p[:c.headLeft]
	}
	n, err := c.nc.Read(p)
	c.headLeft -= int64(n)
	if err != nil {
		c.readErr = err
	}
	return n, err
}

func (c *conn) startBody() {
	c.headLeft = math.MaxInt64
	c.wire.setInBody(true)
}

// cause replaces the error of a parser by the connection's own error, or by
// malformed: parsers quote their input.
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

// atRest reports whether everything that was received has been consumed. TLS
// may hold a decrypted rest, or a whole record, that neither br nor the kernel
// knows of: stray bytes that the next request would take for its answer. A
// read that must not touch the socket brings them to light (and takes in a
// waiting session ticket).
func (c *conn) atRest() bool {
	if c.readErr != nil || c.br.Buffered() > 0 {
		return false
	}
	if c.tlsState == nil {
		return true
	}
	c.wire.probing = true
	n, err := c.nc.Read(c.byte1[:])
	c.wire.probing = false
	return n == 0 && errors.Is(err, errProbe)
}

// usable reports whether an idle connection may carry the next request.
func (c *conn) usable(idleTimeout time.Duration) bool {
	now := time.Now()
	idle := now.Sub(c.idleFrom)
	return now.Before(c.retire) && idle < idleTimeout && c.live.ok(idle)
}

// closeIdle ends a connection in good order (close_notify). Everything else is
// cut at the socket, so that an incomplete request looks incomplete.
func (c *conn) closeIdle() {
	_ = c.nc.Close()
	_ = c.wire.Close()
}
