package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// appConn is the app: one keep-alive connection to the sidecar, with a reader of
// its own that takes no answer for complete that is not.
type appConn struct {
	address string
	conn    net.Conn
	buf     []byte
	r, w    int
	// patience is how long an exchange may take. 0: appPatience.
	patience time.Duration
}

// appAnswer is what the app has seen of an answer.
type appAnswer struct {
	whole   bool
	started bool // there was at least one byte
	close   bool // the connection ends
	status  int
	byProxy bool
	nonce   string // X-Ledger-Nonce, of upstream's answers
	id      string // X-Request-Id, of all: the app sends the nonce in it
	outcome string
	chunked bool
	length  int64 // -1: none
	body    []byte
	err     error // why it is not whole
}

const appPatience = 30 * time.Second

func dialApp(s *sidecar) *appConn {
	return &appConn{address: strings.TrimPrefix(s.Data, "http://"), buf: make([]byte, 4<<10)}
}

// send writes to the connection, a new one if there is none.
func (a *appConn) send(request []byte) error {
	if a.conn == nil {
		conn, err := net.Dial("tcp", a.address)
		if err != nil {
			return err
		}
		a.conn, a.r, a.w = conn, 0, 0
	}
	patience := a.patience
	if patience == 0 {
		patience = appPatience
	}
	_ = a.conn.SetDeadline(time.Now().Add(patience))
	_, err := a.conn.Write(request)
	return err
}

// exchange sends a request and reads its answer. The connection stays open only
// after a whole one.
func (a *appConn) exchange(request []byte, isHead bool) appAnswer {
	writeErr := a.send(request)
	if a.conn == nil {
		return appAnswer{err: writeErr}
	}
	// An answer can come although not all was taken.
	got := a.receive(isHead)
	if !got.whole || got.close || writeErr != nil {
		a.hangUp()
	}
	return got
}

func (a *appConn) hangUp() {
	if a.conn != nil {
		_ = a.conn.Close()
		a.conn = nil
	}
}

func (a *appConn) receive(isHead bool) (got appAnswer) {
	got.err = a.head(&got)
	if got.err == nil && !isHead && got.status != 204 && got.status != 304 {
		got.err = a.content(&got)
	}
	got.whole = got.err == nil
	return got
}

func (a *appConn) fill(got *appAnswer) error {
	if a.r == a.w {
		a.r, a.w = 0, 0
	}
	if a.w == len(a.buf) {
		a.w = copy(a.buf, a.buf[a.r:a.w])
		a.r = 0
		if a.w == len(a.buf) {
			a.buf = append(a.buf, make([]byte, len(a.buf))...)
		}
	}
	n, err := a.conn.Read(a.buf[a.w:])
	a.w += n
	if n > 0 {
		got.started = true
		return nil
	}
	return err
}

// until returns what comes before a mark, and takes both.
func (a *appConn) until(mark string, got *appAnswer) ([]byte, error) {
	got.started = got.started || a.w > a.r
	for {
		if i := bytes.Index(a.buf[a.r:a.w], []byte(mark)); i >= 0 {
			text := a.buf[a.r : a.r+i]
			a.r += i + len(mark)
			return text, nil
		}
		if err := a.fill(got); err != nil {
			return nil, err
		}
	}
}

func (a *appConn) head(got *appAnswer) error {
	text, err := a.until("\r\n\r\n", got)
	if err != nil {
		return err
	}
	got.length = -1
	line, fields, _ := bytes.Cut(text, []byte("\r\n"))
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return fmt.Errorf("status line %q", line)
	}
	if got.status, err = strconv.Atoi(string(line[9:12])); err != nil || got.status < 200 {
		return fmt.Errorf("status line %q", line)
	}
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, ok := bytes.Cut(line, []byte(": "))
		if !ok {
			return fmt.Errorf("field line %q", line)
		}
		switch string(name) {
		case "Content-Length":
			if got.length, err = strconv.ParseInt(string(value), 10, 32); err != nil {
				return err
			}
		case "Transfer-Encoding":
			got.chunked = true
		case "Connection":
			got.close = got.close || string(value) == "close"
		case "Proxy-Status":
			got.byProxy = bytes.HasPrefix(value, []byte("monite-proxy"))
		case "X-Monite-Proxy-Outcome":
			got.outcome = string(value)
		case "X-Ledger-Nonce":
			got.nonce = string(value)
		case "X-Request-Id":
			got.id = string(value)
		}
	}
	return nil
}

func (a *appConn) content(got *appAnswer) error {
	if !got.chunked {
		if got.length < 0 {
			return errors.New("an answer without a length")
		}
		return a.take(got, int(got.length))
	}
	for {
		line, err := a.until("\r\n", got)
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(line), 16, 32)
		if err != nil {
			return err
		}
		if err := a.take(got, int(size)); err != nil {
			return err
		}
		if line, err = a.until("\r\n", got); err != nil {
			return err
		}
		if len(line) > 0 {
			return fmt.Errorf("%q after a chunk", line)
		}
		if size == 0 {
			return nil
		}
	}
}

func (a *appConn) take(got *appAnswer, n int) error {
	for a.w-a.r < n {
		if err := a.fill(got); err != nil {
			return err
		}
	}
	got.body = append(got.body, a.buf[a.r:a.r+n]...)
	a.r += n
	return nil
}

// told is what an app knows at the end of its request.
type told uint8

const (
	toldNothing told = iota // no end within the app's patience
	toldAnswer              // upstream's answer, whole
	toldNotSent             // the proxy's outcomes
	toldRejected
	toldUnknown
	toldNoOutcome // the proxy's answer without one
	toldCutHead   // the connection broke before the end of the head: unknown
	toldCutBody   // or after it
	tolds
)

func (k told) String() string {
	return [...]string{
		"no end", "upstream's answer", "not_sent", "rejected", "unknown", "no outcome",
		"broken off before the head", "broken off in the body",
	}[k]
}

// tells sorts an answer.
func (got *appAnswer) tells() told {
	switch {
	case errors.Is(got.err, os.ErrDeadlineExceeded):
		return toldNothing
	case !got.whole && got.status == 0:
		return toldCutHead
	case !got.whole:
		return toldCutBody
	case !got.byProxy:
		return toldAnswer
	}
	switch got.outcome {
	case "not_sent":
		return toldNotSent
	case "rejected":
		return toldRejected
	case "unknown":
		return toldUnknown
	}
	return toldNoOutcome
}

// ledgerWorker sends one request at a time and checks each.
type ledgerWorker struct {
	*ledgerSweep
	id     int
	app    *appConn
	random *rand.Rand
	out    []byte
}

// good is a plan without a fault, for a connection to be used once more.
func (w *ledgerWorker) good() *plan {
	return &plan{point: -1, framing: framing(w.random.IntN(int(byClose)))}
}

// strike sends a request and has it cut at a point.
func (w *ledgerWorker) strike(point int) {
	at := w.points[point]
	p := &plan{
		point: point, cut: at.cut, framing: at.framing, at: int(at.at), rst: at.rst,
		again: againKind(w.random.IntN(3)), close: w.random.IntN(2) == 0,
	}
	if p.at > 0 && w.random.IntN(3) == 0 {
		p.split = 1 + w.random.IntN(p.at)
	}
	if at.cut == cutRequest {
		p.framing = framing(w.random.IntN(int(framings))) // of a second attempt
		p.split = 0
	}
	if w.random.IntN(50) == 0 {
		w.upstream.doors.Add(1) // for this connection, or for a neighbour's
	}
	w.send(w.shapes[at.shape], p)
	if !p.safe && p.entry.cuts.Load() > 0 {
		w.faultedWrites.Add(1)
	}
}

// send sends one request, and holds what came back against the ledger.
func (w *ledgerWorker) send(s shape, p *plan) *plan {
	p.safe = s.safe()
	w.upstream.book.open(w.id, p)
	w.out = s.append(w.out[:0], p.nonce)
	got := w.app.exchange(w.out, s.method == "HEAD")
	told := got.tells()
	p.entry.told = told

	w.requests.Add(1)
	column := 1
	if !p.safe {
		w.writes.Add(1)
		column = 0
	}
	w.told[column][told].Add(1)
	if kind := w.check(s, p, &got, told); kind != "" {
		p.entry.reported = true
		where := "no fault"
		if p.point >= 0 {
			where = w.points[p.point].describe(w.shapes)
		}
		w.violation(kind, "%s %s: %s; cuts made %d, attempts %d, executed %d; told %q, status %d, body %q, %v",
			s.method, p.nonce, where, p.entry.cuts.Load(), p.entry.attempts.Load(), p.entry.executed.Load(),
			told, got.status, got.body, got.err)
	}
	return p
}

// check returns the kind of a violation.
func (w *ledgerWorker) check(s shape, p *plan, got *appAnswer, told told) string {
	if kind := contradiction(p.entry); kind != "" {
		return kind
	}
	if got.whole && got.id != p.nonce {
		return "the answer is another's"
	}
	switch told {
	case toldNothing:
		return "no end"
	case toldNoOutcome:
		return "no outcome"
	case toldNotSent, toldRejected, toldUnknown:
		if got.status < 500 {
			return "the app is blamed"
		}
	case toldAnswer:
		return w.checkAnswer(s, p, got)
	}
	return ""
}

func (w *ledgerWorker) checkAnswer(s shape, p *plan, got *appAnswer) string {
	want := answerBody(p.nonce)
	if s.method == "HEAD" {
		want = ""
	}
	switch {
	case got.status != 200 || got.nonce != p.nonce:
		return "the answer is another's"
	case p.framing == byClose && p.cut == cutAnswer && p.entry.attempts.Load() == p.entry.cuts.Load():
		// The last attempt was cut, and this is how it ended.
		if p.rst && s.method != "HEAD" {
			return "a reset looks like the end"
		}
		if strings.HasPrefix(want, string(got.body)) {
			return ""
		}
		return "the body is another's"
	case string(got.body) != want && strings.HasPrefix(want, string(got.body)):
		return "a part looks whole"
	case string(got.body) != want:
		return "the body is another's"
	}
	return ""
}
