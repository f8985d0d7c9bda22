package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rawUpstream plays the plans of a book over plain TCP. It looks ahead as far as
// the nonce, because a plan must be known before its first byte is "read"; but
// what counts as read is only what the parser was given.
type rawUpstream struct {
	t        *testing.T
	book     *book
	listener *net.TCPListener
	// onCut is told of each cut that was made. May be nil.
	onCut  func(p *plan, reused bool)
	doors  atomic.Int32 // connections to reset at once
	shut   atomic.Int64 // that were
	opened atomic.Int64
	mints  atomic.Int64

	all   sync.WaitGroup
	mu    sync.Mutex // guards conns and complaints
	conns map[*net.TCPConn]bool
	// complaints are about requests that no upstream should ever get.
	complaints []string
}

func listenRaw(t *testing.T, b *book) *rawUpstream {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	u := &rawUpstream{t: t, book: b, listener: listener, conns: map[*net.TCPConn]bool{}}
	u.all.Go(u.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		u.mu.Lock()
		for c := range u.conns {
			_ = c.Close()
		}
		u.mu.Unlock()
		u.all.Wait()
	})
	return u
}

func (u *rawUpstream) url() string { return "http://" + u.listener.Addr().String() }

// behindTLS puts a TLS server before u, and returns its URL. It closes one in four
// of the connections on which nothing is asked for a moment, at any moment.
func (u *rawUpstream) behindTLS(ca *faultCA) (url string) {
	u.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		u.t.Fatal(err)
	}
	config := ca.Server()
	u.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			u.all.Go(func() { u.relay(tls.Server(conn, config)) })
		}
	})
	u.t.Cleanup(func() { _ = listener.Close() })
	return "https://" + listener.Addr().String()
}

// relay passes the bytes on, and the way in which u ends its connection.
func (u *rawUpstream) relay(secured *tls.Conn) {
	defer func() { _ = secured.NetConn().Close() }()
	if rand.IntN(4) == 0 {
		_ = secured.SetReadDeadline(time.Now().Add(rand.N(200 * time.Millisecond)))
	}
	first := make([]byte, 16<<10)
	n, err := secured.Read(first)
	if err != nil {
		return
	}
	_ = secured.SetReadDeadline(time.Time{})
	plain, err := net.Dial("tcp", u.listener.Addr().String())
	if err != nil {
		return
	}
	defer func() { _ = plain.Close() }()
	if _, err := plain.Write(first[:n]); err != nil {
		return
	}
	u.all.Go(func() {
		_, _ = io.Copy(plain, secured)
		_ = plain.Close() // the app's end
	})
	if _, err := io.Copy(secured, plain); err == nil {
		_ = secured.Close()
		return
	}
	if tcp, ok := secured.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func (u *rawUpstream) accept() {
	for {
		c, err := u.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			u.complain("accept: %v", err)
			continue
		}
		u.opened.Add(1)
		if n := u.doors.Load(); n > 0 && u.doors.CompareAndSwap(n, n-1) {
			u.shut.Add(1)
			_ = c.SetLinger(0)
			_ = c.Close()
			continue
		}
		u.mu.Lock()
		u.conns[c] = true
		u.mu.Unlock()
		u.all.Go(func() {
			u.serve(c)
			_ = c.Close()
			u.mu.Lock()
			delete(u.conns, c)
			u.mu.Unlock()
		})
	}
}

func (u *rawUpstream) complain(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.complaints) < 20 {
		u.complaints = append(u.complaints, fmt.Sprintf(format, args...))
	}
}

// complained returns the first complaints.
func (u *rawUpstream) complained() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.complaints)
}

// lookahead is what has arrived on a connection and was not yet read.
type lookahead struct {
	conn *net.TCPConn
	buf  [16 << 10]byte
	r, w int
}

var lookaheads = sync.Pool{New: func() any { return new(lookahead) }}

func (l *lookahead) fill() error {
	if l.r == l.w {
		l.r, l.w = 0, 0
	}
	if l.w == len(l.buf) {
		l.w = copy(l.buf[:], l.buf[l.r:l.w])
		l.r = 0
		if l.w == len(l.buf) {
			return errors.New("line too long")
		}
	}
	n, err := l.conn.Read(l.buf[l.w:])
	l.w += n
	if n > 0 {
		return nil
	}
	return err
}

// nonce waits for the request line and returns what follows ledgerPath in it.
func (l *lookahead) nonce() (nonce string, err error) {
	for {
		line, _, ok := bytes.Cut(l.buf[l.r:l.w], []byte("\r\n"))
		if ok {
			_, rest, _ := bytes.Cut(line, []byte(ledgerPath))
			name, _, _ := bytes.Cut(rest, []byte(" "))
			return string(name), nil
		}
		if err := l.fill(); err != nil {
			return "", err
		}
	}
}

func (u *rawUpstream) serve(c *net.TCPConn) {
	in := lookaheads.Get().(*lookahead)
	defer lookaheads.Put(in)
	in.conn, in.r, in.w = c, 0, 0
	var parser requestParser
	for served := 0; ; served++ {
		nonce, err := in.nonce()
		if err != nil {
			return
		}
		p, e := u.book.find(nonce)
		attempt := int32(0)
		if e != nil {
			attempt = e.attempts.Add(1)
		}
		if p == nil || attempt > 1 && p.again != againCut {
			p = &plan{nonce: nonce, point: -1, entry: e}
		}
		size, ok := u.read(in, &parser, p)
		if !ok {
			u.cut(p, c, cutRequest, served > 0)
			return
		}
		if size == 0 || !u.reply(c, &parser, p, size, served > 0) {
			return
		}
	}
}

// read reads the request as far as the plan lets it. ok says that the plan did
// not end it; size is 0 if the proxy did.
func (u *rawUpstream) read(in *lookahead, parser *requestParser, p *plan) (size int, ok bool) {
	parser.reset()
	for {
		if p.cut == cutRequest && size == p.at {
			return size, false
		}
		if in.r == in.w {
			if in.fill() != nil {
				return 0, true
			}
		}
		arrived := in.buf[in.r:in.w]
		if p.cut == cutRequest {
			arrived = arrived[:min(len(arrived), p.at-size)]
		}
		n := parser.skip(arrived)
		in.r += n
		if size += n; n == len(arrived) {
			continue
		}
		done, err := parser.feed(in.buf[in.r])
		in.r++
		size++
		if err != nil {
			u.complain("upstream got a malformed request (%s): %v", p.nonce, err)
			return 0, true
		}
		if done {
			return size, true
		}
	}
}

// reply executes the request and answers it.
func (u *rawUpstream) reply(c *net.TCPConn, parser *requestParser, p *plan, size int, reused bool) (keep bool) {
	if string(parser.target) == "/v1/auth/token" {
		u.mints.Add(1)
		const token = `{"access_token":"ledger-token-0000000000","expires_in":7200,"token_type":"Bearer"}`
		_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(token), token)
		return err == nil
	}
	if p.entry == nil || parser.tokens != 1 {
		u.complain("upstream got %s %s with %d tokens: nobody sent that", parser.method, parser.target, parser.tokens)
		return false
	}
	if p.status != 429 && p.status != 503 {
		p.entry.executed.Add(1)
	}
	time.Sleep(p.delay)
	p.size.Store(int32(size))
	text, _, whole := answerTo(p, string(parser.method) == "HEAD")
	end := whole
	switch {
	case p.cut == cutAnswer:
		end = min(p.at, len(text))
	case p.stray:
		end = len(text)
	}
	// Not between the answer and what nobody asked for: a stray answer that comes
	// when the connection is at rest, and taken for the next request, is the next
	// answer for any HTTP/1.1 client there can be.
	if p.split > 0 && p.split < end && p.split != whole {
		if _, err := io.WriteString(c, text[:p.split]); err != nil {
			return false
		}
		text, end = text[p.split:], end-p.split
	}
	if end > 0 {
		if _, err := io.WriteString(c, text[:end]); err != nil {
			return false
		}
	}
	if p.cut == cutAnswer {
		u.cut(p, c, cutAnswer, reused)
		return false
	}
	if p.framing == byClose {
		finish(c, false)
		return false
	}
	return true
}

// cut ends the connection as planned.
func (u *rawUpstream) cut(p *plan, c *net.TCPConn, kind cutKind, reused bool) {
	p.entry.cuts.Add(1)
	if p.safe && p.again == againDoor {
		u.doors.Add(1)
	}
	if p.rst {
		_ = c.SetLinger(0)
		_ = c.Close()
	} else {
		// Close sends a RST after all if there is something unread.
		finish(c, p.close && kind == cutAnswer)
	}
	if u.onCut != nil && p.point >= 0 {
		u.onCut(p, reused)
	}
}

// finish sends FIN, and unless at once takes what still comes, so that no RST
// follows.
func finish(c *net.TCPConn, atOnce bool) {
	if !atOnce {
		_ = c.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(40 * time.Second)) // longer than a connection stays idle in the pool
		_, _ = io.Copy(io.Discard, c)
	}
	_ = c.Close()
}

// requestParser takes one HTTP/1.1 request byte by byte, and knows after each
// whether the request is complete. It is strict on purpose: what the proxy sends
// must need no goodwill, and a lenient parser would call a request complete that
// upstream still waits for.
type requestParser struct {
	line    []byte
	part    requestPart
	left    int64 // bytes of the body, or of the chunk, still to come
	length  int64 // of Content-Length; -1: none
	chunked bool
	tokens  int // Authorization fields

	method, target []byte
	// nonce is the last segment of the target. The body of a request is its
	// nonce again and again, so each byte can be checked as it comes.
	nonce []byte
	body  int64 // bytes of it so far
}

type requestPart int

const (
	partRequestLine requestPart = iota
	partFields
	partBody
	partChunkSize
	partChunkData
	partChunkEnd
	partTrailer
	partDone
)

func (p *requestParser) reset() {
	*p = requestParser{line: p.line[:0], method: p.method[:0], target: p.target[:0], nonce: p.nonce[:0], length: -1}
}

// skip takes those of the bytes that are in the midst of a body and as they should be, all at
// once: feed would take each of them, and the body would not be complete.
func (p *requestParser) skip(arrived []byte) (n int) {
	if p.part != partBody && p.part != partChunkData || len(p.nonce) == 0 {
		return 0
	}
	for most := min(int64(len(arrived)), p.left-1); int64(n) < most; {
		want := p.nonce[p.body%int64(len(p.nonce)):]
		want = want[:min(int64(len(want)), most-int64(n))]
		if !bytes.HasPrefix(arrived[n:], want) {
			break
		}
		n, p.body, p.left = n+len(want), p.body+int64(len(want)), p.left-int64(len(want))
	}
	return n
}

// feed takes the next byte.
func (p *requestParser) feed(b byte) (done bool, err error) {
	switch p.part {
	case partBody, partChunkData:
		if len(p.nonce) > 0 && b != p.nonce[p.body%int64(len(p.nonce))] {
			return false, fmt.Errorf("byte %d of the body is %q", p.body, b)
		}
		p.body++
		if p.left--; p.left > 0 {
			return false, nil
		}
		if p.part == partBody {
			p.part = partDone
			return true, nil
		}
		p.part = partChunkEnd
		return false, nil
	case partDone:
		return true, errors.New("a byte after the end")
	}
	if b != '\n' {
		p.line = append(p.line, b)
		return false, nil
	}
	line, crlf := bytes.CutSuffix(p.line, []byte("\r"))
	if !crlf || bytes.IndexByte(line, '\r') >= 0 {
		return false, fmt.Errorf("line ends without CR LF, or holds a CR: %q", p.line)
	}
	p.line = p.line[:0]
	return p.endOfLine(line)
}

func (p *requestParser) endOfLine(line []byte) (done bool, err error) {
	switch p.part {
	case partRequestLine:
		return false, p.requestLine(line)
	case partFields:
		if len(line) > 0 {
			return false, p.field(line)
		}
		switch {
		case p.chunked && p.length >= 0:
			return false, errors.New("both Content-Length and Transfer-Encoding")
		case p.chunked:
			p.part = partChunkSize
		case p.length > 0:
			p.part, p.left = partBody, p.length
		default:
			p.part = partDone
		}
	case partChunkSize:
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return false, fmt.Errorf("chunk size %q", line)
		}
		p.part, p.left = partChunkData, int64(size)
		if size == 0 {
			p.part = partTrailer
		}
	case partChunkEnd:
		if len(line) > 0 {
			return false, fmt.Errorf("%q after a chunk", line)
		}
		p.part = partChunkSize
	case partTrailer:
		if len(line) > 0 {
			return false, fmt.Errorf("trailer %q", line)
		}
		p.part = partDone
	}
	return p.part == partDone, nil
}

func (p *requestParser) requestLine(line []byte) error {
	parts := bytes.Split(line, []byte(" "))
	if len(parts) != 3 || len(parts[0]) == 0 || !bytes.HasPrefix(parts[1], []byte("/")) || string(parts[2]) != "HTTP/1.1" {
		return fmt.Errorf("request line %q", line)
	}
	p.method = append(p.method, parts[0]...)
	p.target = append(p.target, parts[1]...)
	if rest, ok := bytes.CutPrefix(p.target, []byte(ledgerPath)); ok {
		p.nonce = append(p.nonce, rest...)
	}
	p.part = partFields
	return nil
}

func (p *requestParser) field(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
		return fmt.Errorf("field line %q", line)
	}
	value = bytes.Trim(value, " \t")
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(value), 10, 62)
		if err != nil || p.length >= 0 {
			return fmt.Errorf("Content-Length %q, or a second one", value)
		}
		p.length = int64(n)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if string(value) != "chunked" || p.chunked {
			return fmt.Errorf("Transfer-Encoding %q, or a second one", value)
		}
		p.chunked = true
	case bytes.EqualFold(name, []byte("Authorization")):
		p.tokens++
	}
	return nil
}

func TestLedgerParserCallsNothingCompleteTooEarly(t *testing.T) {
	const head = "POST " + ledgerPath + "ab HTTP/1.1\r\nHost: x\r\n"
	for name, text := range map[string]string{
		"no body":    head + "\r\n",
		"length":     head + "Content-Length: 5\r\n\r\nababa",
		"long body":  head + "Content-Length: 500\r\n\r\n" + strings.Repeat("ab", 250),
		"length 0":   head + "Content-Length: 0\r\n\r\n",
		"chunked":    head + "Transfer-Encoding: chunked\r\n\r\n3\r\naba\r\n2\r\nba\r\n0\r\n\r\n",
		"no content": head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		for _, skip := range []bool{false, true} {
			if n, done, err := parseAll(text, skip); err != nil || !done || n != len(text) {
				t.Fatalf("%s: after byte %d of %d: done = %v, %v", name, n, len(text), done, err)
			}
		}
	}
}

// parseAll feeds a text to a parser until that is done or refuses it.
func parseAll(text string, skip bool) (n int, done bool, err error) {
	var p requestParser
	p.reset()
	for n < len(text) && !done && err == nil {
		if skip {
			n += p.skip([]byte(text[n:]))
		}
		done, err = p.feed(text[n])
		n++
	}
	return n, done, err
}

func TestLedgerParserRefuses(t *testing.T) {
	const head = "POST " + ledgerPath + "ab HTTP/1.1\r\n"
	for name, text := range map[string]string{
		"bare LF":            "POST /x HTTP/1.1\n",
		"HTTP/1.0":           "POST /x HTTP/1.0\r\n",
		"absolute form":      "POST http://x/ HTTP/1.1\r\n",
		"space before colon": head + "Host : x\r\n",
		"two lengths":        head + "Content-Length: 1\r\nContent-Length: 1\r\n",
		"length and chunks":  head + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"other body":         head + "Content-Length: 2\r\n\r\naa",
		"other long body":    head + "Content-Length: 500\r\n\r\n" + strings.Repeat("ab", 200) + "ba" + strings.Repeat("ab", 49),
		"chunk size":         head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
		"trailer":            head + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
	} {
		for _, skip := range []bool{false, true} {
			if _, _, err := parseAll(text, skip); err == nil {
				t.Errorf("%s: took %s", name, strings.ReplaceAll(text, "\r\n", "|"))
			}
		}
	}
}
