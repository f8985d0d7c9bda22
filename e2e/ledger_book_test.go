package e2e

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// ledgerPath is followed by a nonce; nonces are all equally long, so that every
// request of a shape is.
const (
	ledgerPath  = "/v1/ledger/"
	nonceLength = 12
)

// framing is how upstream says where its answer ends.
type framing uint8

const (
	byLength framing = iota
	byChunks
	byClose
	framings
)

func (f framing) String() string { return [...]string{"length", "chunks", "close"}[f] }

// cutKind is where upstream cuts.
type cutKind uint8

const (
	noCut      cutKind = iota
	cutRequest         // not executed
	cutAnswer          // executed
)

// plan is what upstream does with one request.
type plan struct {
	nonce   string
	safe    bool // GET, HEAD
	framing framing
	cut     cutKind
	at      int // bytes of the request read, or of the answer written, before the cut
	rst     bool
	point   int // number of the cut point; -1: none
	again   againKind
	split   int  // the answer leaves in two writes, the first of this size; 0: in one
	close   bool // FIN by Close, not by CloseWrite
	stray   bool // an answer that nobody asked for follows, and the connection stays
	entry   *entry
	delay   time.Duration // before the first attempt's answer
	status  int           // of the first attempt's answer; 0: 200. 429 and 503 mean that nothing was executed
	// size is the number of bytes of the request, once it was executed.
	size atomic.Int32
}

// againKind is what a second attempt meets. Only GET and HEAD may make one.
type againKind uint8

const (
	againServe againKind = iota
	againCut
	againDoor // its connection is reset before it can write
)

// entry is what became of one nonce. All bytes that were seen of a request count
// as an attempt, executed or not.
type entry struct {
	attempts, executed, cuts atomic.Int32
	safe                     bool
	reported                 bool // as a violation
	told                     told // what the app was told
}

// book keeps the ledger. A worker has one request under way at a time, so plans
// are one per worker; entries stay, to catch what comes late.
type book struct{ pages []page }

type page struct {
	plan    atomic.Pointer[plan]
	entries [4096]atomic.Pointer[[1024]entry]
	next    int // used by the worker alone
}

func newBook(workers int) *book { return &book{pages: make([]page, workers)} }

// open writes a plan down under a new nonce.
func (b *book) open(worker int, p *plan) *plan {
	at := &b.pages[worker]
	n := at.next
	at.next++
	block := &at.entries[n/1024]
	if block.Load() == nil {
		block.Store(new([1024]entry))
	}
	p.nonce = fmt.Sprintf("%03d%09d", worker, n)
	p.entry = &block.Load()[n%1024]
	p.entry.safe = p.safe
	at.plan.Store(p)
	return p
}

// find returns the plan and the entry of a nonce. The plan is nil if its time is
// over: something was sent after the app had been answered.
func (b *book) find(nonce string) (*plan, *entry) {
	if len(nonce) != nonceLength {
		return nil, nil
	}
	worker, err1 := strconv.Atoi(nonce[:3])
	n, err2 := strconv.Atoi(nonce[3:])
	if err1 != nil || err2 != nil || worker >= len(b.pages) || n/1024 >= len(b.pages[0].entries) {
		return nil, nil
	}
	block := b.pages[worker].entries[n/1024].Load()
	if block == nil {
		return nil, nil
	}
	p := b.pages[worker].plan.Load()
	if p != nil && p.nonce != nonce {
		p = nil
	}
	return p, &block[n%1024]
}

// each calls do for every nonce that was ever opened.
func (b *book) each(do func(nonce string, e *entry)) {
	for worker := range b.pages {
		at := &b.pages[worker]
		for n := range at.next {
			do(fmt.Sprintf("%03d%09d", worker, n), &at.entries[n/1024].Load()[n%1024])
		}
	}
}

// strayNonce is in answers that nobody asked for.
const strayNonce = "stray0000000"

// answerBody is longer than a nonce, so that a part of it is not the whole.
func answerBody(nonce string) string { return strings.Repeat(nonce, 4) }

// answerTo makes upstream's answer; text[:head] is its head, text[:whole] is all
// that belongs to it, and what follows is the head of an answer that nobody asked for.
func answerTo(p *plan, isHead bool) (text string, head, whole int) {
	body := answerBody(p.nonce)
	status := "200 OK"
	if p.status != 0 {
		status = strconv.Itoa(p.status) + " X"
	}
	text = "HTTP/1.1 " + status + "\r\nX-Ledger-Nonce: " + p.nonce + "\r\nContent-Type: text/plain\r\n"
	switch p.framing {
	case byLength:
		text += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	case byChunks:
		text += "Transfer-Encoding: chunked\r\n\r\n"
		third := len(body) / 3
		body = fmt.Sprintf("%x\r\n%s\r\n%x;a=b\r\n%s\r\n0\r\n\r\n", third, body[:third], len(body)-third, body[third:])
	case byClose:
		text += "Connection: close\r\n\r\n"
	}
	head = len(text)
	if !isHead {
		text += body
	}
	whole = len(text)
	if p.framing != byClose {
		text += "HTTP/1.1 200 OK\r\nX-Ledger-Nonce: " + strayNonce + "\r\nContent-Length: 5\r\n\r\nstray"
	}
	return text, head, whole
}

// bodySize is the body that the app sends.
type bodySize uint8

const (
	bodyNone    bodySize = iota
	bodySmall            // with a length, kept for a replay
	bodyBig              // with a length, larger than replayLimit: streamed
	bodyHuge             // the same, and more than sockets hold
	bodyChunked          // streamed in chunks
)

const (
	// replayLimit is set so low that a streamed body can be cut everywhere.
	replayLimit = 2048
	smallSize   = 48
	bigSize     = 3000
	hugeSize    = 512 << 10
)

func (b bodySize) String() string {
	return [...]string{"none", "small", "big", "huge", "chunked"}[b]
}

func (b bodySize) bytes() int { return [...]int{0, smallSize, bigSize, hugeSize, smallSize}[b] }

// keyKind is what net/http's transport takes as leave to repeat a write.
type keyKind uint8

const (
	keyNone keyKind = iota
	keyValue
	keyEmpty // X-Idempotency-Key without a value
	keys
)

func (k keyKind) String() string { return [...]string{"none", "key", "empty key"}[k] }

// shape is a request as the app sends it.
type shape struct {
	method string
	body   bodySize
	key    keyKind
}

func (s shape) safe() bool { return s.method == "GET" || s.method == "HEAD" }

// allShapes: all methods, bodies and keys; the huge body, which is slow, once
// per method.
func allShapes() (shapes []shape) {
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		for key := range keys {
			for _, body := range []bodySize{bodyNone, bodySmall, bodyBig, bodyChunked} {
				shapes = append(shapes, shape{method, body, key})
			}
		}
		shapes = append(shapes, shape{method, bodyHuge, keyNone})
	}
	for key := range keys {
		shapes = append(shapes, shape{"GET", bodyNone, key}, shape{"HEAD", bodyNone, key}, shape{"GET", bodySmall, key})
	}
	return shapes
}

// append adds the request to out.
func (s shape) append(out []byte, nonce string) []byte {
	out = append(out, s.method...)
	out = append(out, " "+ledgerPath+nonce+" HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: "+nonce+"\r\n"...)
	switch s.key {
	case keyValue:
		out = append(out, "Idempotency-Key: "+nonce+"\r\n"...)
	case keyEmpty:
		out = append(out, "X-Idempotency-Key:\r\n"...)
	}
	size := s.body.bytes()
	switch {
	case s.body == bodyChunked:
		out = append(out, "Transfer-Encoding: chunked\r\n\r\n"...)
		out = append(out, strconv.FormatInt(int64(size), 16)+"\r\n"...)
	case size > 0 || s.method != "GET" && s.method != "HEAD" && s.method != "DELETE":
		out = append(out, "Content-Length: "+strconv.Itoa(size)+"\r\n\r\n"...)
	default:
		out = append(out, "\r\n"...)
	}
	for at := 0; at < size; at += nonceLength {
		out = append(out, nonce[:min(nonceLength, size-at)]...)
	}
	if s.body == bodyChunked {
		out = append(out, "\r\n0\r\n\r\n"...)
	}
	return out
}

// cutPoint is one place to cut, on a fresh or on a used connection.
type cutPoint struct {
	shape   uint8
	cut     cutKind
	framing framing // of the answer; only with cutAnswer
	rst     bool
	at      int32
}

func (p cutPoint) describe(shapes []shape) string {
	s := shapes[p.shape]
	text := fmt.Sprintf("%s body=%s key=%s", s.method, s.body, s.key)
	end := "FIN"
	if p.rst {
		end = "RST"
	}
	if p.cut == cutRequest {
		return fmt.Sprintf("%s, %s after %d bytes of the request", text, end, p.at)
	}
	return fmt.Sprintf("%s, %s after %d bytes of the answer (by %s)", text, end, p.at, p.framing)
}

// allPoints lists the cut points. sizes are the bytes of each shape's request on
// the wire. The first return value are the points at which net/http's transport
// is known to repeat a request that was executed: after the request, before the
// answer. A short run must not miss them.
func allPoints(shapes []shape, sizes []int, random *rand.Rand) (first, rest []cutPoint) {
	for i, s := range shapes {
		for _, rst := range []bool{false, true} {
			for _, at := range requestCuts(s, sizes[i]) {
				rest = append(rest, cutPoint{uint8(i), cutRequest, byLength, rst, int32(at)})
			}
			for f := range framings {
				for _, at := range answerCuts(s, f) {
					p := cutPoint{uint8(i), cutAnswer, f, rst, int32(at)}
					if at == 0 {
						first = append(first, p)
					} else {
						rest = append(rest, p)
					}
				}
			}
		}
	}
	for _, list := range [][]cutPoint{first, rest} {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return first, rest
}

// requestCuts: after each byte but the last, with which the request is complete.
// Of a long body, some.
func requestCuts(s shape, size int) (cuts []int) {
	head, step := size, 1
	switch s.body {
	case bodyBig:
		head, step = size-bigSize, bigSize/40
	case bodyHuge:
		head, step = size-hugeSize, hugeSize/20
	}
	for at := 0; at < size-1; at++ {
		if at > head {
			at = min(at+step-1, size-1)
		}
		if s.body != bodyHuge || at%16 == 0 || at > head {
			cuts = append(cuts, at)
		}
	}
	return append(cuts, size-1)
}

// answerCuts: after each byte from none to the last of what nobody asked for.
func answerCuts(s shape, f framing) (cuts []int) {
	text, head, whole := answerTo(&plan{nonce: strayNonce, framing: f}, s.method == "HEAD")
	for at := range len(text) + 1 {
		if s.body != bodyHuge || at == 0 || at == head || at == head+1 || at == whole-1 || at == whole {
			cuts = append(cuts, at)
		}
	}
	return cuts
}
