package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

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
		"length 0":   head + "Content-Length: 0\r\n\r\n",
		"chunked":    head + "Transfer-Encoding: chunked\r\n\r\n3\r\naba\r\n2\r\nba\r\n0\r\n\r\n",
		"no content": head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		var p requestParser
		p.reset()
		for i := range len(text) {
			done, err := p.feed(text[i])
			if err != nil || done != (i == len(text)-1) {
				t.Fatalf("%s: after byte %d of %d: done = %v, %v", name, i+1, len(text), done, err)
			}
		}
	}
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
		"chunk size":         head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
		"trailer":            head + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
	} {
		var p requestParser
		p.reset()
		var err error
		for _, b := range []byte(text) {
			if _, err = p.feed(b); err != nil {
				break
			}
		}
		if err == nil {
			t.Errorf("%s: took %s", name, strings.ReplaceAll(text, "\r\n", "|"))
		}
	}
}
