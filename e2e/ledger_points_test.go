package e2e

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

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
